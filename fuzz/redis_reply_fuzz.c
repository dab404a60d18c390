/*
 * Replies of a hostile Redis server. Whatever comes, it is read within its caps, however it is
 * cut into pieces the same values come out, and what is accepted as an answer to a batch of
 * limits, or as a ban, has the numbers in the bounds that the code behind relies on.
 */
#include <stdlib.h>

#include "gateway/store/redis_reply.h"
#include "ratelimit/bans.h"
#include "ratelimit/exact.h"

static uint64_t fold(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x100000001b3);
}

static uint64_t fold_value(uint64_t sum, const struct redis_value *value, unsigned depth)
{
    INVARIANT(depth < 10);
    sum = fold(sum, (uint64_t)value->type);
    switch (value->type) {
    case REDIS_NIL:
        return sum;
    case REDIS_INTEGER:
        return fold(sum, (uint64_t)value->integer);
    case REDIS_TEXT:
    case REDIS_STATUS:
    case REDIS_ERROR:
        INVARIANT(value->text.len <= REDIS_TEXT_MAX);
        for (size_t i = 0; i < value->text.len; i++)
            sum = fold(sum, (unsigned char)value->text.p[i]);
        (void)redis_is_error(value, SPAN("NOSCRIPT"));
        return sum;
    case REDIS_ARRAY:
        INVARIANT(value->count <= REDIS_VALUES_MAX);
        for (unsigned i = 0; i < value->count; i++)
            sum = fold_value(sum, &value->items[i], depth + 1);
        return sum;
    }
    return sum;
}

static void try_as_ban(const struct redis_value *value)
{
    struct ban_event event;
    if (!ban_share_read(value, 1795269600, &event))
        return;
    INVARIANT(ban_net_ok(&event.net) && event.cause < CAUSE_COUNT);
    INVARIANT(event.until_s <= 1795269600 + BAN_LONGEST_S);
    for (const char *p = event.reason; *p != '\0'; p++)
        INVARIANT(*p >= ' ' && *p < 0x7f && p < event.reason + sizeof(event.reason));
}

static void try_as_answer(const struct redis_value *value)
{
    static const struct exact_group groups[] = {
        { 1, 3, 0, false }, { 1, 7, 0, true }, { 2, 1, 9, false }, { 3, 100, 0, false }
    };
    for (unsigned n = 1; n <= ARRAY_LEN(groups); n++) {
        if (!exact_reply_valid(value, groups, n))
            continue;
        unsigned at = 0;
        for (unsigned g = 0; g < n; g++) {
            INVARIANT(value->items[at].integer >= 0 &&
                      (uint64_t)value->items[at].integer <= groups[g].want + groups[g].extra);
            at += exact_group_width(&groups[g]);
        }
        INVARIANT(at == value->count);
    }
}

/* A sum over all replies, and over whether the stream broke. */
static uint64_t read_in_steps(const uint8_t *data, size_t size, size_t step)
{
    struct redis_parser *parser = redis_parser_new();
    uint64_t sum = 1;
    enum err err = OK;
    INVARIANT(parser != NULL);
    for (size_t at = 0; at < size && err == OK; at += step) {
        size_t n = size - at < step ? size - at : step;
        /* A copy of its exact size: a read outside is seen. */
        char *copy = malloc(n);
        INVARIANT(copy != NULL);
        memcpy(copy, data + at, n);
        err = redis_parser_feed(parser, span_of(copy, n));
        const struct redis_value *value = NULL;
        while (err == OK && (err = redis_parser_next(parser, &value)) == OK && value != NULL) {
            sum = fold_value(sum, value, 0);
            try_as_answer(value);
            try_as_ban(value);
        }
        free(copy);
    }
    redis_parser_free(parser);
    return err == OK ? sum : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 64 * 1024)
        return 0;
    uint64_t whole = read_in_steps(data, size, size + 1);
    if (whole != 0) /* in pieces an error may be seen before the end of what is good */
        INVARIANT(read_in_steps(data, size, 1 + size / 7) == whole);
    return 0;
}
