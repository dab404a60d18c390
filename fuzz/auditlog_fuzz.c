/*
 * What reads an audit log back: sealed lines, seals, values of lines, times, terms of a query.
 * Spans stay inside of their line; what is read is what was written; nothing unsigned passes
 * for signed.
 */
#include "gateway/audit/seal.h"
#include "gateway/audit/search.h"
#include "gateway/base/clock.h"

static bool inside(struct span part, struct span whole)
{
    return part.p >= whole.p && part.p + part.len <= whole.p + whole.len;
}

static void check_values(struct span line)
{
    for (int key = 0; key < KEY_COUNT; key++) {
        struct span value;
        size_t at = 0, before = 0;
        while (line_value(line, (enum block_key)key, &at, &value)) {
            INVARIANT(inside(value, line) && at > before && at <= line.len);
            before = at;
        }
    }
}

/* One pass finds what is found key by key. */
static void check_walk(struct span line)
{
    struct line_walk walk = { .line = line };
    size_t at[KEY_COUNT] = { 0 };
    struct span value, wanted;
    enum block_key key;
    while (line_walk_next(&walk, &key, &value)) {
        INVARIANT(line_value(line, key, &at[key], &wanted));
        INVARIANT(value.p == wanted.p && value.len == wanted.len);
    }
    for (int rest = 0; rest < KEY_COUNT; rest++)
        INVARIANT(!line_value(line, (enum block_key)rest, &at[rest], &value));
}

static void check_seal(struct span line)
{
    static struct chain writer, reader;
    static char buffer[17 * 1024];
    struct sealed sealed;
    uint8_t leaf[CHAIN_BYTES];
    struct text out = text_fixed(buffer, sizeof(buffer));
    if (sealed_parse(line, &sealed)) {
        INVARIANT(inside(sealed.body, line));
        INVARIANT(!chain_accept(&reader, &sealed, leaf)); /* nobody knows the key */
    }
    reader = writer;
    if (!chain_seal(&writer, line, &out))
        return;
    INVARIANT(sealed_parse(text_span(&out), &sealed));
    INVARIANT(sealed.seq == writer.seq && sealed.body.len == line.len - 2);
    INVARIANT(memcmp(sealed.body.p, line.p, sealed.body.len) == 0);
    INVARIANT(chain_accept(&reader, &sealed, leaf));
    writer.seq = writer.seq > 1000000 ? 0 : writer.seq;
}

static void check_time(struct span line)
{
    char buffer[64];
    uint64_t us;
    struct text out = text_fixed(buffer, sizeof(buffer));
    if (!time_parse(line, &us) || us >= 253402300800000000u)
        return;
    clock_write_iso(&out, us);
    uint64_t again;
    INVARIANT(time_parse(text_span(&out), &again) && again == us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of((const char *)data, size), line;
    static const uint8_t key[SEAL_KEY_BYTES] = { 1 };
    struct seal_entry entry;
    struct query query;
    struct block block;
    struct arena arena;
    if (size > 16 * 1024 || chain_init() != OK)
        return 0;
    arena_init(&arena, NULL, 0, NULL, (size_t)1 << 20);
    memset(&query, 0, sizeof(query));
    block_begin(&block, 0);
    while (input.len > 0 && span_cut(&input, '\n', &line)) {
        check_values(line);
        check_walk(line);
        check_seal(line);
        check_time(line);
        INVARIANT(!seal_parse(line, key, &entry) || entry.kind == SEAL_GENESIS);
        block_line(&block, line);
        if (query_term(&query, line, 1800000000000000u, &arena) == NULL)
            (void)query_matches(&query, line);
    }
    arena_reset(&arena);
    return 0;
}
