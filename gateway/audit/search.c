/*
 * Terms, matching, and the walk over segments.
 */
#include "gateway/audit/search.h"

#include "gateway/base/json.h"

/* ---- terms ---- */

enum term_kind {
    TERM_KEY, /* what each record is found by: the value as it stands there */
    TERM_CLIENT,
    TERM_STATUS,
    TERM_PATH,
    TERM_SINCE,
    TERM_UNTIL,
    TERM_LIMIT,
};

static const struct term {
    struct span name;
    enum term_kind kind;
    enum block_key key; /* of TERM_KEY */
} terms[] = {
    { SPAN_INIT("ip"), TERM_CLIENT, 0 },
    { SPAN_INIT("id"), TERM_KEY, KEY_ID },
    { SPAN_INIT("user"), TERM_KEY, KEY_USER },
    { SPAN_INIT("rule"), TERM_KEY, KEY_RULE },
    { SPAN_INIT("reason"), TERM_KEY, KEY_REASON },
    { SPAN_INIT("action"), TERM_KEY, KEY_ACTION },
    { SPAN_INIT("status"), TERM_STATUS, 0 },
    { SPAN_INIT("host"), TERM_KEY, KEY_HOST },
    { SPAN_INIT("path"), TERM_PATH, 0 },
    { SPAN_INIT("since"), TERM_SINCE, 0 },
    { SPAN_INIT("until"), TERM_UNTIL, 0 },
    { SPAN_INIT("limit"), TERM_LIMIT, 0 },
};

/* 90s 30m 2h 7d: so long before `now`; or a time. */
static bool parse_when(struct span text, uint64_t now_us, uint64_t *us)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    uint64_t count, seconds;
    if (time_parse(text, us))
        return true;
    if (text.len == 20 && text.p[19] == 'Z') { /* without the milliseconds */
        char full[24];
        memcpy(full, text.p, 19);
        memcpy(full + 19, ".000Z", 5);
        return time_parse(span_of(full, sizeof(full)), us);
    }
    if (text.len < 2 || !span_uint(span_sub(text, 0, text.len - 1), &count))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (units[i].unit == text.p[text.len - 1] &&
            !__builtin_mul_overflow(count, units[i].seconds * 1000000u, &seconds)) {
            *us = seconds < now_us ? now_us - seconds : 0;
            return true;
        }
    return false;
}

static struct span escaped(struct span value, struct arena *arena)
{
    struct text out = text_growing(arena, value.len + 16);
    json_escape(&out, value);
    return text_span(&out);
}

static const char *client_term(struct query *query, struct span value, struct arena *arena)
{
    if (!cidr_parse(value, true, &query->client))
        return "ip= takes an address or a prefix";
    query->has_client = true;
    bool single = query->client.bits == (query->client.addr.family == ADDR_V4 ? 32 : 128);
    if (!single)
        return NULL;
    struct text out = text_growing(arena, 64); /* as the records spell it */
    addr_write(&out, &query->client.addr);
    query->values[KEY_CLIENT] = text_span(&out);
    return NULL;
}

static const char *status_term(struct query *query, struct span value)
{
    uint64_t status;
    if (value.len == 3 && span_ends(value, SPAN("xx")) && value.p[0] >= '1' &&
        value.p[0] <= '5') {
        query->status_class = (unsigned)(value.p[0] - '0');
        return NULL;
    }
    if (value.len != 3 || !span_uint(value, &status) || status < 100 || status > 599)
        return "status= takes a status such as 403, or 4xx";
    query->values[KEY_STATUS] = value;
    return NULL;
}

static const char *time_term(struct span value, uint64_t now_us, uint64_t *us)
{
    return parse_when(value, now_us, us)
               ? NULL
               : "a time is 90s, 30m, 2h, 7d (ago), or 2027-01-14T09:12:41Z";
}

static const struct term *term_named(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(terms); i++)
        if (span_equal(name, terms[i].name))
            return &terms[i];
    return NULL;
}

const char *query_term(struct query *query, struct span term, uint64_t now_us,
                       struct arena *arena)
{
    struct span value = term, name;
    if (!span_cut(&value, '=', &name) || value.p == NULL || value.len == 0)
        return "a term is name=value";
    const struct term *row = term_named(name);
    if (row == NULL)
        return "terms are ip, id, user, rule, reason, action, status, host, path, since, "
               "until, limit";
    /* Of two of a kind one would be left out, and evidence would seem to answer both. */
    unsigned bit = 1u << (row - terms);
    if ((query->given & bit) != 0)
        return "no term can be given twice";
    query->given |= bit;
    switch (row->kind) {
    case TERM_KEY:
        query->values[row->key] = escaped(value, arena);
        return NULL;
    case TERM_CLIENT:
        return client_term(query, value, arena);
    case TERM_STATUS:
        return status_term(query, value);
    case TERM_PATH:
        query->path = escaped(value, arena);
        return NULL;
    case TERM_SINCE:
        return time_term(value, now_us, &query->since_us);
    case TERM_UNTIL:
        return time_term(value, now_us, &query->until_us);
    case TERM_LIMIT:
        return span_uint(value, &query->limit) ? NULL : "limit= takes a number";
    }
    return NULL;
}

/* ---- matching ---- */

static bool value_matches(const struct query *query, struct span line, enum block_key key)
{
    struct span value, wanted = query->values[key];
    size_t at = 0;
    while (line_value(line, key, &at, &value))
        if (span_equal(value, wanted))
            return true;
    return false;
}

static bool client_matches(const struct query *query, struct span line)
{
    struct span value;
    struct addr addr;
    size_t at = 0;
    return line_value(line, KEY_CLIENT, &at, &value) && addr_parse(value, &addr) &&
           cidr_contains(&query->client, &addr);
}

bool query_matches(const struct query *query, struct span line)
{
    /* The cheapest first: most lines fall here. */
    for (int key = 0; key < KEY_COUNT; key++)
        if (query->values[key].len > 0 && !value_matches(query, line, (enum block_key)key))
            return false;
    if (query->has_client && query->values[KEY_CLIENT].len == 0 && !client_matches(query, line))
        return false;
    if (query->since_us > 0 || query->until_us > 0) {
        uint64_t us = line_time(line);
        if (us < query->since_us || (query->until_us > 0 && us > query->until_us))
            return false;
    }
    struct span value;
    size_t at = 0;
    if (query->status_class > 0 &&
        (!line_value(line, KEY_STATUS, &at, &value) || value.len != 3 ||
         (unsigned)(value.p[0] - '0') != query->status_class))
        return false;
    return query->path.len == 0 ||
           (line_member(line, SPAN("\"path\":"), &value) && span_starts(value, query->path));
}

/* ---- the walk ---- */

struct hunt {
    const struct query *query;
    struct span wanted; /* what every line has that matches, as it stands there; or empty */
    search_hit *hit;
    void *context;
    struct search_stats *stats;
    bool done;
};

static void look_at(struct hunt *hunt, struct lines *lines)
{
    struct span line;
    while (!hunt->done && lines_next(lines, &line)) {
        hunt->stats->lines++;
        if (!query_matches(hunt->query, line))
            continue;
        hunt->stats->hits++;
        hunt->done = !hunt->hit(hunt->context, line) ||
                     (hunt->query->limit > 0 && hunt->stats->hits >= hunt->query->limit);
    }
}

/* Whether the block has a number of one of the ranges, or numbers that are not known. */
static bool in_ranges(const struct query *query, const struct block *block)
{
    size_t low = 0, high = query->range_count;
    if (query->range_count == 0 || block->first_seq == 0)
        return true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (query->ranges[middle].last < block->first_seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < query->range_count && query->ranges[low].first <= block->last_seq;
}

static bool worth_reading(const struct query *query, const struct block *block)
{
    if (block->last_us < query->since_us ||
        (query->until_us > 0 && block->first_us > query->until_us))
        return false;
    if (!in_ranges(query, block))
        return false;
    if (!block_may_begin(block, query->path))
        return false;
    for (int key = 0; key < KEY_COUNT; key++)
        if (query->values[key].len > 0 &&
            !block_may_have(block, (enum block_key)key, query->values[key]))
            return false;
    return true;
}

static void look_by_index(struct hunt *hunt, struct lines *lines,
                          const struct block_index *index)
{
    for (size_t i = 0; i < index->count && !hunt->done && lines->error == OK; i++) {
        const struct block *block = &index->blocks[i];
        if (!worth_reading(hunt->query, block)) {
            hunt->stats->blocks_skipped++;
            continue;
        }
        hunt->stats->blocks_read++;
        lines_seek(lines, block->offset, block->offset + block->len);
        look_at(hunt, lines);
    }
}

static enum err look_into(struct hunt *hunt, const struct segment *segment, struct arena *arena)
{
    struct lines lines;
    struct block_index index;
    struct text name = text_growing(arena, 256);
    struct span base = span_text(segment->path);
    if (segment->compressed)
        base.len -= 4;
    text_add(&name, base);
    text_lit(&name, ".idx");
    const char *index_path = text_cstring(&name);
    /* A segment that was complete before the first moment asked for. */
    if (segment->number != UINT64_MAX &&
        segment->modified_us + 1000000u < hunt->query->since_us)
        return OK;
    enum err err = segment_open(&lines, segment);
    if (err != OK)
        return err == ERR_MISSING ? OK : err; /* retention was here first */
    lines.wanted = hunt->wanted;
    if (segment->compressed && index_path != NULL &&
        block_index_open(&index, index_path, segment->size) == OK) {
        look_by_index(hunt, &lines, &index);
        block_index_close(&index);
    } else {
        look_at(hunt, &lines);
    }
    err = lines.error;
    lines_close(&lines);
    return err;
}

/* A search for one text in megabytes is many times as fast as looking at each line. */
static struct span wanted_text(const struct query *query, struct arena *arena)
{
    static const enum block_key strings[] = { KEY_ID,   KEY_CLIENT, KEY_USER,  KEY_RULE,
                                              KEY_HOST, KEY_REASON, KEY_ACTION };
    struct text out = text_growing(arena, 256);
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        struct span value = query->values[strings[i]];
        if (value.len == 0)
            continue;
        text_char(&out, '"');
        text_add(&out, value);
        text_char(&out, '"');
        return text_span(&out);
    }
    if (query->path.len > 0) {
        text_lit(&out, "\"path\":\"");
        text_add(&out, query->path);
    }
    return text_span(&out);
}

enum err search(const char *path, const struct query *query, struct arena *arena,
                search_hit *hit, void *context, struct search_stats *stats)
{
    struct segments segments;
    struct hunt hunt = { .query = query,
                         .wanted = wanted_text(query, arena),
                         .hit = hit,
                         .context = context,
                         .stats = stats };
    *stats = (struct search_stats){ .hits = 0 };
    TRY(segments_list(&segments, path, arena));
    if (segments.count == 0)
        return ERR_MISSING;
    enum err err = OK;
    for (size_t i = 0; i < segments.count && !hunt.done && err == OK; i++)
        err = look_into(&hunt, &segments.items[i], arena);
    segments_close(&segments);
    return err;
}
