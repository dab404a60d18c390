/*
 * Scanning against a second, plain reading: each pattern on its own, in each of its forms made
 * one after the other, of each value that one of its targets selects. Both must find the same
 * rules, and taking pauses, or a budget that just suffices, must change nothing; with a byte
 * less the scan says so. Values are short enough to need one window.
 *
 * Input: values, separated by byte 0xfe; the first byte of each picks its target, the second
 * its name.
 */
#include <hs/hs.h>
#include <stdlib.h>

#include "rules/compile.h"
#include "rules/pack.h"
#include "rules/pattern.h"
#include "rules/scan.h"

enum { VALUES_MAX = 16, OWN_RULES = 4, PLENTY = 1 << 28 };

static struct arena load_arena, arena, other_arena;
static struct plan *plan;
static struct scan_local local;
static hs_database_t **single; /* of each pattern */
static hs_scratch_t *scratch;

static struct texts texts_of(const char *list)
{
    struct span rest = span_text(list), item;
    struct texts texts = { arena_array(&load_arena, struct span, 16), 0 };
    INVARIANT(texts.items != NULL);
    while (span_cut(&rest, ',', &item))
        texts.items[texts.count++] = span_trim(item);
    return texts;
}

/* Rules with every transformation and with named targets, beside the pack. */
static void own_rules(struct rule_source *rules)
{
    static const struct {
        const char *match, *in, *transform;
    } rows[OWN_RULES] = {
        { "^[^a]*b c$", "all, header:x-a", "compress_whitespace, lowercase, html_decode" },
        { "a/b", "cookie:b, arg:a, path", "normalize_path, remove_nulls" },
        { "AB", "headers, body", "none" },
        { "^/", "query, method, host", "js_decode, lowercase" },
    };
    for (size_t i = 0; i < OWN_RULES; i++)
        rules[i] = (struct rule_source){ .name = SPAN("own"),
                                         .match = texts_of(rows[i].match),
                                         .in = texts_of(rows[i].in),
                                         .transform = texts_of(rows[i].transform) };
}

static bool is_caseless(const struct rule_source *rule)
{
    size_t count = rule->transform.count;
    return count != 0 && span_equal(rule->transform.items[count - 1], SPAN("lowercase"));
}

static void compile_single(const struct rule_source *rules, size_t count)
{
    char said[512];
    unsigned at = 0;
    single = calloc(plan->pattern_count, sizeof(*single));
    INVARIANT(single != NULL);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < rules[i].match.count; j++, at++) {
            struct pattern_info info;
            struct text why = text_fixed(said, sizeof(said));
            hs_compile_error_t *error;
            INVARIANT(pattern_read(rules[i].match.items[j], is_caseless(&rules[i]), &load_arena,
                                   &info, &why));
            INVARIANT(hs_compile(info.text, info.flags, HS_MODE_BLOCK, NULL, &single[at],
                                 &error) == HS_SUCCESS);
            INVARIANT(hs_alloc_scratch(single[at], &scratch) == HS_SUCCESS);
        }
    }
}

static void load_once(void)
{
    if (plan != NULL)
        return;
    char said[512];
    struct text why = text_fixed(said, sizeof(said));
    arena_init(&load_arena, NULL, 0, NULL, 1 << 26);
    arena_init(&arena, NULL, 0, NULL, 1 << 26);
    arena_init(&other_arena, NULL, 0, NULL, 1 << 26);
    size_t count = OWN_RULES + pack_count(pack_core);
    struct rule_source *rules = arena_array(&load_arena, struct rule_source, count);
    INVARIANT(rules != NULL);
    own_rules(rules);
    INVARIANT(pack_read(pack_core, rules + OWN_RULES, &load_arena) == OK);
    INVARIANT(plan_compile(&plan, rules, count, &load_arena, &why) == OK);
    INVARIANT(scan_attach(&local, plan) == OK);
    compile_single(rules, count);
}

/* ---- the plain reading ---- */

static int note_match(unsigned id, unsigned long long from, unsigned long long to,
                      unsigned flags, void *found)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)found = true;
    return 1;
}

/* All forms of a value, each made from its parent. */
static void make_forms(struct span *forms, struct span value)
{
    forms[0] = value;
    for (unsigned f = 1; f < plan->form_count; f++) {
        struct span before = forms[plan->forms[f].parent];
        char *room = malloc(before.len + 1);
        INVARIANT(room != NULL);
        struct span after = plan->forms[f].step->apply(before, room);
        forms[f] = arena_copy(&other_arena, after);
        free(room);
    }
}

static bool found_alone(unsigned pattern, const struct span *forms)
{
    bool found = false;
    struct span last = span_of(NULL, 0);
    for (unsigned f = 0; f < plan->form_count && !found; f++) {
        if ((plan->patterns[pattern].forms >> f & 1) == 0 || span_equal(last, forms[f]))
            continue;
        last = forms[f];
        (void)hs_scan(single[pattern], last.p, (unsigned)last.len, 0, scratch, note_match,
                      &found);
    }
    return found;
}

static void check_rules(const struct scan *scan, const struct values *values)
{
    uint64_t expected[RULES_MAX / 64] = { 0 };
    for (unsigned v = 0; v < values->count; v++) {
        struct span forms[FORMS_MAX];
        make_forms(forms, values->items[v].text);
        for (unsigned p = 0; p < plan->pattern_count; p++) {
            if ((plan->patterns[p].selects & values->items[v].selects) != 0 &&
                found_alone(p, forms))
                set_add(expected, plan->patterns[p].rule);
        }
        arena_reset(&other_arena);
    }
    for (unsigned i = 0; i < plan->rule_count; i++) {
        bool got = scan->matched != NULL && set_has(scan->matched, i);
        INVARIANT(got == set_has(expected, i));
        INVARIANT(got == (scan_hit(scan, i) != NULL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input ---- */

static struct value value_of(struct span text)
{
    static const char *const names[] = { "a", "b", "x-a", "X-A", "q" };
    struct value value = { .target = (enum target)((uint8_t)text.p[0] % TARGET_COUNT),
                           .name = span_text(names[(uint8_t)text.p[1] % ARRAY_LEN(names)]),
                           .text = span_sub(text, 2, WINDOW_BYTES) };
    value.selects = UINT64_C(1) << value.target;
    if (value.target == TARGET_USER_AGENT || value.target == TARGET_REFERER)
        value.selects |= UINT64_C(1) << TARGET_HEADERS;
    /* In memory of its own, so that a byte beyond it is seen. */
    char *copy = malloc(value.text.len);
    INVARIANT(copy != NULL);
    memcpy(copy, value.text.p, value.text.len);
    value.text.p = copy;
    for (unsigned i = 0; i < plan->selectors.count; i++) {
        if (plan->selectors.named[i].target == value.target &&
            span_equal_nocase(plan->selectors.named[i].name, value.name))
            value.selects |= UINT64_C(1) << (TARGET_COUNT + i);
    }
    return value;
}

static struct scan scanned(struct values values, struct scan_budget budget, uint64_t slice,
                           enum scan_end expected)
{
    struct scan scan = { .budget = budget };
    scan_begin(&scan, values);
    enum scan_end end;
    do {
        end = scan_run(&scan, plan, &local, &arena, slice);
    } while (end == SCAN_PAUSE);
    INVARIANT(end == expected);
    return scan;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct value items[VALUES_MAX];
    struct values values = { items, 0 };
    load_once();
    struct span rest = span_of((const char *)data, size), text;
    while (values.count < VALUES_MAX && size < WINDOW_BYTES &&
           span_cut(&rest, (char)0xfe, &text)) {
        if (text.len > 2)
            items[values.count++] = value_of(text);
    }
    struct scan whole =
        scanned(values, (struct scan_budget){ PLENTY, PLENTY }, UINT64_MAX, SCAN_DONE);
    check_rules(&whole, &values);

    struct scan_budget exact = { PLENTY - whole.budget.bytes, PLENTY - whole.budget.values };
    struct scan paused = scanned(values, exact, 0, SCAN_DONE);
    INVARIANT(paused.budget.bytes == 0 && paused.budget.values == 0);
    for (unsigned i = 0; i < plan->words; i++) {
        uint64_t a = whole.matched != NULL ? whole.matched[i] : 0;
        uint64_t b = paused.matched != NULL ? paused.matched[i] : 0;
        INVARIANT(a == b);
    }
    if (exact.bytes > 0) {
        exact.bytes--;
        (void)scanned(values, exact, UINT64_MAX, SCAN_SPENT);
    }
    for (unsigned i = 0; i < values.count; i++)
        free((void *)(uintptr_t)items[i].text.p);
    arena_reset(&arena);
    return 0;
}
