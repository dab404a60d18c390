/*
 * The plan: a SecLang program arranged so that matching goes by value and not by rule.
 *
 * Every link of every chain that looks for a pattern in a transformed value has a bit. All
 * transformation chains form one tree; a node of it is a form: what a value is after those
 * steps; form 0 is the value as it came. For one value most forms are the same bytes, and each
 * distinct one is scanned once by Hyperscan for the patterns of all links that look at values
 * of that class, but for those that need something which the value has not; what is found sets
 * bits of the value. Then the program runs in file order, as SecLang means it, and a link with
 * a bit only looks the answer up. A rule none of whose patterns was found anywhere is not even
 * looked at.
 *
 * Made at load (build.c), read-only ever after, shared by all workers.
 */
#ifndef SALLYPORT_RULES_ENGINE_PLAN_H
#define SALLYPORT_RULES_ENGINE_PLAN_H

#include "gateway/base/table.h"
#include "rules/engine/bytes.h"
#include "rules/regex.h"
#include "rules/values.h"

struct edges;
struct few_list;
struct few_text;
struct usual;
struct hs_database;
struct expr;

enum {
    PLAN_FORMS_MAX = 255,
    PLAN_CLASSES_MAX = 255, /* 0: never scanned */
    PLAN_BITS_MAX = 16384,
    PLAN_NAMES_MAX = 8192,  /* of variables in TX and the like that rules spell out */
    PLAN_KEYS_MAX = 64,     /* different patterns for keys whose answers values remember */
    PLAN_DEFERRED_MAX = 16, /* entries that run when somebody asks for what they make */
    PLAN_FEEDS_MAX = 16,    /* links that only make what the next one looks at */
    PLAN_NAMED_MAX = 4096,  /* of plan->named; other names are no more than their variable */
    PLAN_NAME_BUCKETS = 64,
    PLAN_SLOT_BUCKETS = 1024,
    NO_BIT = UINT16_MAX,
    NO_SLOT = UINT16_MAX,
    PLAN_CAPTURES_FROM = UINT16_MAX - 16, /* TX:0 to TX:9 in the place of slots, in macros */
    NO_TEXT = UINT8_MAX,                  /* of a value's: a form that is not there */
};
_Static_assert((int)PLAN_FORMS_MAX <= (int)NO_TEXT, "an index that is none");

/* ---- names ---- */

/* What is written into a collection: name and value, literal parts resolved. */
struct plan_step {
    const struct sec_step *step;
    uint16_t slot;           /* of a literal TX name; NO_SLOT: by name */
    const uint64_t *affects; /* ctl:ruleRemove*: set of heads, by ordinal */
};

/* ---- links ---- */

enum link_match {
    LINK_ALWAYS,   /* SecAction */
    LINK_SCANNED,  /* by its bit where the value was scanned; else as one of the next two */
    LINK_REGEX,    /* PCRE2 on each value */
    LINK_OPERATOR, /* the operator's function on each value */
};

/* What is known at load of how a target chooses. */
struct link_target {
    uint16_t slot; /* of the one variable in TX that it names; NO_SLOT otherwise */
    uint8_t key;   /* which of the plan's key patterns; PLAN_KEYS_MAX: none */
};

struct sec_link {
    const struct sec_rule *rule;
    struct sec_link *next;         /* of the chain */
    const struct sec_operator *op; /* the rule's, with what is the same in every transaction */
    const struct plan_step *steps; /* those of the rule's that anybody can see */
    uint16_t step_count;
    uint16_t ordinal; /* of the chain's head */
    uint16_t form;    /* what its operator sees */
    uint16_t bit;     /* NO_BIT: never scanned. multiMatch: one for each of `path` */
    const struct link_target *targets; /* of the rule's, in their order */
    const uint16_t *path; /* forms from the value itself to `form`; multiMatch only */
    uint16_t path_count;
    uint16_t slot;  /* of the one variable in TX that it looks at; NO_SLOT otherwise */
    uint8_t match;  /* enum link_match */
    uint8_t direct; /* how values that were not scanned are matched */
    bool check;     /* its bit is of a check: it says that the link matches, "not" and all */
    bool sees_made; /* several targets, and rules make what one of them looks at */
    /* It always matches, and all that follows is what the next link looks at: seen.c. Then
     * its chain is looked at where a value would make that one match, and has this bit. */
    bool feeds;
    bool deferred;     /* of plan->deferred: its entry is never looked at */
    uint16_t feed_bit; /* NO_BIT where there is none */
};

/* What one phase runs, in file order. */
struct sec_entry {
    struct sec_link *head;
    uint32_t skip_to; /* index behind the marker of skipAfter; the end where it is missing */
    uint32_t index;   /* in the program's list of the phase */
    uint16_t absent;  /* of plan->named, and one more: it matches only while there is no such
                         value; 0: there may be any */
};

struct plan_phase {
    struct sec_entry *entries;
    unsigned count, words;
    unsigned own_count; /* the first ones are rules of the configuration: own.c runs them */
    uint64_t *always;   /* set of entries that are to be looked at in any case */
};

/* ---- scanning ---- */

struct plan_form {
    const struct transform *step; /* NULL for form 0 */
    uint16_t parent;              /* less than its own index */
    uint32_t triggers;            /* of all steps so far: without them it is the value itself */
    uint32_t set_off_by;          /* of its own step */
};

/* A pattern's find means this for a link, when it was found in `form`. */
struct plan_find {
    uint16_t bit, form;
};

/* What is asked about every value by an operator itself: whether a link matches. */
struct plan_check {
    const struct sec_operator *op;
    /* Not NULL: the operator takes everything, and what the link's steps make of the text is
     * asked about: whether the next link would match that, */
    const struct sec_link *feeds;
    uint64_t keys;   /* or what other links look at by these patterns for names */
    uint32_t traits; /* it says no of texts that have none of these */
};

struct plan_pattern {
    const char *text;
    unsigned flags;
    const struct plan_check *check; /* not NULL: it is no pattern */
    const struct plan_find *finds;
    unsigned find_count;
    uint32_t shortest;     /* bytes that a match has at least */
    bool at_start, at_end; /* can match nowhere but there */
    bool own;              /* only rules of the configuration look for it */
};

/* Signs are marks of a finer kind: what a text has any byte of, closed under all that steps
 * without decoding do to bytes. So what they make of a text has no sign that it has not. */
struct signs {
    uint64_t words[2];
};
enum { SIGNS_MAX = 128 };

struct conditions {
    uint64_t words[2];
};

/* Signs, and conditions, are looked up by four. */
enum { NIBBLES = SIGNS_MAX / 4, NIBBLE_VALUES = 16 };

/* By which of four signs a text has: the conditions that do not hold. */
struct lacking {
    struct conditions by_value[NIBBLE_VALUES];
    uint8_t nibble; /* which four */
};

/* Ways: by which a text may have a match of a pattern that needs a text (need.h). A way is
 * open when its condition holds of the text, it begins as it should, and one of each of its
 * lists of texts was found in it. */
struct ways {
    uint64_t words[2];
};
enum {
    WAYS_MAX = 128, /* of a class; the last one stands for all that have no room */
    WAY_LISTS = 2,
    WAY_STARTS = 4, /* bytes that a text begins with */
};

/* What a text opens where it is found. */
struct opening {
    struct ways by[WAY_LISTS]; /* ways that need it, or another of its list */
    size_t len;
};

/* By a text's length: ways that are not too long for it, and parts that have patterns so
 * short. */
struct fitting {
    struct ways ways;
    uint32_t parts;
};
enum { FITTING_LENGTHS = 32 }; /* the last one is for all longer texts, too */

/* Sets of parts: to be asked about the text, and with texts in it that open others. */
struct wanted {
    uint32_t asks, opens;
    struct ways ways; /* whose condition holds */
};

/*
 * Patterns of a class that one database holds, and when it is asked about a text that is looked
 * at by itself (look.c): when the text has one of some bytes; where `needs_text`, also when one
 * of some texts was found in it, or it has one of other bytes, which would let the patterns
 * match without those texts. In a batch conditions say more (asks.c), then ways, and then edges
 * (batch_scan.c). The first part of a class holds what is plain text of more than a byte,
 * and among it the texts that open the others; such of these as plain text has, too, are a
 * part of their own, if they are some (usual.h).
 *
 * Bytes are told by marks: each set of them that matters has a bit, and a text has the marks of
 * all its bytes.
 */
struct scan_part {
    struct hs_database *db;
    const uint32_t *ids; /* database's pattern number to index in plan->patterns, or which
                            parts it opens: PART_OPENS and a bit of each */
    unsigned id_count;
    size_t shortest;
    uint64_t gate, unless; /* sets of marks */
    bool needs_text;
    bool literals;              /* plain texts alone */
    bool bytes;                 /* and these of one byte each */
    bool words;                 /* or words that plain text has, too, and which open others */
    const struct few_text *few; /* these by number, where they are looked for by hand: few of
                                   them, or `words`; then there is no `wide` */
    const struct usual *usual;  /* of `words`: how they are looked for all at once */
    bool alone; /* texts are asked about one by one: a pattern is found in most of them (a
                   rule says "not"), or between them */
    /* For many texts at once, a line each: finds in a line all that `db` finds in the text, and
     * perhaps more. May be `db` itself. NULL: there is none. */
    struct hs_database *wide;
    struct ways ways;               /* of its patterns, where `needs_text` */
    struct ways opened;             /* by its texts that open others */
    struct ways sure;               /* those of its patterns that `edges` know nothing of */
    const struct edges *edges;      /* of its other patterns; NULL: there are none */
    const struct opening *openings; /* by number, of texts that open others */
};

enum { PARTS_MAX = 31, MARKS_MAX = 63, CONDITIONS_MAX = SIGNS_MAX };
#define PART_OPENS (UINT32_C(1) << 31)
#define MARK_ANY (UINT64_C(1) << MARKS_MAX) /* every text has it */

/* Places of a class's forms: the value as it came stands first, and each form before all that
 * are made of it, which are the next ones. */
struct places {
    uint64_t words[4];
};
_Static_assert((int)PLAN_FORMS_MAX < 4 * 64, "each form and one more have a place");

/* One of a class's forms, as a batch makes them (batch.c). */
struct class_form {
    const struct transform *step; /* NULL: the value as it came */
    uint16_t form, parent;
    uint16_t end;                     /* place behind the last form that is made of it */
    uint32_t parts;                   /* with a pattern that looks at it */
    struct ways ways;                 /* of such patterns */
    const struct conditions *by_part; /* PARTS_MAX: of those, one holds; NULL: no `parts` */
    uint32_t set_off_by;
    /* Steps to this form, or behind it to one that some pattern looks at, that write bytes
     * which their text need not have: what sets them off. */
    uint32_t decodes;
    uint32_t decoded_by;      /* the same of its own step, by traits of the very text */
    bool traits_matter;       /* of its text: to a step behind it, or to a check */
    struct conditions wanted; /* of all that look at this form, or at one behind it */
    uint32_t shortest;        /* output of this step in which anything can be found */
};

struct scan_class {
    struct scan_part parts[PARTS_MAX];
    unsigned part_count;
    const uint32_t *ids; /* indices in plan->patterns, of all parts, and checks behind them */
    unsigned id_count;   /* without the checks */
    unsigned check_count;
    const uint16_t *forms; /* those some pattern looks at, parents first, all ancestors */
    unsigned form_count;
    uint32_t triggers;
    const uint16_t *looked; /* those that some pattern looks at */
    unsigned looked_count;
    const uint8_t
        *own; /* for each of these: the class of its patterns alone; 0: there is none */
    /* All forms of a value take no more than `room_each` bytes for each of its own, and
     * `room_least` besides. */
    size_t room_each, room_least;
    struct class_form *steps; /* by place: form 0, and `forms` again */
    unsigned place_count;
    const uint8_t *place_of; /* by form; place_count: it is none of the class's */
    uint8_t *asked;          /* places of forms that some part looks at */
    unsigned asked_count;
    struct places *set_off; /* by number of the trait: places of the steps that it sets off */
    /* A pattern can be found in a text only if that has all signs of its condition. The first
     * condition holds of every text. */
    struct signs needs[CONDITIONS_MAX];
    struct wanted wants[CONDITIONS_MAX];
    unsigned condition_count;
    struct conditions all; /* of them */
    /* The same for a text at hand: which conditions do not hold of what has only those of four
     * signs, and what those of four conditions want. */
    struct lacking *lacking; /* of fours that some condition needs one of */
    unsigned lacking_count;
    struct wanted (*wanting)[NIBBLE_VALUES];
    uint32_t told; /* parts that need a text */
    unsigned way_count;
    struct ways unlisted[WAY_LISTS]; /* ways without a first list of texts, without a second */
    /* By the text's first byte, the second and so on: ways that it does not rule out. */
    struct ways (*starts)[256];
    struct fitting *fitting; /* by the text's length */
    /* By way: texts of which one is there where it is open; without any, they are too many. */
    const struct few_list *closers;
    /* What sets off any form but those whose step is bounded, which alone are made of a plain
     * value, if it is long enough; and then this is which text each form is. */
    uint32_t plain_triggers;
    const uint8_t *plain_index; /* by place */
    uint32_t plain_parts;       /* those that look at a form which is the value itself then */
    struct ways plain_ways;
    const uint8_t *bounded; /* places of these forms */
    unsigned bounded_count;
};

/* A name of fields that is told from others: which group they are of, what they wake. */
struct plan_named {
    struct span name;
    enum variable var;
    uint16_t next; /* of the same bucket, and one more */
    uint16_t group;
    bool kept; /* what is found in such a value may be remembered */
};

/* One of the checks of a group, and what says no of most texts. */
struct group_check {
    const struct plan_pattern *pattern;
    uint32_t traits;
};

/* Values that the same links look at. Groups share a class where these are nearly the same:
 * what is found for other links means nothing then. In group 0 nothing is looked for. */
struct plan_group {
    const uint64_t *bits; /* of these links */
    uint8_t class;
    bool idle;                        /* nor is there anything in its class */
    uint32_t parts;                   /* of its class: those with a pattern of these links */
    const struct group_check *checks; /* of these links */
    unsigned check_count;
    struct places places; /* in its class: of forms that they look at, and all on the way */
};

/* A pattern for names, TX:/.../. */
struct plan_key {
    const struct sec_regex *regex;
    struct span text; /* every name in lower case that it matches has this; empty: none known */
    uint64_t *slots;  /* those whose names it matches */
    uint16_t digits;  /* the same of TX:0 to TX:9 */
    struct span prefix; /* it matches what begins so, in any case, and nothing else; or empty */
    char rare;          /* a byte of `text` */
};

/* An entry that sleeps until something happens. */
struct plan_waiting {
    uint32_t entry;
    uint8_t phase;
};

/* A rule that folding took away, and why; for who asks. */
struct plan_gone {
    const struct sec_rule *rule;
    enum plan_fate {
        FATE_NEVER,   /* a condition is known not to hold */
        FATE_DONE,    /* it always matches, and what it sets or skips is settled */
        FATE_SKIPPED, /* a rule before it always skips past it */
        FATE_UNSEEN,  /* nobody could tell whether it matched */
    } fate;
};

struct sec_plan {
    const struct sec_program *program;
    struct plan_phase phases[SEC_PHASES];
    struct plan_form forms[PLAN_FORMS_MAX];
    unsigned form_count;
    struct plan_pattern *patterns;
    unsigned pattern_count;
    struct scan_class classes[PLAN_CLASSES_MAX];
    unsigned class_count;
    struct hs_scratch *scratch; /* fits all databases: for copies; NULL: there are none */
    uint64_t marks[256];        /* by byte */
    struct byte_set marked[MARKS_MAX]; /* what each mark stands for */
    unsigned mark_count;
    struct signs signs[256]; /* by byte */
    struct byte_set signed_for[SIGNS_MAX];
    unsigned sign_count;
    struct plan_group *groups;
    uint16_t group_of[VAR_COUNT];
    enum variable scanned[VAR_COUNT]; /* variables that have a class */
    unsigned scanned_count;
    struct plan_named *named;
    unsigned named_count;
    uint16_t named_first[PLAN_NAME_BUCKETS];    /* of each bucket, and one more; 0: none */
    uint64_t named_vars[(VAR_COUNT + 63) / 64]; /* variables with names among them */
    uint64_t kept_vars[(VAR_COUNT + 63) / 64];  /* `kept`, of any name that is not named */
    unsigned bit_count, bit_words;
    unsigned head_count, head_words; /* of all phases */
    struct plan_gone *gone;
    unsigned gone_count;
    /* What only begins collections: done when a rule turns to one of them (run.c). */
    const struct sec_link *deferred[PLAN_DEFERRED_MAX];
    unsigned deferred_count;
    struct plan_key keys[PLAN_KEYS_MAX];
    unsigned key_count;
    /* Which entry a bit brings to life, by phase: entry index, or UINT32_MAX. */
    uint32_t *entry_of_bit;
    uint8_t *phase_of_bit;
    struct table names;                                 /* lower-case name -> slot + 1 */
    uint16_t slot_first[PLAN_SLOT_BUCKETS], *slot_next; /* the same by plan_slot_bucket */
    struct span *slot_names;                            /* lower case */
    struct span *slot_shown; /* as the first action that sets it spells it */
    unsigned slot_count;
    uint32_t *slot_order;       /* of creation when a transaction begins: 0, 1, 2 and so on */
    const struct span *initial; /* values of the slots when a transaction begins */
    /* Slots that nobody reads: they are not set. Nor need names be that begin so, nor captures
     * be there in the end if there are such names. */
    uint64_t *unseen;
    struct span unseen_names[PLAN_FEEDS_MAX];
    unsigned unseen_name_count;
    /* Entries that match nothing before an event: those of an event, one behind the other from
     * waiting_from[event] to waiting_from[event + 1]. Events: a slot is changed, by slot; and
     * plan_event_*. NULL while that is found out. */
    struct plan_waiting *waiting;
    uint32_t *waiting_from;
    uint64_t waking_vars[(VAR_COUNT + 63) / 64]; /* any value of which wakes somebody */
    uint64_t waking_keys;                        /* so do names in TX that match these */
    struct arena *arena;
    unsigned users;
};

static inline unsigned plan_class_of(const struct sec_plan *plan, enum variable var)
{
    return plan->groups[plan->group_of[var]].class;
}

/* A value of plan->named[i] was seen; one of the variable; a name in TX that the key matches.
 */
static inline uint32_t plan_event_named(const struct sec_plan *plan, uint32_t i)
{
    return plan->slot_count + i;
}

static inline uint32_t plan_event_var(const struct sec_plan *plan, enum variable var)
{
    return plan->slot_count + plan->named_count + (uint32_t)var;
}

static inline uint32_t plan_event_key(const struct sec_plan *plan, uint32_t key)
{
    return plan->slot_count + plan->named_count + VAR_COUNT + key;
}

/* The same for names that differ only in case. */
static inline unsigned plan_name_bucket(struct span name)
{
    if (name.len == 0)
        return 0;
    unsigned first = (uint8_t)name.p[0] | 0x20U, last = (uint8_t)name.p[name.len - 1] | 0x20U;
    return (unsigned)(name.len * 7 + first * 3 + last) % PLAN_NAME_BUCKETS;
}

static inline unsigned plan_slot_bucket(struct span lower_name)
{
    uint64_t hash = lower_name.len, word;
    size_t i = 0;
    for (; i + sizeof(word) <= lower_name.len; i += sizeof(word)) {
        memcpy(&word, lower_name.p + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    word = 0;
    if (lower_name.len >= sizeof(word)) /* the last ones overlap */
        memcpy(&word, lower_name.p + lower_name.len - sizeof(word), sizeof(word));
    else if (lower_name.len > 0)
        memcpy(&word, lower_name.p, lower_name.len);
    hash = (hash ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (unsigned)(hash >> 40) % PLAN_SLOT_BUCKETS;
}

/* The marks of all bytes of a text. */
static inline uint64_t marks_of(const uint64_t marks[256], struct span text)
{
    uint64_t even = MARK_ANY, odd = 0;
    size_t i = 0;
    for (; i + 2 <= text.len; i += 2) {
        even |= marks[(uint8_t)text.p[i]];
        odd |= marks[(uint8_t)text.p[i + 1]];
    }
    if (i < text.len)
        odd |= marks[(uint8_t)text.p[i]];
    return even | odd;
}

/* Whether a part of the class, the `index`th, is to be asked about a text with those marks:
 * `open` has a bit for each part for which a text was found. */
static inline bool scan_part_is_asked(const struct scan_part *part, unsigned index,
                                      uint32_t open, uint64_t marks, size_t len)
{
    return (marks & part->gate) != 0 && len >= part->shortest &&
           (!part->needs_text || (open >> index & 1) != 0 || (marks & part->unless) != 0);
}

static inline bool bit_has(const uint64_t *set, unsigned i)
{
    return (set[i / 64] >> i % 64 & 1) != 0;
}

/* The next that is in the set, from `from` on; `count` when there is none. */
static inline unsigned bit_next(const uint64_t *set, unsigned from, unsigned count)
{
    if (from >= count)
        return count;
    unsigned word = from / 64, words = (count + 63) / 64;
    uint64_t bits = set[word] & UINT64_MAX << from % 64;
    while (bits == 0 && ++word < words)
        bits = set[word];
    return bits == 0 ? count : word * 64 + (unsigned)__builtin_ctzll(bits);
}

static inline void bit_add(uint64_t *set, unsigned i)
{
    set[i / 64] |= UINT64_C(1) << i % 64;
}

static inline void bit_remove(uint64_t *set, unsigned i)
{
    set[i / 64] &= ~(UINT64_C(1) << i % 64);
}

#endif
