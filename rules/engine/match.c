/*
 * One link against all its values.
 */
#include "rules/engine/match.h"

enum { WORK_VALUE = 4, WORK_OPERATOR = 64, WORK_REGEX = 512 };

/* ---- does it match? -------------------------------------------------------------------------
 */

static bool is_global(const struct sec_link *link)
{
    return strcmp(link->op->row->name, "rxGlobal") == 0;
}

/* The groups of all matches, one behind the other; the first match's are there already. */
static void take_all(struct sec_run *run, const struct sec_regex *regex, struct span text,
                     struct regex_captures *all)
{
    struct regex_captures next = *all;
    while (all->count < REGEX_CAPTURES_MAX) {
        size_t from = (size_t)(next.at[0].p - text.p) + next.at[0].len;
        run->work += text.len - from + WORK_REGEX;
        if (regex_match_from(&run->local->regex, regex, text, from, &next) != REGEX_YES)
            return;
        for (unsigned i = 0; i < next.count && all->count < REGEX_CAPTURES_MAX; i++)
            all->at[all->count++] = next.at[i];
    }
}

static void try_regex(struct sec_run *run, const struct sec_link *link, struct span text,
                      struct found *found)
{
    const struct sec_operator *op = link->op;
    const struct sec_regex *regex =
        op->regex != NULL ? op->regex : sec_pattern(run, &op->argument);
    run->counts.regex_calls++;
    run->work += text.len + WORK_REGEX;
    if (regex == NULL)
        return;
    enum regex_answer answer = regex_match(&run->local->regex, regex, text, &found->captures);
    found->yes = answer == REGEX_YES;
    /* Undecided is not "no": the budget is called spent, and the stage's on_error decides. */
    if (answer == REGEX_LIMIT)
        run->spent = true;
    if (!found->yes)
        return;
    found->located = true;
    found->offset = (size_t)(found->captures.at[0].p - text.p);
    found->len = found->captures.at[0].len;
    if (is_global(link))
        take_all(run, regex, text, &found->captures);
}

bool sec_geo_add(struct sec_run *run, const char *name, struct span text)
{
    return sec_values_add(&run->values, VAR_GEO, span_text(name), text) != ERR_MEMORY;
}

/* GEO is what the last address that was found has. */
static bool look_up(struct sec_run *run, struct span address)
{
    run->values.lists[VAR_GEO].count = 0;
    return run->geo->lookup(run->geo->context, run, address);
}

static void try_operator(struct sec_run *run, const struct sec_link *link, struct span text,
                         struct found *found)
{
    const struct sec_operator *op = link->op;
    struct operator_match match = { .captured = { 0 } };
    struct operator_call call = {
        .prepared = op->prepared,
        .value = text,
        .argument = sec_expand(run, &op->argument),
        .regex = &run->local->regex,
    };
    run->counts.operator_calls++;
    run->work += text.len + WORK_OPERATOR;
    if (op->row->kind == OPERATOR_GEO)
        found->yes = run->geo != NULL && look_up(run, text);
    else
        found->yes = op->row->eval != NULL && op->row->eval(&call, &match);
    if (!found->yes || op->row->kind == OPERATOR_GEO)
        return;
    found->located = true;
    found->offset = match.offset;
    found->len = match.len;
    if (match.captured.p == NULL)
        return;
    bool own =
        match.captured.p >= match.room && match.captured.p < match.room + sizeof(match.room);
    if (own)
        memcpy(found->room, match.room, sizeof(match.room));
    found->captures.count = 1;
    found->captures.at[0] =
        own ? span_of(found->room + (match.captured.p - match.room), match.captured.len)
            : match.captured;
}

/* Which of its patterns it was, and where: nothing is decided by it. */
static void locate(struct sec_run *run, const struct own_rule *own, struct span text,
                   struct found *found)
{
    for (unsigned i = 0; i < own->pattern_count && !found->located; i++) {
        struct regex_captures captures;
        if (own->regexes[i] == NULL)
            continue;
        run->counts.regex_calls++;
        run->work += text.len + WORK_REGEX;
        if (regex_match(&run->local->regex, own->regexes[i], text, &captures) != REGEX_YES)
            continue;
        found->located = true;
        found->offset = (size_t)(captures.at[0].p - text.p);
        found->len = captures.at[0].len;
    }
}

static void try_directly(struct sec_run *run, const struct sec_link *link, struct span text,
                         struct found *found)
{
    if (link->rule->own != NULL)
        locate(run, link->rule->own, text, found);
    else if (link->direct == LINK_REGEX)
        try_regex(run, link, text, found);
    else
        try_operator(run, link, text, found);
}

/* A scanned value's answer is known: its place and captures are looked for only when the rule
 * uses them. */
static void try_value(struct sec_run *run, const struct shown *shown, struct found *found)
{
    const struct sec_link *link = shown->link;
    const struct sec_value *value = shown->value;
    const struct sec_rule *rule = link->rule;
    bool known = link->bit != NO_BIT && value->scanned && !shown->count;
    if (link->match == LINK_ALWAYS) {
        found->yes = true;
        return;
    }
    if (!known) {
        try_directly(run, link, shown->text, found);
        return;
    }
    bool hit = value->hits != NULL && bit_has(value->hits, link->bit + shown->step);
    if (link->check) {
        found->yes = link->op->negated;
        if (hit)
            try_directly(run, link, shown->text, found);
        return;
    }
    bool told = shown->link->next == NULL && (rule->head->log || rule->head->audit_log);
    if (hit && !link->op->negated && (rule->capture || told))
        try_directly(run, link, shown->text, found);
    found->yes = hit;
}

/* A decision, also one that allows, leaves no further value to be asked. */
static bool is_decided(const struct sec_run *run)
{
    if (run->running != NULL && run->running->own != NULL)
        return run->own.settled;
    return run->intercepted != NULL || run->allow_phase || run->allow_request || run->allow_all;
}

/* ---- one value ------------------------------------------------------------------------------
 */

/* 1, 0, or -1: out of memory. */
static int judge(struct sec_run *run, struct shown *shown)
{
    UNCLEARED struct found found;
    found.yes = found.located = false;
    found.captures.count = 0;
    try_value(run, shown, &found);
    if (found.yes == shown->link->op->negated)
        return 0;
    /* Links of a chain have no id and no tag of their own, and so keep their targets. */
    if (run->removed_targets != NULL && shown->link->rule == shown->link->rule->head &&
        sec_target_removed(run, shown->link, shown->var, shown->value->key))
        return 0;
    if (shown->link->rule->own != NULL && !sec_own_holds(run, shown->link->rule->own))
        return 0;
    return sec_on_match(run, shown, &found) ? 1 : -1;
}

/* Whether a scanned value cannot match, so that its text is not even made. */
static bool surely_not(const struct sec_link *link, const struct sec_value *value)
{
    if (link->bit == NO_BIT || !value->scanned || (link->op->negated && !link->check))
        return false;
    if (value->hits == NULL)
        return true;
    return !link->rule->multi_match && !bit_has(value->hits, link->bit);
}

static int judge_one(struct sec_run *run, struct shown *shown)
{
    shown->text = sec_form_text(run, shown->value, shown->link->form);
    return shown->text.p == NULL ? -1 : judge(run, shown);
}

/*
 * The operator sees the value as it came, then what each step that changed something made of
 * it; the last of these once more when the last step changed nothing, as the reference engine
 * does, because scores depend on it.
 */
static int judge_many(struct sec_run *run, struct shown *shown)
{
    const struct sec_link *link = shown->link;
    int matched = 0;
    bool changed = false;
    struct span before = { 0 };
    for (unsigned i = 0; i < link->path_count && !is_decided(run); i++) {
        struct span text = sec_form_text(run, shown->value, link->path[i]);
        if (text.p == NULL)
            return -1;
        bool last = i + 1 == link->path_count;
        bool differs = i > 0 && !(text.len == before.len &&
                                  (text.p == before.p || span_equal(text, before)));
        changed = changed || differs;
        before = text;
        if (i > 0 && !(last ? changed : differs))
            continue;
        shown->text = text;
        shown->step = i;
        int one = judge(run, shown);
        if (one < 0)
            return one;
        matched |= one;
    }
    return matched;
}

static int judge_value(struct sec_run *run, struct shown *shown)
{
    run->work += WORK_VALUE;
    if (!shown->count && surely_not(shown->link, shown->value))
        return 0;
    return shown->link->rule->multi_match && shown->link->path_count > 1
               ? judge_many(run, shown)
               : judge_one(run, shown);
}

/* ---- targets --------------------------------------------------------------------------------
 */

bool sec_made_by_rules(enum variable var)
{
    return sec_collection_of(var) != COLLECTION_COUNT ||
           (var >= VAR_RULE && var <= VAR_HIGHEST_SEVERITY) || var == VAR_DURATION ||
           (var >= VAR_TIME && var <= VAR_TIME_YEAR) || var == VAR_WEBAPPID ||
           var == VAR_SESSIONID || var == VAR_USERID || var == VAR_REQBODY_PROCESSOR;
}

static const struct sec_list *list_of(struct sec_run *run, const struct sec_target *target,
                                      const struct link_target *known)
{
    return sec_made_by_rules(target->var) ? sec_made_list(run, target, known)
                                          : sec_values_list(&run->values, target->var);
}

/* `id`: of the plan's key patterns, whose answer the value remembers. */
static bool key_matches(struct sec_run *run, const struct sec_target *target, unsigned id,
                        struct sec_value *value)
{
    uint64_t bit = id < PLAN_KEYS_MAX ? UINT64_C(1) << id : 0;
    if ((value->key_asked & bit) != 0)
        return (value->key_said & bit) != 0;
    run->counts.regex_calls++;
    run->work += WORK_OPERATOR;
    bool yes = regex_match(&run->local->regex, target->regex, value->key, NULL) == REGEX_YES;
    value->key_asked |= bit;
    value->key_said |= yes ? bit : 0;
    return yes;
}

static bool chosen(struct sec_run *run, const struct sec_target *target, unsigned id,
                   struct sec_value *value)
{
    switch (target->key_kind) {
    case KEY_NONE:
        return true;
    case KEY_NAME:
        if (target->key.len != value->key.len)
            return false;
        return target->cased ? span_equal(target->key, value->key)
                             : span_equal_nocase(target->key, value->key);
    case KEY_REGEX:
        return key_matches(run, target, id, value);
    }
    return false;
}

/* What matched before goes by the name that it had: `!ARGS:a` takes it away, too. */
static bool takes_matched(struct sec_run *run, const struct sec_target *target,
                          enum variable var, const struct sec_value *value)
{
    if (var != VAR_MATCHED_VARS && var != VAR_MATCHED_VARS_NAMES)
        return false;
    struct span key = value->key, name;
    if (!span_cut(&key, ':', &name) ||
        !span_equal(name, span_text(variable_rows[target->var].name)))
        return false;
    struct sec_value named = { .key = key };
    return chosen(run, target, PLAN_KEYS_MAX, &named);
}

/* Whether a target behind `at` takes the value away again. */
static bool excluded(struct sec_run *run, const struct sec_link *link, unsigned at,
                     enum variable var, struct sec_value *value)
{
    const struct sec_rule *rule = link->rule;
    for (unsigned i = at + 1; i < rule->target_count; i++) {
        const struct sec_target *target = &rule->targets[i];
        if (!target->exclude)
            continue;
        if (target->var == var ? chosen(run, target, link->targets[i].key, value)
                               : takes_matched(run, target, var, value))
            return true;
    }
    return false;
}

/* The target with macros in its key expanded; NULL: out of memory. */
static const struct sec_target *resolve(struct sec_run *run, const struct sec_target *written)
{
    if (written->key_kind != KEY_NAME || written->key_macro.literal ||
        written->key_macro.count == 0)
        return written;
    struct sec_target *target = arena_alloc(run->arena, sizeof(*target));
    if (target == NULL)
        return NULL;
    *target = *written;
    target->key = sec_expand(run, &written->key_macro);
    return target->key.p != NULL ? target : NULL;
}

static int judge_number(struct sec_run *run, const struct sec_link *link,
                        const struct sec_target *target, int64_t count)
{
    struct span text = sec_number_text(run, count);
    if (text.p == NULL)
        return -1;
    struct sec_value value = { .text = text,
                               .key = target->key_kind == KEY_NONE ? (struct span){ 0 }
                                                                   : target->key };
    struct shown shown = { .link = link, .var = target->var, .count = true, .value = &value };
    return judge_value(run, &shown);
}

/* A list that was made for the target holds nothing else. */
static int judge_count(struct sec_run *run, const struct sec_link *link, unsigned at,
                       const struct sec_target *target, const struct sec_list *list)
{
    int64_t count = 0;
    if (sec_made_by_rules(target->var))
        return judge_number(run, link, target, list->count);
    for (unsigned i = 0; i < list->count; i++)
        count += chosen(run, target, link->targets[at].key, list->items[i]);
    return judge_number(run, link, target, count);
}

/* 0, -1 or MATCH_STANDS. */
static int judge_list(struct sec_run *run, struct sec_stand *stand)
{
    const struct sec_link *link = stand->link;
    const struct sec_target *target = stand->source.target;
    const unsigned at = stand->target, from = stand->value;
    bool made = sec_made_by_rules(target->var);
    for (; stand->value < stand->count && !is_decided(run) && !run->spent; stand->value++) {
        struct sec_value *value = stand->source.list->items[stand->value];
        if (surely_not(link, value))
            continue;
        if (run->may_stand && run->work > run->slice_end && stand->value > from)
            return MATCH_STANDS;
        if ((!made && !chosen(run, target, link->targets[at].key, value)) ||
            excluded(run, link, at, target->var, value))
            continue;
        struct shown shown = { .link = link, .var = target->var, .value = value };
        int one = judge_value(run, &shown);
        if (one < 0)
            return one;
        stand->matched |= one != 0;
        if (run->work > run->budget)
            run->spent = true;
    }
    return 0;
}

/* A value that nobody else shows; p NULL: it is not there, and nothing could match. */
static int judge_own(struct sec_run *run, const struct sec_link *link, struct span key,
                     struct span text)
{
    struct sec_value value = { .key = key, .text = text };
    struct shown shown = { .link = link, .var = link->rule->targets[0].var, .value = &value };
    if (text.p == NULL || run->spent || is_decided(run))
        return 0;
    int matched = judge_value(run, &shown);
    if (run->work > run->budget)
        run->spent = true;
    return matched;
}

/* The one variable in TX that the link looks at. */
static int judge_slot(struct sec_run *run, const struct sec_link *link)
{
    struct span text = run->slots[link->slot];
    if (!link->rule->targets[0].count)
        return judge_own(run, link, run->plan->slot_shown[link->slot], text);
    if (run->spent || is_decided(run))
        return 0;
    return judge_number(run, link, &link->rule->targets[0], text.p != NULL);
}

/* SecAction always matches, as if it had looked at the client's address. */
static int always(struct sec_run *run, const struct sec_link *link)
{
    const struct sec_list *list = sec_values_list(&run->values, VAR_REMOTE_ADDR);
    struct sec_value *value = list != NULL && list->count > 0
                                  ? list->items[0]
                                  : arena_new(run->arena, struct sec_value);
    struct shown shown = { .link = link, .var = VAR_REMOTE_ADDR, .value = value };
    return value != NULL ? judge_value(run, &shown) : -1;
}

static bool fetch(struct sec_run *run, const struct sec_link *link, unsigned at,
                  struct sec_source *source)
{
    source->target = resolve(run, &link->rule->targets[at]);
    if (source->target == NULL)
        return false;
    source->list = list_of(run, source->target, &link->targets[at]);
    return source->list != NULL;
}

/* All of a rule's values stand before the first is judged: what its own matches change it does
 * not see. That makes a difference only for what rules make. NULL: none, or out of memory. */
static const struct sec_source *fetch_all(struct sec_run *run, const struct sec_link *link,
                                          bool *good)
{
    const struct sec_rule *rule = link->rule;
    *good = true;
    if (!link->sees_made)
        return NULL;
    struct sec_source *sources = arena_array(run->arena, struct sec_source, rule->target_count);
    *good = sources != NULL;
    for (unsigned i = 0; *good && i < rule->target_count; i++)
        *good = rule->targets[i].exclude || fetch(run, link, i, &sources[i]);
    return sources;
}

/* From the beginning, or where it gave way. */
static bool stand_begin(struct sec_run *run, const struct sec_link *link,
                        struct sec_stand *stand)
{
    bool good = true;
    if (run->stand.link == link) {
        *stand = run->stand;
        run->stand.link = NULL;
        return true;
    }
    stand->link = link;
    stand->target = stand->value = 0;
    stand->matched = false;
    stand->sources = fetch_all(run, link, &good);
    return good;
}

static int judge_target(struct sec_run *run, struct sec_stand *stand)
{
    const struct sec_source *source = &stand->source;
    if (stand->value > 0)
        return judge_list(run, stand);
    if (stand->sources != NULL)
        stand->source = stand->sources[stand->target];
    else if (!fetch(run, stand->link, stand->target, &stand->source))
        return -1;
    stand->count = source->list->count;
    if (!source->target->count)
        return judge_list(run, stand);
    int matched = judge_count(run, stand->link, stand->target, source->target, source->list);
    stand->matched |= matched > 0;
    return matched < 0 ? matched : 0;
}

int sec_match_link(struct sec_run *run, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    if (link->match == LINK_ALWAYS)
        return always(run, link);
    if (link->slot != NO_SLOT)
        return judge_slot(run, link);
    if (rule->target_count == 1 && rule->targets[0].var == VAR_REQBODY_PROCESSOR &&
        rule->targets[0].key_kind == KEY_NONE && !rule->targets[0].count &&
        !rule->targets[0].exclude)
        return judge_own(run, link, (struct span){ 0 },
                         sec_lookup(run, VAR_REQBODY_PROCESSOR, (struct span){ 0 }));
    UNCLEARED struct sec_stand stand;
    if (!stand_begin(run, link, &stand))
        return -1;
    for (; stand.target < rule->target_count && !is_decided(run); stand.target++) {
        if (rule->targets[stand.target].exclude)
            continue;
        int one = judge_target(run, &stand);
        if (one == MATCH_STANDS)
            run->stand = stand;
        if (one != 0)
            return one;
        stand.value = 0;
    }
    return stand.matched;
}
