/*
 * The 128 bits of an id: 48 of milliseconds, version, 12 of the part of the millisecond (RFC
 * 9562 section 6.2, method 3), variant, 8 of order within such a stamp (method 1), 54 random.
 */
#include "gateway/base/uuid.h"

#include "gateway/base/text.h"

enum { ORDER_MAX = 255 };

/* A clock set back by less than this does not disturb the order; by more, ids follow it. */
#define HELD_BACK ((uint64_t)10000 << 12)

void uuid_source_init(struct uuid_source *source)
{
    *source = (struct uuid_source){ .counter = 0 };
    random_bytes(&source->seed, sizeof(source->seed));
}

static void advance(struct uuid_source *source, uint64_t wall_us)
{
    uint64_t stamp = (wall_us / 1000) << 12 | (wall_us % 1000) * 4096 / 1000;
    bool later = stamp > source->stamp || source->stamp - stamp > HELD_BACK;
    if (!later && source->order < ORDER_MAX) {
        source->order++;
        return;
    }
    source->stamp = later ? stamp : source->stamp + 1;
    source->order = 0;
}

static void put_bytes(unsigned char *out, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(out, &value, sizeof(value));
}

void uuid_write(struct uuid_source *source, uint64_t wall_us, char out[UUID_TEXT_BYTES])
{
    unsigned char bytes[16];
    char digits[32];
    struct text hex = text_fixed(digits, sizeof(digits));

    advance(source, wall_us);
    source->counter++;
    uint64_t random = siphash(&source->seed, &source->counter, sizeof(source->counter));
    put_bytes(bytes, source->stamp >> 12 << 16 | 7u << 12 | (source->stamp & 0xfff));
    put_bytes(bytes + 8, (uint64_t)2 << 62 | (uint64_t)source->order << 54 | random >> 10);
    text_hex(&hex, bytes, sizeof(bytes));

    static const struct {
        unsigned char to, from, len;
    } groups[] = { { 0, 0, 8 }, { 9, 8, 4 }, { 14, 12, 4 }, { 19, 16, 4 }, { 24, 20, 12 } };
    memset(out, '-', UUID_TEXT_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        memcpy(out + groups[i].to, digits + groups[i].from, groups[i].len);
}
