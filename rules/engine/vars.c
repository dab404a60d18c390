/*
 * Variables that rules make and macros read: TX, the collections that live longer, what
 * matched, the clock, the rule at work.
 */
#include "rules/engine/run.h"

#include <time.h>

/* Eight bytes at a time: those below 128 that are 'A' or more, and not more than 'Z'. */
static bool has_capital(struct span s)
{
    enum { EACH = 8 };
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones * 0x80;
    uint64_t found = 0, word;
    size_t i = 0;
    for (; i + EACH <= s.len; i += EACH) {
        memcpy(&word, s.p + i, EACH);
        uint64_t low = word & ~high;
        found |= (low + ones * (0x80 - 'A')) & ~(low + ones * (0x7f - 'Z')) & ~word & high;
    }
    for (; i < s.len; i++)
        found |= s.p[i] >= 'A' && s.p[i] <= 'Z';
    return found != 0;
}

struct span sec_lower(struct arena *arena, struct span s)
{
    if (!has_capital(s))
        return s.p != NULL ? s : SPAN("");
    char *p = arena_alloc(arena, s.len);
    if (p == NULL)
        return (struct span){ 0 };
    for (size_t i = 0; i < s.len; i++)
        p[i] = ascii_lower(s.p[i]);
    return span_of(p, s.len);
}

/* ---- collections ----------------------------------------------------------------------------
 */

enum sec_collection sec_collection_of(enum variable var)
{
    static const uint8_t numbers[VAR_COUNT] = {
        /* and one more */
        [VAR_TX] = COLLECTION_TX + 1,         [VAR_IP] = COLLECTION_IP + 1,
        [VAR_GLOBAL] = COLLECTION_GLOBAL + 1, [VAR_SESSION] = COLLECTION_SESSION + 1,
        [VAR_USER] = COLLECTION_USER + 1,     [VAR_RESOURCE] = COLLECTION_RESOURCE + 1,
        [VAR_ENV] = COLLECTION_ENV + 1,
    };
    return numbers[var] != 0 ? (enum sec_collection)(numbers[var] - 1) : COLLECTION_COUNT;
}

struct sec_variable *sec_variable_find(const struct sec_run *run,
                                       enum sec_collection collection, struct span name)
{
    struct sec_variable *variable = run->variables[collection];
    while (variable != NULL && !span_equal(variable->name, name))
        variable = variable->next;
    return variable;
}

/* What a client can name meets no more than a few of these, which the rules name. */
static unsigned slot_of(const struct sec_plan *plan, struct span name)
{
    unsigned slot = plan->slot_first[plan_slot_bucket(name)];
    while (slot != NO_SLOT && !span_equal(plan->slot_names[slot], name))
        slot = plan->slot_next[slot];
    return slot;
}

static bool is_capture(struct span name)
{
    return name.len == 1 && name.p[0] >= '0' && name.p[0] <= '9';
}

struct span sec_tx_get(const struct sec_run *run, struct span name)
{
    if (is_capture(name))
        return run->captures[name.p[0] - '0'];
    unsigned slot = slot_of(run->plan, name);
    if (slot != NO_SLOT)
        return run->slots[slot];
    const struct sec_variable *variable = sec_variable_find(run, COLLECTION_TX, name);
    return variable != NULL ? variable->text : (struct span){ 0 };
}

struct span sec_collection_get(const struct sec_run *run, enum sec_collection collection,
                               struct span name)
{
    if (collection == COLLECTION_TX)
        return sec_tx_get(run, name);
    const struct sec_variable *variable = sec_variable_find(run, collection, name);
    return variable != NULL ? variable->text : (struct span){ 0 };
}

void sec_wake(struct sec_run *run, uint32_t event)
{
    const struct sec_plan *plan = run->plan;
    if (plan->waiting == NULL)
        return;
    for (uint32_t i = plan->waiting_from[event]; i < plan->waiting_from[event + 1]; i++)
        bit_add(run->live[plan->waiting[i].phase], plan->waiting[i].entry);
}

void sec_slot_set(struct sec_run *run, unsigned slot, struct span text)
{
    struct span before = run->slots[slot];
    if (before.p == NULL)
        run->slot_order[slot] = ++run->order;
    if ((before.p == NULL) != (text.p == NULL) || !span_equal(before, text))
        sec_wake(run, slot);
    run->slots[slot] = text;
}

/* A new name in TX, in lower case. Most lack what patterns cannot do without. */
static void wake_for_name(struct sec_run *run, struct span name)
{
    const struct sec_plan *plan = run->plan;
    for (uint64_t left = plan->waking_keys; left != 0; left &= left - 1) {
        unsigned id = (unsigned)__builtin_ctzll(left);
        const struct plan_key *key = &plan->keys[id];
        bool may = key->prefix.len > 0 ? span_starts_nocase(name, key->prefix)
                                       : name.len >= key->text.len &&
                                             (key->text.len == 0 ||
                                              (memchr(name.p, key->rare, name.len) != NULL &&
                                               span_find(name, key->text) >= 0));
        if (may)
            sec_wake(run, plan_event_key(plan, id));
    }
}

struct sec_variable *sec_variable_new(struct sec_run *run, enum sec_collection collection,
                                      struct span name, struct span shown)
{
    struct sec_variable *variable = arena_alloc(run->arena, sizeof(*variable));
    if (variable == NULL)
        return NULL;
    *variable = (struct sec_variable){ .name = name,
                                       .shown = shown,
                                       .next = run->variables[collection] };
    run->variables[collection] = variable;
    run->variable_count++;
    return variable;
}

bool sec_collection_set(struct sec_run *run, enum sec_collection collection, struct span shown,
                        struct span text)
{
    struct span name = sec_lower(run->arena, shown);
    if (name.p == NULL)
        return false;
    if (collection == COLLECTION_TX && is_capture(name)) {
        run->captures[name.p[0] - '0'] = text;
        return true;
    }
    unsigned slot = collection == COLLECTION_TX ? slot_of(run->plan, name) : NO_SLOT;
    if (slot != NO_SLOT) {
        sec_slot_set(run, slot, text);
        return true;
    }
    struct sec_variable *variable = sec_variable_find(run, collection, name);
    if (variable == NULL && text.p == NULL)
        return true;
    if (variable == NULL) {
        if (run->variable_count >= RUN_VARIABLES_MAX) {
            run->spent = true;
            return true;
        }
        variable = sec_variable_new(run, collection, name, shown);
        if (variable == NULL)
            return false;
    }
    if (variable->text.p == NULL) {
        variable->order = ++run->order;
        if (collection == COLLECTION_TX)
            wake_for_name(run, name);
    }
    variable->text = text;
    variable->change = VARIABLE_SET;
    run->collection_changed[collection] = true;
    return true;
}

void sec_captures_set(struct sec_run *run, const struct regex_captures *captures)
{
    for (unsigned i = 0; i < REGEX_CAPTURES_MAX; i++) {
        bool there = i < captures->count;
        run->captures[i] = !there                      ? (struct span){ 0 }
                           : captures->at[i].p == NULL ? SPAN("")
                                                       : captures->at[i];
    }
}

/* ---- as lists -------------------------------------------------------------------------------
 */

struct made {
    struct sec_run *run;
    const struct sec_target *target;
    const struct plan_key *key; /* of the target's pattern; NULL: it is not numbered */
    struct sec_list *list;
    struct sec_value *values; /* `room` of them are there already */
    unsigned room;
    bool memory;
};

static bool key_matches(struct made *made, struct span key)
{
    const struct sec_target *target = made->target;
    switch (target->key_kind) {
    case KEY_NONE:
        return true;
    case KEY_NAME:
        return span_equal_nocase(target->key, key);
    case KEY_REGEX:
        made->run->counts.regex_calls++;
        return regex_match(&made->run->local->regex, target->regex, key, NULL) == REGEX_YES;
    }
    return false;
}

static void add_value(struct made *made, struct span key, struct span text)
{
    struct sec_list *list = made->list;
    if (text.p == NULL)
        return;
    if (list->count == list->capacity) {
        unsigned capacity = list->capacity == 0 ? 8 : 2 * list->capacity;
        struct sec_value **items = arena_array(made->run->arena, struct sec_value *, capacity);
        if (items == NULL) {
            made->memory = true;
            return;
        }
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(struct sec_value *));
        list->items = items;
        list->capacity = capacity;
    }
    struct sec_value *value = made->room > 0 ? &made->values[--made->room]
                                             : arena_new(made->run->arena, struct sec_value);
    if (value == NULL) {
        made->memory = true;
        return;
    }
    value->key = key;
    value->text = text;
    list->items[list->count++] = value;
}

/* For `count` values, all at once. */
static void make_room(struct made *made, unsigned count)
{
    struct sec_list *list = made->list;
    made->values = arena_array(made->run->arena, struct sec_value, count);
    list->items = arena_array(made->run->arena, struct sec_value *, count);
    made->memory = made->memory || made->values == NULL || list->items == NULL;
    made->room = made->memory ? 0 : count;
    list->capacity = made->room;
}

static void add_made(struct made *made, struct span key, struct span text)
{
    if (text.p != NULL && key_matches(made, key))
        add_value(made, key, text);
}

struct ordered {
    uint32_t order;
    struct span key, text;
};

/* In the order of creation, as the reference engine's tables keep it. */
static void add_sorted(struct made *made, struct ordered *items, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct ordered item = items[i];
        unsigned j = i;
        for (; j > 0 && items[j - 1].order > item.order; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
    if (count > 0)
        make_room(made, count);
    for (unsigned i = 0; i < count && !made->memory; i++)
        add_value(made, items[i].key, items[i].text);
}

/* `name` in lower case. Most lack what the pattern cannot do without. */
static bool name_matches(struct made *made, struct span name)
{
    if (made->key != NULL && made->key->prefix.len > 0)
        return span_starts_nocase(name, made->key->prefix);
    if (made->key != NULL && made->key->text.len > 0 && span_find(name, made->key->text) < 0)
        return false;
    return key_matches(made, name);
}

/* The next slot from `from` on that the target chooses; the number of them when there is none.
 */
static unsigned next_slot(struct made *made, unsigned from)
{
    const struct sec_plan *plan = made->run->plan;
    unsigned slot = from;
    if (made->key != NULL)
        return bit_next(made->key->slots, from, plan->slot_count);
    while (slot < plan->slot_count && !key_matches(made, plan->slot_names[slot]))
        slot++;
    return slot;
}

static void add_captures(struct made *made)
{
    static const char digits[] = "0123456789";
    const struct sec_run *run = made->run;
    for (unsigned i = 0; i < REGEX_CAPTURES_MAX; i++) {
        struct span name = span_of(digits + i, 1);
        bool chosen = made->key != NULL ? (made->key->digits >> i & 1) != 0
                                        : run->captures[i].p != NULL && key_matches(made, name);
        if (chosen)
            add_value(made, name, run->captures[i]);
    }
}

static void add_collection(struct made *made, enum sec_collection collection)
{
    struct sec_run *run = made->run;
    unsigned slots = collection == COLLECTION_TX ? run->plan->slot_count : 0, count = 0;
    unsigned first = slots > 0 ? next_slot(made, 0) : slots;
    size_t most = run->variable_count + slots - first;
    struct ordered *items = arena_alloc(run->arena, most * sizeof(*items));
    if (items == NULL) {
        made->memory = true;
        return;
    }
    /* Newest first: from behind they are nearly in order. */
    unsigned at = (unsigned)most;
    const struct sec_variable *variable = run->variables[collection];
    for (; variable != NULL; variable = variable->next) {
        if (variable->text.p != NULL && name_matches(made, variable->name))
            items[--at] = (struct ordered){ variable->order, variable->shown, variable->text };
    }
    for (unsigned i = first; i < slots; i = next_slot(made, i + 1)) {
        if (run->slots[i].p != NULL)
            items[count++] =
                (struct ordered){ run->slot_order[i], run->plan->slot_shown[i], run->slots[i] };
    }
    for (; at < most; at++)
        items[count++] = items[at];
    add_sorted(made, items, count);
    if (collection == COLLECTION_TX)
        add_captures(made);
}

/* As the rule that set it spells it. */
static struct span shown_name(const struct sec_run *run, enum sec_collection collection,
                              struct span lower)
{
    unsigned slot = collection == COLLECTION_TX ? slot_of(run->plan, lower) : NO_SLOT;
    if (slot != NO_SLOT)
        return run->plan->slot_shown[slot];
    const struct sec_variable *variable = sec_variable_find(run, collection, lower);
    return variable != NULL ? variable->shown : lower;
}

/* One name of a collection: no need to walk all of it. */
static void add_named(struct made *made, enum sec_collection collection, struct span key)
{
    struct span lower = sec_lower(made->run->arena, key);
    if (lower.p == NULL)
        made->memory = true;
    else
        add_made(made, shown_name(made->run, collection, lower),
                 sec_collection_get(made->run, collection, lower));
}

static void add_matched(struct made *made, bool names)
{
    struct sec_matched *matched = made->run->matched;
    for (; matched != NULL && !made->memory; matched = matched->next) {
        struct span name = sec_matched_name(made->run, matched);
        made->memory = name.p == NULL;
        add_made(made, name, names ? name : matched->text);
    }
}

const struct sec_list *sec_made_list(struct sec_run *run, const struct sec_target *target,
                                     const struct link_target *known)
{
    struct sec_list *list = arena_new(run->arena, struct sec_list);
    struct made made = { .run = run, .target = target, .list = list };
    enum sec_collection collection = sec_collection_of(target->var);
    if (list == NULL)
        return NULL;
    if (collection != COLLECTION_COUNT)
        sec_turn_to(run, collection);
    if (known->key < PLAN_KEYS_MAX)
        made.key = &run->plan->keys[known->key];
    if (known->slot != NO_SLOT)
        add_value(&made, run->plan->slot_shown[known->slot], run->slots[known->slot]);
    else if (collection != COLLECTION_COUNT && target->key_kind == KEY_NAME)
        add_named(&made, collection, target->key);
    else if (collection != COLLECTION_COUNT)
        add_collection(&made, collection);
    else if (target->var == VAR_MATCHED_VARS || target->var == VAR_MATCHED_VARS_NAMES)
        add_matched(&made, target->var == VAR_MATCHED_VARS_NAMES);
    else
        add_made(&made, target->key, sec_lookup(run, target->var, target->key));
    return made.memory ? NULL : list;
}

/* ---- one value ------------------------------------------------------------------------------
 */

static struct span padded(struct sec_run *run, int value)
{
    struct text text = text_growing(run->arena, 24);
    if (value < 10)
        text_char(&text, '0');
    text_int(&text, value);
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

static struct span time_of_day(struct sec_run *run, const struct tm *tm)
{
    struct text text = text_growing(run->arena, 24);
    text_format(&text, "%02d:%02d:%02d", tm->tm_hour, tm->tm_min, tm->tm_sec);
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

static struct span clock_text(struct sec_run *run, enum variable var)
{
    time_t now = (time_t)run->wall_s;
    struct tm tm;
    if (localtime_r(&now, &tm) == NULL)
        return (struct span){ 0 };
    switch ((int)var) {
    case VAR_TIME:
        return time_of_day(run, &tm);
    case VAR_TIME_DAY:
        return sec_number_text(run, tm.tm_mday);
    case VAR_TIME_EPOCH:
        return sec_number_text(run, (int64_t)run->wall_s);
    case VAR_TIME_HOUR:
        return padded(run, tm.tm_hour);
    case VAR_TIME_MIN:
        return padded(run, tm.tm_min);
    case VAR_TIME_MON:
        return sec_number_text(run, tm.tm_mon);
    case VAR_TIME_SEC:
        return padded(run, tm.tm_sec);
    case VAR_TIME_WDAY:
        return sec_number_text(run, tm.tm_wday);
    default:
        return sec_number_text(run, tm.tm_year + 1900);
    }
}

static struct span rule_field(struct sec_run *run, struct span key)
{
    const struct sec_rule *rule = run->running;
    struct span none = { 0 };
    if (rule == NULL)
        return none;
    if (span_equal_nocase(key, SPAN("id")))
        return sec_number_text(run, (int64_t)rule->id);
    if (span_equal_nocase(key, SPAN("msg")))
        return rule->message.source;
    if (span_equal_nocase(key, SPAN("logdata")))
        return rule->log_data.source;
    if (span_equal_nocase(key, SPAN("rev")))
        return rule->revision;
    if (span_equal_nocase(key, SPAN("ver")))
        return rule->version;
    if (span_equal_nocase(key, SPAN("severity")))
        return rule->severity < 0 ? none : sec_number_text(run, rule->severity);
    return none;
}

static struct span from_values(struct sec_run *run, enum variable var, struct span key)
{
    const struct sec_list *list = sec_values_list(&run->values, var);
    for (unsigned i = 0; list != NULL && i < list->count; i++) {
        if (key.len == 0 || span_equal_nocase(list->items[i]->key, key))
            return list->items[i]->text.p != NULL ? list->items[i]->text : SPAN("");
    }
    return (struct span){ 0 };
}

static struct span last_text(const struct sec_run *run)
{
    const struct sec_matched *last = run->last_matched;
    struct span text = last != NULL ? last->text : (struct span){ 0 };
    return last != NULL && text.p == NULL ? SPAN("") : text;
}

struct span sec_lookup(struct sec_run *run, enum variable var, struct span key)
{
    enum sec_collection collection = sec_collection_of(var);
    if (collection != COLLECTION_COUNT) {
        struct span lower = sec_lower(run->arena, key);
        sec_turn_to(run, collection);
        return lower.p == NULL ? lower : sec_collection_get(run, collection, lower);
    }
    if (var >= VAR_TIME && var <= VAR_TIME_YEAR)
        return clock_text(run, var);
    switch ((int)var) {
    case VAR_MATCHED_VAR:
        return last_text(run);
    case VAR_MATCHED_VAR_NAME:
        return run->last_matched != NULL ? sec_matched_name(run, run->last_matched)
                                         : (struct span){ 0 };
    case VAR_HIGHEST_SEVERITY:
        return sec_number_text(run, run->highest_severity);
    case VAR_DURATION:
        return sec_number_text(run, (int64_t)(run->now_us - run->began_us));
    case VAR_WEBAPPID:
        return run->plan->program->settings.web_app_id;
    case VAR_SESSIONID:
        return run->collection_key[COLLECTION_SESSION];
    case VAR_USERID:
        return run->collection_key[COLLECTION_USER];
    case VAR_RULE:
        return rule_field(run, key);
    case VAR_REQBODY_PROCESSOR:
        if (run->body_processor.p != NULL)
            return run->body_processor;
        break;
    default:
        break;
    }
    return from_values(run, var, key);
}

/* ---- macros ---------------------------------------------------------------------------------
 */

static struct span part_text(struct sec_run *run, const struct macro_part *part)
{
    if (!part->variable)
        return part->text;
    if (part->slot != 0 && part->slot <= run->plan->slot_count)
        return run->slots[part->slot - 1];
    if (part->slot >= PLAN_CAPTURES_FROM)
        return run->captures[part->slot - PLAN_CAPTURES_FROM];
    return sec_lookup(run, part->var, part->text);
}

/* As many of the parts as it takes to reach RUN_MACRO_BYTES_MAX, and of each no more. */
static struct span join(struct sec_run *run, struct span *parts, unsigned count)
{
    size_t len = 0;
    unsigned taken = 0;
    for (; taken < count && len < RUN_MACRO_BYTES_MAX; taken++) {
        parts[taken] = span_sub(parts[taken], 0, RUN_MACRO_BYTES_MAX);
        len += parts[taken].len;
    }
    char *text = arena_alloc(run->arena, len), *end = text;
    if (text == NULL)
        return (struct span){ 0 };
    for (unsigned i = 0; i < taken; i++) {
        if (parts[i].len > 0)
            memcpy(end, parts[i].p, parts[i].len);
        end += parts[i].len;
    }
    return span_of(text, len);
}

struct span sec_expand(struct sec_run *run, const struct macro *macro)
{
    if (macro->literal)
        return macro->source.p != NULL ? macro->source : SPAN("");
    if (macro->count == 1) {
        struct span only = part_text(run, &macro->parts[0]);
        return only.p != NULL ? only : SPAN("");
    }
    UNCLEARED struct span parts[SECLANG_MACRO_PARTS_MAX];
    unsigned count =
        macro->count < SECLANG_MACRO_PARTS_MAX ? macro->count : SECLANG_MACRO_PARTS_MAX;
    for (unsigned i = 0; i < count; i++)
        parts[i] = part_text(run, &macro->parts[i]);
    return join(run, parts, count);
}
