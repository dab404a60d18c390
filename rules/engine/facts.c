/*
 * Facts in a file: one record for each pattern, one behind the other.
 *
 * A record: a head; the key, which is the flags and the text; what is needed and by which ways,
 * each when that is known. What is needed: struct pattern_need as it is, so that no field of it
 * can be forgotten, but without pointers, and both lists of texts, each text behind a byte with
 * its length. The ways: their number, and the same of each struct need_way. Numbers are as the
 * processor has them: the file is never another's.
 */
#include "rules/engine/facts.h"

#include <stdlib.h>

#include "gateway/base/table.h"
#include "gateway/base/text.h"

enum {
    MEMORY_MAX = 128 << 20,
    ROOM = 1024, /* for patterns that are not known yet, and again when that is full */
};

/* What is known of a pattern. */
enum known {
    SAID = 1, /* Hyperscan has said whether it takes it, and then: */
    TAKEN = 2,
    AT_END = 4,
    CASE = 8, /* it is known whether case means anything to it, and then: */
    BLIND = 16,
    ALL = 31,
};

struct record_head {
    uint64_t shortest;
    uint32_t key_len, need_len; /* 0: not known */
    uint32_t known;
    uint32_t ways_len; /* 0: not known */
};

struct fact {
    struct span key, need, ways; /* as they are written */
    uint64_t shortest;
    unsigned known;
    bool asked;
};

struct facts {
    struct arena arena;
    struct table table; /* key -> struct fact */
    struct fact **items;
    size_t count, capacity;
    bool learnt;
};

/* ---- reading --------------------------------------------------------------------------------
 */

static bool take(struct span *rest, void *into, size_t len)
{
    if (rest->len < len)
        return false;
    memcpy(into, rest->p, len);
    *rest = span_sub(*rest, len, rest->len);
    return true;
}

static bool take_span(struct span *rest, struct span *part, size_t len)
{
    if (rest->len < len)
        return false;
    *part = span_sub(*rest, 0, len);
    *rest = span_sub(*rest, len, rest->len);
    return true;
}

static bool read_texts(struct span *rest, unsigned count, struct arena *arena,
                       const struct span **out)
{
    *out = NULL;
    if (count == 0)
        return true;
    if (count > NEED_TEXTS_MAX)
        return false;
    struct span *texts = arena_array(arena, struct span, count);
    for (unsigned i = 0; i < count; i++) {
        uint8_t len;
        struct span text;
        if (texts == NULL || !take(rest, &len, sizeof(len)) || len > NEED_TEXT_BYTES_MAX ||
            len == 0 || !take_span(rest, &text, len))
            return false;
        texts[i] = arena_copy(arena, text);
        if (texts[i].p == NULL)
            return false;
    }
    *out = texts;
    return true;
}

/* Who adds a pointer to it says here, and in both functions, what becomes of it. */
_Static_assert(sizeof(struct pattern_need) ==
                   (2 + NEED_SETS_MAX) * sizeof(struct byte_set) + 3 * sizeof(uint64_t),
               "of pattern_need only texts is a pointer");

static bool is_bool(const bool *p)
{
    uint8_t byte;
    memcpy(&byte, p, sizeof(byte));
    return byte <= 1;
}

/* False: it is not as it was written, or there is no memory. */
static bool read_need(struct span written, struct arena *arena, struct pattern_need *need)
{
    return take(&written, need, sizeof(*need)) && is_bool(&need->literal) &&
           is_bool(&need->never) && need->set_count <= NEED_SETS_MAX &&
           read_texts(&written, need->text_count, arena, &need->texts) && written.len == 0;
}

_Static_assert(sizeof(struct need_way) ==
                   (NEED_STARTS + NEED_SETS_MAX) * sizeof(struct byte_set) +
                       NEED_LISTS * sizeof(struct need_list) + 2 * sizeof(uint64_t),
               "of need_way only the lists have pointers");

static bool read_way(struct span *rest, struct arena *arena, struct need_way *way)
{
    bool good = take(rest, way, sizeof(*way)) && way->set_count <= NEED_SETS_MAX &&
                way->list_count <= NEED_LISTS;
    for (unsigned i = 0; good && i < way->list_count; i++)
        good = way->lists[i].count > 0 &&
               read_texts(rest, way->lists[i].count, arena, &way->lists[i].texts);
    return good;
}

static bool read_ways(struct span written, struct arena *arena, struct pattern_ways *ways)
{
    if (!take(&written, &ways->count, sizeof(ways->count)) || ways->count > NEED_WAYS_MAX)
        return false;
    for (unsigned i = 0; i < ways->count; i++) {
        if (!read_way(&written, arena, &ways->items[i]))
            return false;
    }
    return written.len == 0;
}

static struct fact *add_fact(struct facts *facts, struct span key);

/* The rest of a file that is not as it was written is left out. */
static void read_all(struct facts *facts, struct span rest)
{
    struct record_head head;
    while (facts->count < FACTS_MAX && take(&rest, &head, sizeof(head))) {
        struct span key, need, ways;
        if (!take_span(&rest, &key, head.key_len) || !take_span(&rest, &need, head.need_len) ||
            !take_span(&rest, &ways, head.ways_len) || (head.known & ~(uint32_t)ALL) != 0)
            return;
        struct fact *fact = add_fact(facts, key);
        if (fact == NULL)
            return;
        fact->known = head.known;
        fact->shortest = head.shortest;
        fact->need = need;
        fact->ways = ways;
    }
}

/* ---- writing --------------------------------------------------------------------------------
 */

static void put(struct text *out, const void *p, size_t len)
{
    text_add(out, span_of(p, len));
}

static void write_texts(struct text *out, const struct span *texts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t len = (uint8_t)texts[i].len;
        put(out, &len, sizeof(len));
        text_add(out, texts[i]);
    }
}

static struct span write_need(struct facts *facts, const struct pattern_need *need)
{
    struct pattern_need flat = *need;
    flat.texts = NULL;
    struct text out = text_growing(&facts->arena, 2 * sizeof(flat));
    put(&out, &flat, sizeof(flat));
    write_texts(&out, need->texts, need->text_count);
    return out.overflow ? (struct span){ 0 } : text_span(&out);
}

static struct span write_ways(struct facts *facts, const struct pattern_ways *ways)
{
    struct text out = text_growing(&facts->arena, 2 * sizeof(*ways->items));
    put(&out, &ways->count, sizeof(ways->count));
    for (unsigned i = 0; i < ways->count; i++) {
        const struct need_way *way = &ways->items[i];
        struct need_way flat = *way;
        for (unsigned j = 0; j < NEED_LISTS; j++)
            flat.lists[j].texts = NULL;
        put(&out, &flat, sizeof(flat));
        for (unsigned j = 0; j < way->list_count; j++)
            write_texts(&out, way->lists[j].texts, way->lists[j].count);
    }
    return out.overflow ? (struct span){ 0 } : text_span(&out);
}

static void write_fact(struct text *out, const struct fact *fact)
{
    struct record_head head = {
        .shortest = fact->shortest,
        .key_len = (uint32_t)fact->key.len,
        .need_len = (uint32_t)fact->need.len,
        .known = fact->known,
        .ways_len = (uint32_t)fact->ways.len,
    };
    if (out->len + sizeof(head) + fact->key.len + fact->need.len + fact->ways.len >
        FACTS_BYTES_MAX)
        return;
    put(out, &head, sizeof(head));
    text_add(out, fact->key);
    text_add(out, fact->need);
    text_add(out, fact->ways);
}

struct span facts_content(struct facts *facts)
{
    struct span none = { 0 };
    if (!facts->learnt)
        return none;
    struct text out = text_growing(&facts->arena, 64 * 1024);
    for (int asked = 1; asked >= 0; asked--) {
        for (size_t i = 0; i < facts->count; i++) {
            if (facts->items[i]->asked == (asked != 0))
                write_fact(&out, facts->items[i]);
        }
    }
    return out.overflow ? none : text_span(&out);
}

/* ---- looking up -----------------------------------------------------------------------------
 */

static bool make_room(struct facts *facts, size_t capacity)
{
    struct table table;
    struct fact **items = arena_array(&facts->arena, struct fact *, capacity);
    if (items == NULL || table_init(&table, &facts->arena, capacity) != OK)
        return false;
    for (size_t i = 0; i < facts->count; i++) {
        items[i] = facts->items[i];
        if (table_put(&table, items[i]->key, items[i]) != OK)
            return false;
    }
    facts->items = items;
    facts->table = table;
    facts->capacity = capacity;
    return true;
}

/* NULL: it is there already, or there is no room. */
static struct fact *add_fact(struct facts *facts, struct span key)
{
    if (facts->count == FACTS_MAX ||
        (facts->count == facts->capacity && !make_room(facts, 2 * facts->capacity)))
        return NULL;
    struct fact *fact = arena_new(&facts->arena, struct fact);
    if (fact == NULL || table_put(&facts->table, key, fact) != OK)
        return NULL;
    fact->key = key;
    facts->items[facts->count++] = fact;
    return fact;
}

/* What is known of the pattern, or a place for it; NULL: there is none. */
static struct fact *fact_of(struct facts *facts, const char *text, unsigned flags)
{
    if (facts == NULL)
        return NULL;
    size_t len = strlen(text);
    char *key = arena_alloc(&facts->arena, sizeof(flags) + len);
    if (key == NULL)
        return NULL;
    memcpy(key, &flags, sizeof(flags));
    memcpy(key + sizeof(flags), text, len);
    struct span whole = span_of(key, sizeof(flags) + len);
    struct fact *fact = table_get(&facts->table, whole);
    if (fact == NULL)
        fact = add_fact(facts, whole);
    if (fact != NULL)
        fact->asked = true;
    return fact;
}

/* ---- asking ---------------------------------------------------------------------------------
 */

/* What is refused is asked about again where somebody wants to hear why. */
static bool is_said(const struct fact *fact, const struct text *why)
{
    return fact != NULL && (fact->known & SAID) != 0 &&
           ((fact->known & TAKEN) != 0 || why == NULL);
}

bool facts_read(struct facts *facts, struct span source, bool caseless, struct arena *arena,
                struct pattern_info *info, struct text *why)
{
    char buffer[256];
    struct text unheard = text_fixed(buffer, sizeof(buffer));
    struct text *words = why != NULL ? why : &unheard;
    if (!pattern_rewrite(source, caseless, arena, info, words))
        return false;
    struct fact *fact = fact_of(facts, info->text, info->flags);
    if (is_said(fact, why)) {
        info->shortest = fact->shortest;
        info->at_end = (fact->known & AT_END) != 0;
        return (fact->known & TAKEN) != 0;
    }
    bool memory = false, taken = pattern_ask(info, words, &memory);
    if (fact == NULL || memory)
        return taken;
    fact->known &= ~(unsigned)(SAID | TAKEN | AT_END);
    fact->known |= SAID | (taken ? TAKEN : 0) | (taken && info->at_end ? AT_END : 0);
    fact->shortest = taken ? info->shortest : 0;
    facts->learnt = true;
    return taken;
}

enum err facts_need(struct facts *facts, const char *text, unsigned flags, struct arena *arena,
                    struct pattern_need *need)
{
    struct fact *fact = fact_of(facts, text, flags);
    if (fact != NULL && fact->need.len > 0 && read_need(fact->need, arena, need))
        return OK;
    TRY(pattern_need(text, flags, arena, need));
    if (fact == NULL)
        return OK;
    fact->need = write_need(facts, need);
    facts->learnt = true;
    return OK;
}

enum err facts_ways(struct facts *facts, const char *text, unsigned flags, struct arena *arena,
                    struct pattern_ways *ways)
{
    struct fact *fact = fact_of(facts, text, flags);
    if (fact != NULL && fact->ways.len > 0 && read_ways(fact->ways, arena, ways))
        return OK;
    TRY(pattern_ways(text, flags, arena, ways));
    if (fact == NULL)
        return OK;
    fact->ways = write_ways(facts, ways);
    facts->learnt = true;
    return OK;
}

bool facts_is_blind_to_case(struct facts *facts, const char *text, unsigned flags)
{
    struct fact *fact = fact_of(facts, text, flags);
    if (fact != NULL && (fact->known & CASE) != 0)
        return (fact->known & BLIND) != 0;
    bool blind = pattern_is_blind_to_case(text, flags);
    if (fact == NULL)
        return blind;
    fact->known &= ~(unsigned)BLIND; /* nothing that nobody has said */
    fact->known |= CASE | (blind ? BLIND : 0);
    facts->learnt = true;
    return blind;
}

/* ---- life -----------------------------------------------------------------------------------
 */

struct facts *facts_open(struct span content)
{
    struct facts *facts = calloc(1, sizeof(*facts));
    if (facts == NULL)
        return NULL;
    arena_init(&facts->arena, NULL, 0, NULL, MEMORY_MAX);
    struct span kept = arena_copy(&facts->arena, content);
    if (kept.p == NULL || !make_room(facts, ROOM)) {
        facts_close(facts);
        return NULL;
    }
    read_all(facts, kept);
    return facts;
}

void facts_close(struct facts *facts)
{
    if (facts == NULL)
        return;
    arena_reset(&facts->arena);
    free(facts);
}
