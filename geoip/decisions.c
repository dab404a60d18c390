/* Decisions of a CrowdSec: see decisions.h. */
#include "geoip/decisions.h"

#include <stdlib.h>

#include "geoip/countries.h"
#include "geoip/jsonread.h"
#include "geoip/listfile.h"
#include "geoip/listguard.h"

enum { SLOTS_LEAST = 64, TEXT_SLOTS = 2 * DECISIONS_TEXTS_MAX };
#define APPLY_MEMORY ((size_t)1 << 30)

enum scope { SCOPE_V4, SCOPE_V6, SCOPE_PLACE };

/* Without padding: it is hashed and compared as bytes. */
struct key {
    uint8_t bytes[16]; /* address, or the number of a place */
    uint8_t scope, bits, kind, zero;
};

struct decision {
    struct key key;
    uint16_t source, reason; /* numbers of texts */
    uint32_t expires_s;
    uint32_t round; /* of the answer that brought it */
};

struct text_row {
    char bytes[ADDRLIST_TEXT_MAX];
    uint8_t len;
};

struct decisions {
    struct siphash_key seed; /* who may write decisions chooses addresses and texts */
    struct decision *items;
    uint32_t *slots; /* numbers of items plus one; 0: free */
    size_t count, room, slot_mask;
    uint32_t round;
    size_t counts[DECISION_KINDS], places[DECISION_KINDS];
    struct text_row *texts; /* the first is "..." */
    uint16_t *text_slots;   /* the same for texts */
    size_t text_count;
};

struct decisions *decisions_new(void)
{
    struct decisions *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return NULL;
    random_bytes(&set->seed, sizeof(set->seed));
    set->slots = calloc(SLOTS_LEAST, sizeof(*set->slots));
    set->slot_mask = SLOTS_LEAST - 1;
    set->texts = malloc(DECISIONS_TEXTS_MAX * sizeof(*set->texts));
    set->text_slots = calloc(TEXT_SLOTS, sizeof(*set->text_slots));
    if (set->slots == NULL || set->texts == NULL || set->text_slots == NULL) {
        decisions_free(set);
        return NULL;
    }
    set->texts[set->text_count++] = (struct text_row){ .bytes = "...", .len = 3 };
    return set;
}

void decisions_free(struct decisions *set)
{
    if (set == NULL)
        return;
    free(set->items);
    free(set->slots);
    free(set->texts);
    free(set->text_slots);
    free(set);
}

/* ---- texts ---- */

static uint16_t intern(struct decisions *set, struct span text)
{
    if (text.len > ADDRLIST_TEXT_MAX)
        text.len = ADDRLIST_TEXT_MAX;
    size_t at = (size_t)siphash(&set->seed, text.p, text.len) & (TEXT_SLOTS - 1);
    for (; set->text_slots[at] != 0; at = (at + 1) & (TEXT_SLOTS - 1)) {
        const struct text_row *row = &set->texts[set->text_slots[at] - 1];
        if (span_equal(span_of(row->bytes, row->len), text))
            return (uint16_t)(set->text_slots[at] - 1);
    }
    if (set->text_count == DECISIONS_TEXTS_MAX)
        return 0;
    struct text_row *row = &set->texts[set->text_count];
    row->len = (uint8_t)text.len;
    if (text.len > 0)
        memcpy(row->bytes, text.p, text.len);
    set->text_slots[at] = (uint16_t)++set->text_count;
    return (uint16_t)(set->text_count - 1);
}

static struct span text_of(const struct decisions *set, uint16_t number)
{
    return span_of(set->texts[number].bytes, set->texts[number].len);
}

/* ---- the set ---- */

static size_t home_of(const struct decisions *set, const struct key *key)
{
    return (size_t)siphash(&set->seed, key, sizeof(*key)) & set->slot_mask;
}

/* The slot that has the key, or the free one where it belongs. */
static size_t slot_of(const struct decisions *set, const struct key *key)
{
    size_t at = home_of(set, key);
    while (set->slots[at] != 0 &&
           memcmp(&set->items[set->slots[at] - 1].key, key, sizeof(*key)) != 0)
        at = (at + 1) & set->slot_mask;
    return at;
}

static void count_one(struct decisions *set, const struct key *key, bool in)
{
    size_t one = in ? 1 : (size_t)-1;
    set->counts[key->kind] += one;
    if (key->scope == SCOPE_PLACE)
        set->places[key->kind] += one;
}

/* Room for so many more: then nothing fails halfway. */
static bool reserve(struct decisions *set, size_t more)
{
    size_t wanted = set->count + more, slots = set->slot_mask + 1;
    if (wanted > set->room) {
        struct decision *items = realloc(set->items, wanted * sizeof(*items));
        if (items == NULL)
            return false;
        set->items = items;
        set->room = wanted;
    }
    while (slots < 2 * wanted)
        slots *= 2;
    if (slots == set->slot_mask + 1)
        return true;
    uint32_t *fresh = calloc(slots, sizeof(*fresh));
    if (fresh == NULL)
        return false;
    free(set->slots);
    set->slots = fresh;
    set->slot_mask = slots - 1;
    for (size_t i = 0; i < set->count; i++)
        set->slots[slot_of(set, &set->items[i].key)] = (uint32_t)i + 1;
    return true;
}

/* Whoever stands behind a freed slot because of it moves up. */
static void close_gap(struct decisions *set, size_t gap)
{
    for (size_t at = (gap + 1) & set->slot_mask; set->slots[at] != 0;
         at = (at + 1) & set->slot_mask) {
        size_t home = home_of(set, &set->items[set->slots[at] - 1].key);
        if (((at - home) & set->slot_mask) < ((at - gap) & set->slot_mask))
            continue;
        set->slots[gap] = set->slots[at];
        gap = at;
    }
    set->slots[gap] = 0;
}

static bool take_out(struct decisions *set, const struct key *key)
{
    size_t at = slot_of(set, key);
    if (set->slots[at] == 0)
        return false;
    size_t item = set->slots[at] - 1, last = set->count - 1;
    count_one(set, key, false);
    if (item != last) {
        /* Before the gap is closed, which asks every slot for its item's key. */
        set->slots[slot_of(set, &set->items[last].key)] = (uint32_t)item + 1;
        set->items[item] = set->items[last];
    }
    close_gap(set, at);
    set->count--;
    return true;
}

static bool put_in(struct decisions *set, const struct decision *decision)
{
    size_t at = slot_of(set, &decision->key);
    if (set->slots[at] != 0) {
        struct decision *there = &set->items[set->slots[at] - 1];
        /* Older LAPIs tell all that there are for one address. */
        if (there->round != decision->round || there->expires_s < decision->expires_s)
            *there = *decision;
        return true;
    }
    if (set->count == set->room || set->count >= DECISIONS_MAX)
        return false;
    set->items[set->count] = *decision;
    set->slots[at] = (uint32_t)++set->count;
    count_one(set, &decision->key, true);
    return true;
}

static void drop_expired(struct decisions *set, uint32_t now_s)
{
    for (size_t i = set->count; i > 0; i--) {
        struct key key = set->items[i - 1].key;
        if (set->items[i - 1].expires_s <= now_s)
            (void)take_out(set, &key);
    }
}

/* ---- one decision ---- */

enum part {
    PART_SCOPE,
    PART_VALUE,
    PART_TYPE,
    PART_DURATION,
    PART_ORIGIN,
    PART_SCENARIO,
    PARTS
};
static const struct span part_names[PARTS] = {
    SPAN_INIT("scope"),    SPAN_INIT("value"),  SPAN_INIT("type"),
    SPAN_INIT("duration"), SPAN_INIT("origin"), SPAN_INIT("scenario"),
};

struct said {
    struct span parts[PARTS];
    bool simulated; /* it would have been one, if its scenario did not only watch */
};

struct saids {
    struct said *items;
    size_t count, room;
};

struct reading {
    struct jsonread in;
    struct saids fresh, gone;
};

static bool kind_of(struct span type, uint8_t *kind)
{
    *kind = span_equal_nocase(type, SPAN("captcha")) ? DECISION_CHALLENGE : DECISION_BAN;
    /* An exception of theirs is none of ours, and no ban. */
    return type.len > 0 && !span_equal_nocase(type, SPAN("bypass")) &&
           !span_equal_nocase(type, SPAN("allow"));
}

static bool put_cidr(struct key *key, struct span value, struct cidr *cidr)
{
    if (!cidr_parse(value, true, cidr))
        return false;
    key->scope = cidr->addr.family == ADDR_V4 ? SCOPE_V4 : SCOPE_V6;
    key->bits = cidr->bits;
    memcpy(key->bytes, cidr->addr.bytes, sizeof(key->bytes));
    return true;
}

static bool put_country(struct key *key, struct span value)
{
    char code[3] = "";
    if (value.len != 2)
        return false;
    for (size_t i = 0; i < 2; i++)
        code[i] = (char)(value.p[i] >= 'a' && value.p[i] <= 'z' ? value.p[i] - 32 : value.p[i]);
    if (country_continent(code) == NULL)
        return false;
    uint64_t place = addrlist_country(code);
    memcpy(key->bytes, &place, sizeof(place));
    return true;
}

static bool put_network(struct key *key, struct span value)
{
    uint64_t number;
    if (span_starts_nocase(value, SPAN("AS")))
        value = span_sub(value, 2, value.len);
    if (!span_uint(value, &number) || number == 0 || number > UINT32_MAX)
        return false;
    uint64_t place = addrlist_network((uint32_t)number);
    memcpy(key->bytes, &place, sizeof(place));
    return true;
}

/* `cidr` has no family where it is a place. */
static bool key_of(const struct said *said, struct key *key, struct cidr *cidr)
{
    struct span scope = said->parts[PART_SCOPE], value = span_trim(said->parts[PART_VALUE]);
    *key = (struct key){ .scope = SCOPE_PLACE };
    *cidr = (struct cidr){ .bits = 0 };
    if (!kind_of(said->parts[PART_TYPE], &key->kind))
        return false;
    if (span_equal_nocase(scope, SPAN("ip")) || span_equal_nocase(scope, SPAN("range")))
        return put_cidr(key, value, cidr);
    if (span_equal_nocase(scope, SPAN("country")))
        return put_country(key, value);
    return span_equal_nocase(scope, SPAN("as")) && put_network(key, value);
}

static bool touches(const struct cidrs *cidrs, const struct cidr *cidr)
{
    for (size_t i = 0; i < cidrs->count; i++)
        if (cidr_contains(&cidrs->items[i], &cidr->addr) ||
            cidr_contains(cidr, &cidrs->items[i].addr))
            return true;
    return false;
}

static bool stands_inside(const struct cidrs *cidrs, const struct cidr *cidr)
{
    for (size_t i = 0; i < cidrs->count; i++)
        if (cidr->bits >= cidrs->items[i].bits && cidr_contains(&cidrs->items[i], &cidr->addr))
            return true;
    return false;
}

static bool is_own(const struct said *said, const struct decision_rules *rules)
{
    return rules->own.len > 0 && span_equal(said->parts[PART_ORIGIN], rules->own);
}

static bool too_large(const struct key *key, const struct decision_rules *rules)
{
    uint64_t place;
    memcpy(&place, key->bytes, sizeof(place));
    return rules->network_share != NULL && !addrlist_is_country(place) &&
           rules->network_share(rules->ctx, (uint32_t)place) > rules->max_cover;
}

static void add_one(struct decisions *set, const struct said *said,
                    const struct decision_rules *rules, uint32_t now_s,
                    struct decision_tally *tally)
{
    struct decision decision;
    struct cidr cidr;
    if (is_own(said, rules))
        return;
    if (said->simulated || !key_of(said, &decision.key, &cidr) ||
        !listfile_expiry(said->parts[PART_DURATION], now_s, &decision.expires_s) ||
        decision.expires_s <= now_s) {
        tally->unusable++;
        return;
    }
    decision.round = set->round;
    bool place = cidr.addr.family == ADDR_NONE;
    if (place && too_large(&decision.key, rules)) {
        tally->refused++;
        memcpy(&tally->blame_place, decision.key.bytes, sizeof(tally->blame_place));
        return;
    }
    if (!place && stands_inside(&rules->without, &cidr))
        return;
    if (!place &&
        (listguard_share(&cidr) > rules->max_cover || touches(&rules->spared, &cidr))) {
        tally->refused++;
        tally->blame = cidr;
        return;
    }
    decision.source = intern(set, said->parts[PART_ORIGIN]);
    decision.reason = intern(set, said->parts[PART_SCENARIO]);
    if (put_in(set, &decision))
        tally->fresh++;
    else
        tally->unusable++;
}

/* ---- an answer ---- */

static void note(struct said *said, struct span key, enum jsonread_token token,
                 struct span value)
{
    if (token == JSONREAD_WORD && span_equal(key, SPAN("simulated")))
        said->simulated = span_equal(value, SPAN("true"));
    for (size_t i = 0; token == JSONREAD_STRING && i < PARTS; i++)
        if (span_equal(key, part_names[i]))
            said->parts[i] = value;
}

static struct said *next_of(struct reading *reading, struct saids *saids)
{
    if (saids->count == saids->room) {
        size_t room = saids->room > 0 ? 2 * saids->room : 256;
        struct said *items = arena_alloc(reading->in.arena, room * sizeof(*items));
        if (items == NULL) {
            (void)jsonread_fail(&reading->in, ERR_MEMORY, "there is no memory for it");
            return NULL;
        }
        if (saids->count > 0)
            memcpy(items, saids->items, saids->count * sizeof(*items));
        saids->items = items;
        saids->room = room;
    }
    if (saids->count == DECISIONS_MAX) {
        (void)jsonread_fail(&reading->in, ERR_LIMIT, "it has more than a million decisions");
        return NULL;
    }
    saids->items[saids->count] = (struct said){ .simulated = false };
    return &saids->items[saids->count++];
}

static bool read_decision(struct reading *reading, struct saids *saids)
{
    struct jsonread *in = &reading->in;
    struct said *said = next_of(reading, saids);
    if (said == NULL)
        return false;
    if (jsonread_take(in, '}'))
        return true;
    do {
        struct span key, value;
        enum jsonread_token token;
        if (!jsonread_key(in, &key) || !jsonread_next(in, &token, &value) ||
            !jsonread_skip(in, token, DECISIONS_DEPTH_MAX - 3))
            return false;
        note(said, key, token, value);
    } while (jsonread_take(in, ','));
    return jsonread_take(in, '}') || jsonread_fail(in, ERR_SYNTAX, "an object is not closed");
}

/* An array of them, or null, which Go writes for an empty one. */
static bool read_decisions(struct reading *reading, struct saids *saids)
{
    struct jsonread *in = &reading->in;
    enum jsonread_token token;
    struct span value;
    if (!jsonread_next(in, &token, &value))
        return false;
    if (token == JSONREAD_WORD && span_equal(value, SPAN("null")))
        return true;
    if (token != JSONREAD_ARRAY)
        return jsonread_fail(in, ERR_SYNTAX, "its decisions are no array");
    if (jsonread_take(in, ']'))
        return true;
    do {
        if (!jsonread_take(in, '{'))
            return jsonread_fail(in, ERR_SYNTAX, "a decision is no object");
        if (!read_decision(reading, saids))
            return false;
    } while (jsonread_take(in, ','));
    return jsonread_take(in, ']') || jsonread_fail(in, ERR_SYNTAX, "an array is not closed");
}

static bool read_answer(struct reading *reading)
{
    struct jsonread *in = &reading->in;
    bool seen = false;
    if (!jsonread_take(in, '{'))
        return jsonread_fail(in, ERR_SYNTAX, "it is no object");
    if (jsonread_take(in, '}'))
        return jsonread_fail(in, ERR_SYNTAX, "it is no stream of decisions");
    do {
        struct span key, value;
        enum jsonread_token token;
        if (!jsonread_key(in, &key))
            return false;
        struct saids *saids = span_equal(key, SPAN("new"))       ? &reading->fresh
                              : span_equal(key, SPAN("deleted")) ? &reading->gone
                                                                 : NULL;
        seen = seen || saids != NULL;
        if (saids != NULL ? !read_decisions(reading, saids)
                          : !jsonread_next(in, &token, &value) ||
                                !jsonread_skip(in, token, DECISIONS_DEPTH_MAX - 1))
            return false;
    } while (jsonread_take(in, ','));
    if (!jsonread_take(in, '}') || !jsonread_at_end(in))
        return jsonread_fail(in, ERR_SYNTAX, "it does not end where it should");
    return seen || jsonread_fail(in, ERR_SYNTAX, "it is no stream of decisions");
}

static void apply(struct decisions *set, const struct reading *reading,
                  const struct decision_rules *rules, uint32_t now_s,
                  struct decision_tally *tally)
{
    struct key key;
    struct cidr cidr;
    set->round++;
    drop_expired(set, now_s);
    for (size_t i = 0; i < reading->gone.count; i++)
        if (!is_own(&reading->gone.items[i], rules) &&
            key_of(&reading->gone.items[i], &key, &cidr))
            tally->gone += take_out(set, &key);
    for (size_t i = 0; i < reading->fresh.count; i++)
        add_one(set, &reading->fresh.items[i], rules, now_s, tally);
}

enum err decisions_apply(struct decisions *set, struct span json,
                         const struct decision_rules *rules, uint32_t now_s,
                         struct decision_tally *tally, const char **why)
{
    struct reading reading = { .fresh = { .count = 0 } };
    struct arena arena;
    enum err err = OK;
    *tally = (struct decision_tally){ .fresh = 0 };
    *why = NULL;
    if (json.len > DECISIONS_BYTES_MAX) {
        *why = "it is too long";
        return ERR_LIMIT;
    }
    arena_init(&arena, NULL, 0, NULL, APPLY_MEMORY);
    jsonread_begin(&reading.in, json, &arena);
    if (!read_answer(&reading)) {
        err = reading.in.err;
        *why = reading.in.why;
    } else if (!reserve(set, reading.fresh.count)) {
        err = ERR_MEMORY;
        *why = "there is no memory for it";
    } else {
        apply(set, &reading, rules, now_s, tally);
    }
    arena_reset(&arena);
    return err;
}

/* ---- what it comes to ---- */

size_t decisions_count(const struct decisions *set, enum decision_kind kind)
{
    return set->counts[kind];
}

size_t decisions_places(const struct decisions *set, enum decision_kind kind)
{
    return set->places[kind];
}

static void put_entry(const struct decisions *set, const struct decision *decision,
                      struct addrlist_entry *entry)
{
    const struct key *key = &decision->key;
    *entry = (struct addrlist_entry){ .source = text_of(set, decision->source),
                                      .reason = text_of(set, decision->reason),
                                      .expires_s = decision->expires_s };
    if (key->scope == SCOPE_PLACE) {
        memcpy(&entry->place, key->bytes, sizeof(entry->place));
        return;
    }
    entry->cidr.addr.family = key->scope == SCOPE_V4 ? ADDR_V4 : ADDR_V6;
    entry->cidr.bits = key->bits;
    memcpy(entry->cidr.addr.bytes, key->bytes, sizeof(key->bytes));
}

enum err decisions_build(const struct decisions *set, enum decision_kind kind, uint32_t now_s,
                         struct arena *arena, struct span *out)
{
    size_t count = 0;
    struct addrlist_entry *entries =
        malloc((set->counts[kind] + 1) * sizeof(struct addrlist_entry));
    if (entries == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].key.kind == kind)
            put_entry(set, &set->items[i], &entries[count++]);
    INVARIANT(count == set->counts[kind]);
    enum err err = addrlist_build(entries, count, now_s, arena, out);
    free(entries);
    return err;
}
