/*
 * Following evidence: that its records are the log's, and that none was left out.
 */
#include <jansson.h>
#include <sodium.h>

#include "gateway/audit/evidence.h"

enum { ENTRIES_BYTES = ROSTER_BUCKET_MAX * ROSTER_ENTRY };

static const struct span first_words = SPAN_INIT("{\"evidence\":2,");
static const struct span interval_words = SPAN_INIT("{\"interval\":true,\"after\":");
static const struct span end_words = SPAN_INIT("{\"end\":true,");
static const struct span leaf_words = SPAN_INIT("{\"leaf\":\"");
static const struct span roster_words = SPAN_INIT("{\"roster\":\"");

struct numbers {
    uint32_t *items; /* ascending */
    size_t count;
};

struct following {
    struct verify *verify;
    struct seal_list seals;
    struct evidence_scope scope;
    size_t next_seal; /* that ends the interval */
    uint8_t head[CHAIN_BYTES];
    uint64_t seq;
    bool inside, ended;
    const char *file;
    /* Of the last interval whose records are here: the ones that are shown. */
    size_t shown_seal;
    uint64_t hidden;
    struct numbers shown;
    /* Of the one whose rosters are here: those that answer, by the terms so far. */
    size_t settled; /* seals up to this one are */
    size_t term, roster_seal;
    struct numbers answers;
    char *entries;
};

static void complain(struct following *following, enum verify_kind kind, uint64_t seq,
                     const char *text)
{
    verify_add(following->verify, kind, following->file, seq, "%s", text);
}

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

/* ---- what was asked ---- */

/* The terms of the first line. */
static bool read_query(struct following *following, struct span line, struct query *query)
{
    struct verify *verify = following->verify;
    struct text shown = text_growing(verify->arena, 256);
    json_t *root = json_loadb(line.p, line.len, JSON_ALLOW_NUL, NULL), *item;
    const json_t *terms = json_object_get(root, "query");
    bool good = json_is_array(terms);
    size_t i;
    json_array_foreach(terms, i, item)
    {
        struct span term = arena_copy(
            verify->arena, span_of(json_string_value(item), json_string_length(item)));
        good = good && json_is_string(item) && term.p != NULL &&
               query_term(query, term, 0, verify->arena) == NULL && query->limit == 0;
        text_add(&shown, i > 0 ? SPAN(" ") : SPAN(""));
        text_add(&shown, term);
    }
    json_decref(root);
    verify->query = text_span(&shown);
    return good && !shown.overflow;
}

/* Once all seals are there. */
static bool begin_scope(struct following *following, const struct query *query)
{
    struct verify *verify = following->verify;
    const struct seal_list *seals = &following->seals;
    evidence_scope(&following->scope, query, seals);
    following->shown.items = arena_array(verify->arena, uint32_t, ROSTER_RECORDS_MAX);
    following->answers.items = arena_array(verify->arena, uint32_t, ROSTER_RECORDS_MAX);
    following->entries = arena_alloc(verify->arena, ENTRIES_BYTES);
    verify->proves = following->scope.proves;
    for (size_t i = 1; i < seals->count; i++) {
        uint64_t records = seals->items[i].seq - seals->items[i - 1].seq;
        enum evidence_need need = evidence_need(&following->scope, seals, i);
        verify->unknown += need == EVIDENCE_UNKNOWN ? records : 0;
        verify->pruned_records += need == EVIDENCE_PRUNED ? records : 0;
    }
    if (seals->count > 0)
        verify->to = seals->items[seals->count - 1].time;
    else
        complain(following, VERIFY_TRUNCATE, 0, "there are no seals");
    return following->shown.items != NULL && following->answers.items != NULL &&
           following->entries != NULL;
}

/* ---- what answers ---- */

static bool has_number(const struct numbers *numbers, uint32_t number)
{
    size_t low = 0, high = numbers->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (numbers->items[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < numbers->count && numbers->items[low] == number;
}

/* Nothing stands here of an interval that the query asks for: intervals up to `i` are settled.
 */
static void settle_up_to(struct following *following, size_t i)
{
    const struct seal_list *seals = &following->seals;
    for (size_t k = following->settled + 1; k <= i && k < seals->count; k++)
        if (following->scope.proves &&
            evidence_need(&following->scope, seals, k) == EVIDENCE_NEEDED)
            complain(following, VERIFY_DELETE, seals->items[k].seq,
                     "of the records up to this one nothing is shown");
    if (i > following->settled)
        following->settled = i;
}

/* All that answers has to be there. */
static void settle(struct following *following, size_t i)
{
    uint64_t first = following->seals.items[i - 1].seq + 1;
    bool here = following->shown_seal == i;
    for (size_t k = 0; k < following->answers.count; k++) {
        uint32_t number = following->answers.items[k];
        if (here && has_number(&following->shown, number))
            continue;
        if (following->scope.vague)
            following->verify->unproven++;
        else
            complain(following, VERIFY_DELETE, first + number,
                     "this record answers the query, and is not shown");
    }
    following->settled = i;
}

static void keep_answers(struct following *following, const struct roster_proof *proof,
                         uint64_t tag)
{
    struct numbers *answers = &following->answers;
    size_t at = 0, kept = 0, passed = 0;
    uint32_t number;
    while (roster_next(proof, tag, &at, &number)) {
        while (passed < answers->count && answers->items[passed] < number)
            passed++;
        bool both = following->term == 0 ||
                    (passed < answers->count && answers->items[passed] == number);
        if (both && kept < ROSTER_RECORDS_MAX)
            answers->items[kept++] = number;
    }
    answers->count = kept;
}

static bool read_proof(struct following *following, struct span line,
                       struct roster_proof *proof)
{
    struct span text, rest;
    size_t len = 0;
    ssize_t path = span_find(line, SPAN("\"path\":["));
    if (!line_member(line, SPAN("\"entries\":"), &text) || path < 0 ||
        sodium_base642bin((unsigned char *)following->entries, ENTRIES_BYTES, text.p, text.len,
                          NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
        return false;
    proof->entries = span_of(following->entries, len);
    rest = span_sub(line, (size_t)path + sizeof("\"path\":[") - 1, line.len);
    for (int level = 0; level < ROSTER_LEVELS; level++) {
        text = span_sub(rest, 1, EVIDENCE_HASH_TEXT);
        if (text.len != EVIDENCE_HASH_TEXT ||
            sodium_base642bin(proof->path[level], ROSTER_HASH, text.p, text.len, NULL, &len,
                              NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 ||
            len != ROSTER_HASH)
            return false;
        rest = span_sub(rest, EVIDENCE_HASH_TEXT + 3, rest.len);
    }
    return true;
}

/* `upto` names the seal, and the term has to be the one whose turn it is. */
static void take_roster(struct following *following, struct span line)
{
    const struct evidence_scope *scope = &following->scope;
    const struct seal_list *seals = &following->seals;
    struct roster_proof proof;
    struct span name, upto;
    uint64_t seq = 0;
    bool told = line_member(line, SPAN("\"roster\":"), &name) &&
                line_member(line, SPAN("\"upto\":"), &upto) && span_uint(upto, &seq);
    size_t i = told ? evidence_seal(seals, seq) : seals->count;
    if (i == 0 || i >= seals->count || seals->items[i].seq != seq || i <= following->settled ||
        evidence_need(scope, seals, i) != EVIDENCE_NEEDED) {
        complain(following, VERIFY_INSERT, seq, "a roster that nobody asked for");
        return;
    }
    if (following->roster_seal != i) {
        settle_up_to(following, i - 1);
        following->roster_seal = i;
        following->term = 0;
    }
    if (following->term == scope->exact_count ||
        !span_equal(name, span_text(block_key_name(scope->exact[following->term].key))) ||
        !read_proof(following, line, &proof) ||
        !roster_check(seals->items[i].roster, scope->exact[following->term].tag, &proof)) {
        complain(following, VERIFY_EDIT, seq, "this roster is not the one that was sealed");
        following->term = scope->exact_count;
        following->settled = i;
        return;
    }
    keep_answers(following, &proof, scope->exact[following->term].tag);
    if (++following->term == scope->exact_count)
        settle(following, i);
}

/* ---- records ---- */

/* The seal that this interval begins behind: its number and head are those that were signed. */
static void begin_interval(struct following *following, struct span line)
{
    const struct seal_list *seals = &following->seals;
    struct span value;
    uint64_t after = 0;
    following->inside = false;
    if (!line_member(line, SPAN("\"after\":"), &value) || !span_uint(value, &after)) {
        complain(following, VERIFY_UNREADABLE, 0, "no interval");
        return;
    }
    if (after < following->seq) {
        complain(following, VERIFY_DUPLICATE, after, "records behind it were shown before");
        return;
    }
    size_t i = evidence_seal(seals, after);
    bool sealed = i < seals->count && seals->items[i].seq == after;
    /* Of several seals of this number the last: the next one is then behind it. */
    while (sealed && i + 1 < seals->count && seals->items[i + 1].seq == after)
        i++;
    if (!sealed || i + 1 >= seals->count) {
        complain(following, VERIFY_INSERT, after, "no seal was made at this record");
        return;
    }
    memcpy(following->head, seals->items[i].head, CHAIN_BYTES);
    following->seq = after;
    following->next_seal = following->shown_seal = i + 1;
    following->shown.count = 0;
    following->hidden = 0;
    following->inside = true;
}

/* A query of times alone has no rosters: all of its intervals are here. */
static void end_interval(struct following *following)
{
    const struct seal_entry *end = &following->seals.items[following->next_seal];
    const struct evidence_scope *scope = &following->scope;
    following->inside = false;
    if (memcmp(following->head, end->head, CHAIN_BYTES) != 0)
        complain(following, VERIFY_EDIT, end->seq,
                 "records up to this one are not those that were sealed");
    if (!scope->proves || scope->exact_count > 0 || following->next_seal <= following->settled)
        return;
    settle_up_to(following, following->next_seal - 1);
    if (following->hidden > 0)
        complain(following, VERIFY_DELETE, end->seq,
                 "not all records up to this one are shown, and all were asked for");
    following->settled = following->next_seal;
}

static void step(struct following *following, const uint8_t leaf[CHAIN_BYTES])
{
    following->seq++;
    chain_advance(following->head, following->seq, leaf);
    if (following->seq == following->seals.items[following->next_seal].seq)
        end_interval(following);
}

static void take_record(struct following *following, struct span line)
{
    struct verify *verify = following->verify;
    const struct evidence_scope *scope = &following->scope;
    struct sealed sealed;
    uint8_t leaf[CHAIN_BYTES];
    if (!sealed_parse(line, &sealed) || sealed.seq != following->seq + 1) {
        complain(following, VERIFY_INSERT, following->seq,
                 "behind this record stands one that does not follow it");
        following->inside = false;
        return;
    }
    uint64_t number = sealed.seq - following->seals.items[following->next_seal - 1].seq - 1;
    uint64_t us = line_time(line);
    if (!query_matches(&scope->query, line))
        complain(following, VERIFY_INSERT, sealed.seq, "this record does not answer the query");
    else if (us < scope->since_us || (scope->until_us > 0 && us > scope->until_us))
        verify->beside++;
    if (number < ROSTER_RECORDS_MAX)
        following->shown.items[following->shown.count++] = (uint32_t)number;
    verify->records++;
    chain_leaf(sealed.body, leaf);
    step(following, leaf);
}

static bool take_leaf(struct following *following, struct span line)
{
    uint8_t leaf[CHAIN_BYTES];
    size_t len = 0;
    struct span text = span_sub(line, leaf_words.len, EVIDENCE_HASH_TEXT);
    if (sodium_base642bin(leaf, sizeof(leaf), text.p, text.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 ||
        len != sizeof(leaf))
        return false;
    following->verify->hidden++;
    following->hidden++;
    step(following, leaf);
    return true;
}

/* ---- lines ---- */

static void take_end(struct following *following, struct span line)
{
    const struct verify *verify = following->verify;
    struct span value;
    uint64_t records = 0, hidden = 0;
    bool told = line_member(line, SPAN("\"records\":"), &value) && span_uint(value, &records) &&
                line_member(line, SPAN("\"hidden\":"), &value) && span_uint(value, &hidden);
    following->ended = true;
    settle_up_to(following, following->seals.count);
    if (!told || records != verify->records || hidden != verify->hidden)
        complain(following, VERIFY_DELETE, following->seq,
                 "its end counts other records than it has");
}

static void follow_line(struct following *following, struct span line)
{
    bool inside = following->inside;
    if (span_starts(line, interval_words)) {
        if (inside)
            complain(following, VERIFY_TRUNCATE, following->seq,
                     "an interval ends before its seal");
        begin_interval(following, line);
    } else if (!inside && !following->ended && span_starts(line, end_words)) {
        take_end(following, line);
    } else if (!inside && !following->ended && following->scope.proves &&
               span_starts(line, roster_words)) {
        take_roster(following, line);
    } else if (!inside) {
        complain(following, VERIFY_INSERT, following->seq, "a line that no seal speaks of");
    } else if (!span_starts(line, leaf_words) || !take_leaf(following, line)) {
        take_record(following, line);
    }
}

static enum err follow(struct following *following, struct lines *lines, const char *pinned)
{
    struct query query = { .limit = 0 };
    struct span line;
    bool sealing = true;
    if (!lines_next(lines, &line) || !span_starts(line, first_words) ||
        !read_query(following, line, &query))
        return lines->error != OK ? lines->error : ERR_SYNTAX;
    while (lines_next(lines, &line)) {
        if (sealing && span_starts(line, SPAN("{\"seal\":"))) {
            if (!seals_add(following->verify, &following->seals, line, following->file, pinned))
                return OK;
            continue;
        }
        if (sealing && !begin_scope(following, &query))
            return ERR_MEMORY;
        sealing = false;
        follow_line(following, line);
    }
    if (lines->error == OK && (lines->torn || following->inside || !following->ended))
        complain(following, VERIFY_TRUNCATE, following->seq, "the end is missing");
    return lines->error;
}

enum err verify_evidence(struct verify *verify, const char *path, const char *pinned,
                         struct arena *arena)
{
    struct lines lines;
    struct following following = { .verify = verify, .file = path };
    memset(verify, 0, sizeof(*verify));
    verify->arena = arena;
    TRY(chain_init());
    TRY(lines_open(&lines, path, false));
    enum err err = follow(&following, &lines, pinned);
    lines_close(&lines);
    verify->complete = err == OK && verify->count == 0 && verify->proves &&
                       verify->unproven == 0 && verify->unknown == 0;
    return err;
}
