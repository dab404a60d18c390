/*
 * Making evidence, and following it.
 */
#include "gateway/audit/evidence.h"

#include <sodium.h>

#include "gateway/base/json.h"

enum { LEAF_TEXT = 43 };

static const struct span first_words = SPAN_INIT("{\"evidence\":1,");
static const struct span interval_words = SPAN_INIT("{\"interval\":true,\"after\":");
static const struct span end_words = SPAN_INIT("{\"end\":true,");
static const struct span leaf_words = SPAN_INIT("{\"leaf\":\"");

/* ---- making ---- */

/*
 * First the records are found, by the index; then only what stands between the seals around
 * them is read.
 */
struct making {
    const struct query *query;
    struct seal_list seals;
    struct seq_range *ranges; /* between two seals each; ascending */
    size_t range_count, range_room, range;
    uint64_t shown;
    const struct evidence_sink *sink;
    struct evidence_result *result;
    struct arena *arena;
    bool failed;
};

static bool put(const struct making *making, struct span bytes)
{
    return making->sink->write(making->sink->context, bytes);
}

static void put_bytes(struct text *out, const uint8_t *bytes)
{
    char shown[LEAF_TEXT + 1];
    (void)sodium_bin2base64(shown, sizeof(shown), bytes, CHAIN_BYTES,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    text_add(out, span_of(shown, LEAF_TEXT));
}

/* The first seal at or behind this record; the count of seals: there is none. */
static size_t seal_behind(const struct seal_list *seals, uint64_t seq)
{
    size_t low = 0, high = seals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seals->items[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_range(struct making *making, struct seq_range range)
{
    if (making->range_count > 0 && making->ranges[making->range_count - 1].last >= range.last)
        return true;
    if (making->range_count == making->range_room) {
        size_t room = making->range_room > 0 ? 2 * making->range_room : 256;
        struct seq_range *ranges = arena_array(making->arena, struct seq_range, room);
        if (ranges == NULL)
            return false;
        if (making->range_count > 0)
            memcpy(ranges, making->ranges, making->range_count * sizeof(*ranges));
        making->ranges = ranges;
        making->range_room = room;
    }
    making->ranges[making->range_count++] = range;
    return true;
}

static bool note_hit(void *context, struct span line)
{
    struct making *making = context;
    struct sealed sealed;
    if (!sealed_parse(line, &sealed))
        return true;
    size_t behind = seal_behind(&making->seals, sealed.seq);
    if (behind == making->seals.count || behind == 0) {
        making->result->unsealed++;
        return true;
    }
    making->result->records++;
    making->failed =
        !add_range(making, (struct seq_range){ making->seals.items[behind - 1].seq + 1,
                                               making->seals.items[behind].seq });
    return !making->failed;
}

static void write_interval(struct making *making, uint64_t first)
{
    char buffer[160];
    struct text head = text_fixed(buffer, sizeof(buffer));
    size_t before = seal_behind(&making->seals, first) - 1;
    text_add(&head, interval_words);
    text_uint(&head, making->seals.items[before].seq);
    text_lit(&head, ",\"head\":\"");
    put_bytes(&head, making->seals.items[before].head);
    text_lit(&head, "\"}\n");
    making->failed = making->failed || !put(making, text_span(&head));
}

static bool take_record(void *context, struct span line)
{
    struct making *making = context;
    struct sealed sealed;
    uint8_t leaf[CHAIN_BYTES];
    char buffer[96];
    if (!sealed_parse(line, &sealed))
        return true;
    while (making->range < making->range_count &&
           making->ranges[making->range].last < sealed.seq)
        making->range++;
    if (making->range == making->range_count)
        return false;
    if (sealed.seq < making->ranges[making->range].first)
        return true;
    if (sealed.seq == making->ranges[making->range].first)
        write_interval(making, sealed.seq);
    if (query_matches(making->query, line)) {
        making->shown++;
        making->failed = making->failed || !put(making, line) || !put(making, SPAN("\n"));
        return !making->failed;
    }
    struct text hidden = text_fixed(buffer, sizeof(buffer));
    chain_leaf(sealed.body, leaf);
    text_add(&hidden, leaf_words);
    put_bytes(&hidden, leaf);
    text_lit(&hidden, "\"}\n");
    making->result->hidden++;
    making->failed = making->failed || !put(making, text_span(&hidden));
    return !making->failed;
}

static enum err write_seals(struct making *making, struct span described)
{
    struct text head = text_growing(making->arena, described.len + 256);
    text_add(&head, first_words);
    text_lit(&head, "\"query\":\"");
    json_escape(&head, described);
    text_lit(&head, "\"}\n");
    if (!put(making, text_span(&head)))
        return ERR_WRITE;
    for (size_t i = 0; i < making->seals.count; i++)
        if (!put(making, making->seals.lines[i]) || !put(making, SPAN("\n")))
            return ERR_WRITE;
    return OK;
}

static enum err read_seals(struct making *making, struct verify *verify, const char *path)
{
    struct text name = text_growing(making->arena, 256);
    struct lines lines;
    text_format(&name, "%s.seal", path);
    const char *file = text_cstring(&name);
    if (file == NULL)
        return ERR_MEMORY;
    TRY(lines_open(&lines, file, false));
    enum err err = seals_read(verify, &making->seals, &lines, file, NULL);
    lines_close(&lines);
    if (err == OK && (verify->count > 0 || making->seals.count == 0))
        err = ERR_SYNTAX; /* what is not whole proves nothing */
    return err;
}

/* One that was cut short lacks it. */
static bool write_end(const struct making *making)
{
    char buffer[128];
    struct text line = text_fixed(buffer, sizeof(buffer));
    text_format(&line, "%.*s\"records\":%llu,\"hidden\":%llu}\n", (int)end_words.len,
                end_words.p, (unsigned long long)making->shown,
                (unsigned long long)making->result->hidden);
    return put(making, text_span(&line));
}

enum err evidence_export(const char *path, const struct query *query, struct span described,
                         const struct evidence_sink *sink, struct arena *arena,
                         struct evidence_result *result)
{
    struct making *making = arena_new(arena, struct making);
    struct verify *verify = arena_new(arena, struct verify);
    if (making == NULL || verify == NULL)
        return ERR_MEMORY;
    *result = (struct evidence_result){ .records = 0 };
    *making = (struct making){ .query = query, .sink = sink, .result = result, .arena = arena };
    verify->arena = arena;
    TRY(chain_init());
    TRY(read_seals(making, verify, path));
    TRY(write_seals(making, described));

    struct search_stats stats;
    enum err err = search(path, query, arena, note_hit, making, &stats);
    const struct query around = { .ranges = making->ranges,
                                  .range_count = making->range_count };
    if (err == OK && making->range_count > 0)
        err = search(path, &around, arena, take_record, making, &stats);
    if (err == OK && !making->failed)
        making->failed = !write_end(making);
    return err == OK && making->failed ? ERR_WRITE : err;
}

/* ---- following ---- */

struct following {
    struct verify *verify;
    struct seal_list seals;
    size_t next_seal;
    uint8_t head[CHAIN_BYTES];
    uint64_t seq;
    bool inside, ended;
    const char *file;
};

bool evidence_is(const char *path)
{
    struct lines lines;
    struct span line;
    if (lines_open(&lines, path, false) != OK)
        return false;
    bool is = lines_next(&lines, &line) && span_starts(line, first_words);
    lines_close(&lines);
    return is;
}

/* The seal that this interval begins behind: its number and head are those that were signed. */
static void begin_following(struct following *following, struct span line)
{
    const struct seal_list *seals = &following->seals;
    struct span value;
    uint64_t after = 0;
    following->inside = false;
    if (!line_member(line, SPAN("\"after\":"), &value) || !span_uint(value, &after)) {
        verify_add(following->verify, VERIFY_UNREADABLE, following->file, 0, "no interval");
        return;
    }
    if (after < following->seq) {
        verify_add(following->verify, VERIFY_DUPLICATE, following->file, after,
                   "records up to %llu were shown before", (unsigned long long)following->seq);
        return;
    }
    size_t i = 0;
    while (i < seals->count && seals->items[i].seq != after)
        i++;
    /* Of several seals of this number the last: the next one is then behind it. */
    while (i + 1 < seals->count && seals->items[i + 1].seq == after)
        i++;
    if (i + 1 >= seals->count) {
        verify_add(following->verify, VERIFY_INSERT, following->file, after,
                   "no seal was made at this record");
        return;
    }
    memcpy(following->head, seals->items[i].head, CHAIN_BYTES);
    following->seq = after;
    following->next_seal = i + 1;
    following->inside = true;
}

static void step(struct following *following, const uint8_t leaf[CHAIN_BYTES])
{
    const struct seal_entry *end = &following->seals.items[following->next_seal];
    following->seq++;
    chain_advance(following->head, following->seq, leaf);
    if (following->seq < end->seq)
        return;
    if (memcmp(following->head, end->head, CHAIN_BYTES) != 0)
        verify_add(following->verify, VERIFY_EDIT, following->file, end->seq,
                   "records up to this one are not those that were sealed");
    following->inside = false;
}

static void end_following(struct following *following, struct span line)
{
    const struct verify *verify = following->verify;
    struct span value;
    uint64_t records = 0, hidden = 0;
    bool told = line_member(line, SPAN("\"records\":"), &value) && span_uint(value, &records) &&
                line_member(line, SPAN("\"hidden\":"), &value) && span_uint(value, &hidden);
    following->ended = true;
    if (!told || records != verify->records || hidden != verify->hidden)
        verify_add(following->verify, VERIFY_DELETE, following->file, following->seq,
                   "its end counts other records than it has");
}

static void follow_line(struct following *following, struct span line)
{
    struct verify *verify = following->verify;
    struct sealed sealed;
    uint8_t leaf[CHAIN_BYTES];
    size_t len = 0;
    if (!following->inside && !following->ended && span_starts(line, end_words)) {
        end_following(following, line);
        return;
    }
    if (span_starts(line, interval_words)) {
        if (following->inside)
            verify_add(verify, VERIFY_TRUNCATE, following->file, following->seq,
                       "an interval ends before its seal");
        begin_following(following, line);
        return;
    }
    if (!following->inside) {
        verify_add(verify, VERIFY_INSERT, following->file, following->seq,
                   "a line that no seal speaks of");
        return;
    }
    if (span_starts(line, leaf_words)) {
        struct span text = span_sub(line, leaf_words.len, LEAF_TEXT);
        if (sodium_base642bin(leaf, sizeof(leaf), text.p, text.len, NULL, &len, NULL,
                              sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
            len == sizeof(leaf)) {
            verify->hidden++;
            step(following, leaf);
            return;
        }
    }
    if (!sealed_parse(line, &sealed) || sealed.seq != following->seq + 1) {
        verify_add(verify, VERIFY_INSERT, following->file, following->seq,
                   "behind this record stands one that does not follow it");
        following->inside = false;
        return;
    }
    verify->records++;
    chain_leaf(sealed.body, leaf);
    step(following, leaf);
}

enum err verify_evidence(struct verify *verify, const char *path, const char *pinned,
                         struct arena *arena)
{
    struct lines lines;
    struct span line;
    struct following following = { .verify = verify, .file = path };
    bool sealing = true;
    memset(verify, 0, sizeof(*verify));
    verify->arena = arena;
    TRY(chain_init());
    TRY(lines_open(&lines, path, false));
    if (!lines_next(&lines, &line) || !span_starts(line, first_words))
        lines.error = ERR_SYNTAX;
    while (lines.error == OK && lines_next(&lines, &line)) {
        sealing = sealing && span_starts(line, SPAN("{\"seal\":"));
        if (!sealing)
            follow_line(&following, line);
        else if (!seals_add(verify, &following.seals, line, path, pinned))
            break;
    }
    if (lines.error == OK && (lines.torn || following.inside || !following.ended))
        verify_add(verify, VERIFY_TRUNCATE, path, following.seq, "the end is missing");
    enum err err = lines.error;
    lines_close(&lines);
    return err;
}
