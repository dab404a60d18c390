/*
 * Making evidence.
 *
 * First the records are found, by the index; then what stands between the seals around them is
 * read, and of all other intervals that may have an answer what their rosters are made of.
 */
#include "gateway/audit/evidence.h"

#include <sodium.h>
#include <stdlib.h>

enum { ENTRIES_BYTES = ROSTER_BUCKET_MAX * ROSTER_ENTRY };
enum { ENTRIES_TEXT = ENTRIES_BYTES / 3 * 4 + 8 };

struct making {
    struct evidence_scope scope;
    struct seal_list seals;
    bool *open;               /* by seal: the records in front of it are in the file */
    struct seq_range *ranges; /* that are read; ascending */
    size_t *ends;             /* by range: its seal */
    size_t range_count, range;
    uint64_t shown;
    struct roster *roster;
    char *entries, *encoded;
    const struct evidence_sink *sink;
    struct evidence_result *result;
    struct arena *arena;
    bool failed, altered; /* the log is not as it was sealed */
};

static void put(struct making *making, struct span bytes)
{
    making->failed = making->failed || !making->sink->write(making->sink->context, bytes);
}

static void put_bytes(struct text *out, const uint8_t *bytes)
{
    char shown[EVIDENCE_HASH_TEXT + 1];
    (void)sodium_bin2base64(shown, sizeof(shown), bytes, CHAIN_BYTES,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    text_add(out, span_of(shown, EVIDENCE_HASH_TEXT));
}

/* ---- which ---- */

static bool may_answer(const struct making *making, size_t i)
{
    enum evidence_need need = evidence_need(&making->scope, &making->seals, i);
    return need == EVIDENCE_NEEDED || need == EVIDENCE_UNKNOWN;
}

static bool is_read(const struct making *making, size_t i)
{
    return making->open[i] ||
           (making->scope.proves &&
            evidence_need(&making->scope, &making->seals, i) == EVIDENCE_NEEDED);
}

static bool is_in_time(const struct evidence_scope *scope, struct span line)
{
    uint64_t us = line_time(line);
    return us >= scope->since_us && (scope->until_us == 0 || us <= scope->until_us);
}

/* Of an interval that its roster tells of, all with these values are shown, whatever their time
 * is: rosters do not know it. */
static bool note_hit(void *context, struct span line)
{
    struct making *making = context;
    const struct evidence_scope *scope = &making->scope;
    struct sealed sealed;
    if (!sealed_parse(line, &sealed))
        return true;
    size_t behind = evidence_seal(&making->seals, sealed.seq);
    bool timely = is_in_time(scope, line);
    if (behind == making->seals.count || behind == 0)
        making->result->unsealed += timely;
    else if (timely ||
             (scope->proves && evidence_need(scope, &making->seals, behind) == EVIDENCE_NEEDED))
        making->open[behind] = true;
    return true;
}

/* Where there may be an answer, in the numbers of records: what else there is is not read. */
static void choose_ranges(struct making *making, bool (*wanted)(const struct making *, size_t))
{
    const struct seal_list *seals = &making->seals;
    making->range_count = 0;
    for (size_t i = 1; i < seals->count; i++) {
        if (!wanted(making, i))
            continue;
        making->ends[making->range_count] = i;
        making->ranges[making->range_count++] =
            (struct seq_range){ seals->items[i - 1].seq + 1, seals->items[i].seq };
    }
}

/* ---- intervals ---- */

static void write_interval(struct making *making, const struct seal_entry *before)
{
    char buffer[160];
    struct text head = text_fixed(buffer, sizeof(buffer));
    text_lit(&head, "{\"interval\":true,\"after\":");
    text_uint(&head, before->seq);
    text_lit(&head, ",\"head\":\"");
    put_bytes(&head, before->head);
    text_lit(&head, "\"}\n");
    put(making, text_span(&head));
}

static void write_record(struct making *making, const struct sealed *sealed, struct span line)
{
    uint8_t leaf[CHAIN_BYTES];
    char buffer[96];
    struct text hidden = text_fixed(buffer, sizeof(buffer));
    if (query_matches(&making->scope.query, line)) {
        making->shown++;
        put(making, line);
        put(making, SPAN("\n"));
        return;
    }
    chain_leaf(sealed->body, leaf);
    text_lit(&hidden, "{\"leaf\":\"");
    put_bytes(&hidden, leaf);
    text_lit(&hidden, "\"}\n");
    making->result->hidden++;
    put(making, text_span(&hidden));
}

static void write_proof(struct making *making, size_t term, uint64_t upto)
{
    struct roster_proof proof;
    char buffer[ROSTER_LEVELS * (EVIDENCE_HASH_TEXT + 3) + 160];
    struct text line = text_fixed(buffer, sizeof(buffer));
    roster_prove(making->roster, making->scope.exact[term].tag, making->entries, &proof);
    (void)sodium_bin2base64(making->encoded, ENTRIES_TEXT,
                            (const unsigned char *)proof.entries.p, proof.entries.len,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    text_format(&line, "{\"roster\":\"%s\",\"upto\":%llu,\"entries\":\"",
                block_key_name(making->scope.exact[term].key), (unsigned long long)upto);
    put(making, text_span(&line));
    put(making, span_text(making->encoded));
    line = text_fixed(buffer, sizeof(buffer));
    text_lit(&line, "\",\"path\":[");
    for (int level = 0; level < ROSTER_LEVELS; level++) {
        text_add(&line, level > 0 ? SPAN(",\"") : SPAN("\""));
        put_bytes(&line, proof.path[level]);
        text_char(&line, '"');
    }
    text_lit(&line, "]}\n");
    put(making, text_span(&line));
}

static void end_interval(struct making *making, const struct seal_entry *seal)
{
    const struct seq_range *range = &making->ranges[making->range];
    uint8_t root[ROSTER_HASH];
    making->range++;
    if (!making->scope.proves || !seal->has_roster)
        return;
    if (!roster_root(making->roster, range->first, range->last, root) ||
        memcmp(root, seal->roster, ROSTER_HASH) != 0) {
        making->altered = true;
        return;
    }
    for (size_t term = 0; term < making->scope.exact_count; term++)
        write_proof(making, term, seal->seq);
}

static bool take_record(void *context, struct span line)
{
    struct making *making = context;
    struct sealed sealed;
    if (!sealed_parse(line, &sealed))
        return true;
    const struct seq_range *range = &making->ranges[making->range];
    if (sealed.seq < range->first)
        return true;
    size_t i = making->ends[making->range];
    if (sealed.seq == range->first) {
        roster_begin(making->roster, range->first);
        if (making->open[i])
            write_interval(making, &making->seals.items[i - 1]);
    }
    if (making->scope.proves)
        roster_add(making->roster, sealed.seq, line);
    if (making->open[i])
        write_record(making, &sealed, line);
    making->altered |= sealed.seq > range->last;
    if (sealed.seq == range->last)
        end_interval(making, &making->seals.items[i]);
    return !making->failed && !making->altered && making->range < making->range_count;
}

/* ---- the file ---- */

static void write_seals(struct making *making, struct span terms)
{
    put(making, SPAN("{\"evidence\":2,\"query\":"));
    put(making, terms);
    put(making, SPAN("}\n"));
    for (size_t i = 0; i < making->seals.count; i++) {
        put(making, making->seals.lines[i]);
        put(making, SPAN("\n"));
    }
}

static enum err read_seals(struct making *making, const char *path)
{
    struct verify *verify = arena_new(making->arena, struct verify);
    struct text name = text_growing(making->arena, 256);
    struct lines lines;
    text_format(&name, "%s.seal", path);
    const char *file = text_cstring(&name);
    if (file == NULL || verify == NULL)
        return ERR_MEMORY;
    verify->arena = making->arena;
    TRY(lines_open(&lines, file, false));
    enum err err = seals_read(verify, &making->seals, &lines, file, NULL);
    lines_close(&lines);
    if (err == OK && (verify->count > 0 || making->seals.count == 0))
        err = ERR_SYNTAX; /* what is not whole proves nothing */
    return err;
}

/* One that was cut short lacks it. */
static void write_end(struct making *making)
{
    char buffer[128];
    struct text line = text_fixed(buffer, sizeof(buffer));
    making->result->records = making->shown;
    text_format(&line, "{\"end\":true,\"records\":%llu,\"hidden\":%llu}\n",
                (unsigned long long)making->shown, (unsigned long long)making->result->hidden);
    put(making, text_span(&line));
}

static enum err find_and_write(struct making *making, const char *path, struct span terms)
{
    struct search_stats stats;
    struct query around = making->scope.query;
    making->ends = arena_array(making->arena, size_t, making->seals.count + 1);
    making->open = arena_array(making->arena, bool, making->seals.count + 1);
    making->ranges = arena_array(making->arena, struct seq_range, making->seals.count + 1);
    making->roster = arena_new(making->arena, struct roster);
    making->entries = arena_alloc(making->arena, ENTRIES_BYTES);
    making->encoded = arena_alloc(making->arena, ENTRIES_TEXT);
    if (making->ends == NULL || making->open == NULL || making->ranges == NULL ||
        making->roster == NULL || making->entries == NULL || making->encoded == NULL)
        return ERR_MEMORY;
    write_seals(making, terms);
    choose_ranges(making, may_answer);
    for (size_t i = 0; i < making->range_count; i++)
        if (!making->seals.items[making->ends[i]].has_roster)
            making->result->unknown += making->ranges[i].last - making->ranges[i].first + 1;
    around.ranges = making->ranges;
    around.range_count = making->range_count;
    TRY(search(path, &around, making->arena, note_hit, making, &stats));
    choose_ranges(making, is_read);
    around = (struct query){ .ranges = making->ranges, .range_count = making->range_count };
    if (making->range_count > 0)
        TRY(search(path, &around, making->arena, take_record, making, &stats));
    if (making->altered || (!making->failed && making->range < making->range_count))
        return ERR_SYNTAX;
    write_end(making);
    return making->failed ? ERR_WRITE : OK;
}

enum err evidence_export(const char *path, const struct query *query, struct span terms,
                         const struct evidence_sink *sink, struct arena *arena,
                         struct evidence_result *result)
{
    struct making *making = arena_new(arena, struct making);
    if (making == NULL)
        return ERR_MEMORY;
    *result = (struct evidence_result){ .records = 0 };
    *making = (struct making){ .sink = sink, .result = result, .arena = arena };
    TRY(chain_init());
    TRY(read_seals(making, path));
    evidence_scope(&making->scope, query, &making->seals);
    result->complete = making->scope.proves && !making->scope.vague;
    enum err err = find_and_write(making, path, terms);
    result->complete = result->complete && result->unknown == 0;
    return err;
}
