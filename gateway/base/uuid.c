/*
 * The 128 bits of an id: 48 of milliseconds, version, 12 of the part of the millisecond (RFC
 * 9562 section 6.2, method 3), variant, 8 of order within such a stamp (method 1), 54 random.
 */
#include "gateway/base/uuid.h"

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

void uuid_write(struct uuid_source *source, uint64_t wall_us, char out[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    advance(source, wall_us);
    source->counter++;
    uint64_t random = siphash(&source->seed, &source->counter, sizeof(source->counter));

    uint64_t halves[2] = {
        source->stamp >> 12 << 16 | 7u << 12 | (source->stamp & 0xfff),
        (uint64_t)2 << 62 | (uint64_t)source->order << 54 | random >> 10,
    };
    char *p = out;
    for (unsigned i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            *p++ = '-';
        *p++ = digits[halves[i / 16] >> (60 - 4 * (i % 16)) & 15];
    }
}
