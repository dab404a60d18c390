/* Targets: which values a rule looks at, under which names; and macros, which look at one. */
#include "tests/reference/reference.h"

void items_add(struct items *items, struct arena *arena, struct item item)
{
    if (items->count == items->capacity) {
        unsigned capacity = items->capacity == 0 ? 8 : 2 * items->capacity;
        struct item *more = must(arena_array(arena, struct item, capacity));
        if (items->count > 0)
            memcpy(more, items->items, items->count * sizeof(struct item));
        items->items = more;
        items->capacity = capacity;
    }
    items->items[items->count++] = item;
}

/* ---- variables that rules make --------------------------------------------------------------
 */

static const struct vars *vars_of(const struct reference *ref, enum variable var)
{
    static const struct {
        enum variable var;
        enum sec_collection collection;
    } rows[] = {
        { VAR_IP, COLLECTION_IP },
        { VAR_GLOBAL, COLLECTION_GLOBAL },
        { VAR_SESSION, COLLECTION_SESSION },
        { VAR_USER, COLLECTION_USER },
        { VAR_RESOURCE, COLLECTION_RESOURCE },
        { VAR_ENV, COLLECTION_ENV },
    };
    if (var == VAR_TX)
        return &ref->tx;
    if (var == VAR_GEO)
        return &ref->geo_vars;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].var == var)
            return &ref->collections[rows[i].collection];
    }
    return NULL;
}

static int64_t sum_of(const struct pairs *list, bool names, bool values)
{
    size_t sum = 0;
    for (unsigned i = 0; i < list->count; i++)
        sum += (names ? list->items[i].name.len : 0) + (values ? list->items[i].value.len : 0);
    return (int64_t)sum;
}

/* Scalars that are computed when asked for. p NULL: none. */
static struct span scalar_of(const struct reference *ref, enum variable var)
{
    const struct pairs *values = ref->txn->values;
    switch ((int)var) {
    case VAR_MATCHED_VAR:
        return ref->matched_value;
    case VAR_MATCHED_VAR_NAME:
        return ref->matched_name;
    case VAR_HIGHEST_SEVERITY:
        return number_text(ref->arena, ref->highest_severity);
    case VAR_REQBODY_PROCESSOR:
        return ref->processor.p == NULL ? SPAN("") : ref->processor;
    case VAR_ARGS_COMBINED_SIZE:
        return number_text(ref->arena, sum_of(&values[VAR_ARGS], true, true));
    case VAR_FILES_COMBINED_SIZE:
        return number_text(ref->arena, sum_of(&values[VAR_FILES_TMP_CONTENT], false, true));
    case VAR_SESSIONID:
        return ref->session_id;
    case VAR_USERID:
        return ref->user_id;
    case VAR_WEBAPPID:
        return ref->program->settings.web_app_id.len > 0 ? ref->program->settings.web_app_id
                                                         : SPAN("default");
    default:
        return (struct span){ 0 };
    }
}

/* RULE:id and its kin, of the chain's head. */
static struct span rule_fact(const struct reference *ref, const struct sec_rule *rule,
                             struct span key)
{
    const struct sec_rule *head = rule == NULL ? NULL : rule->head;
    if (head == NULL)
        return (struct span){ 0 };
    if (span_equal_nocase(key, SPAN("id")) && head->id != 0)
        return number_text(ref->arena, (int64_t)head->id);
    if (span_equal_nocase(key, SPAN("msg")) && head->message.source.len > 0)
        return head->message.source;
    if (span_equal_nocase(key, SPAN("logdata")) && head->log_data.source.len > 0)
        return head->log_data.source;
    if (span_equal_nocase(key, SPAN("rev")) && head->revision.len > 0)
        return head->revision;
    if (span_equal_nocase(key, SPAN("ver")) && head->version.len > 0)
        return head->version;
    if (span_equal_nocase(key, SPAN("severity")) && head->severity >= 0)
        return number_text(ref->arena, head->severity);
    if (span_equal_nocase(key, SPAN("maturity")) && head->maturity > 0)
        return number_text(ref->arena, head->maturity);
    if (span_equal_nocase(key, SPAN("accuracy")) && head->accuracy > 0)
        return number_text(ref->arena, head->accuracy);
    return (struct span){ 0 };
}

/* ---- choosing -------------------------------------------------------------------------------
 */

struct choice {
    enum { CHOOSE_ALL, CHOOSE_NAME, CHOOSE_REGEX } kind;
    struct span name;
    const struct sec_regex *regex;
};

static bool chosen(const struct reference *ref, const struct choice *choice, struct span name)
{
    if (choice->kind == CHOOSE_REGEX)
        return regex_says(ref, choice->regex, name);
    return choice->kind == CHOOSE_ALL || span_equal_nocase(choice->name, name);
}

static struct span full_name(const struct reference *ref, enum variable var, struct span key)
{
    return join(ref->arena, span_text(variable_rows[var].name), SPAN(":"), key);
}

static void add(struct reference *ref, struct items *out, struct span name, struct span value)
{
    items_add(out, ref->arena, (struct item){ name, name, value });
}

static void choose_pairs(struct reference *ref, enum variable var, const struct pairs *list,
                         const struct choice *choice, struct items *out)
{
    bool scalar = variable_rows[var].shape == SHAPE_SCALAR;
    for (unsigned i = 0; i < list->count; i++) {
        const struct pair *pair = &list->items[i];
        if (scalar)
            add(ref, out, span_text(variable_rows[var].name), pair->value);
        else if (chosen(ref, choice, pair->name))
            add(ref, out, full_name(ref, var, pair->name), pair->value);
    }
}

/* What matched so far keeps the name under which it did. */
static void choose_matched(struct reference *ref, enum variable var,
                           const struct choice *choice, struct items *out)
{
    for (unsigned i = 0; i < ref->matched.count; i++) {
        struct item item = ref->matched.items[i];
        if (chosen(ref, choice, item.name))
            add(ref, out, item.name, var == VAR_MATCHED_VARS ? item.value : item.name);
    }
}

/* Two paths: all text below the root as one value, and each attribute. */
static void choose_xml(struct reference *ref, struct span path, struct items *out)
{
    const struct pairs *list = &ref->txn->values[VAR_XML];
    bool attributes = span_equal(path, SPAN("//@*"));
    for (unsigned i = 0; i < list->count; i++) {
        if (attributes == (list->items[i].name.len > 0))
            items_add(out, ref->arena,
                      (struct item){ SPAN("XML"), full_name(ref, VAR_XML, path),
                                     list->items[i].value });
    }
}

static void choose(struct reference *ref, const struct sec_rule *rule, enum variable var,
                   const struct choice *choice, struct items *out)
{
    const struct vars *table = vars_of(ref, var);
    if (table != NULL) {
        choose_pairs(ref, var, &table->list, choice, out);
    } else if (var == VAR_MATCHED_VARS || var == VAR_MATCHED_VARS_NAMES) {
        choose_matched(ref, var, choice, out);
    } else if (var == VAR_XML) {
        choose_xml(ref, choice->name, out);
    } else if (var == VAR_RULE) {
        struct span fact = rule_fact(ref, rule, choice->name);
        if (fact.p != NULL)
            add(ref, out, full_name(ref, var, choice->name), fact);
    } else if (scalar_of(ref, var).p != NULL) {
        add(ref, out, span_text(variable_rows[var].name), scalar_of(ref, var));
    } else {
        choose_pairs(ref, var, &ref->txn->values[var], choice, out);
    }
}

/* ---- a rule's targets -----------------------------------------------------------------------
 */

static void take_away(struct items *items, struct span name)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < items->count; i++) {
        if (!span_equal_nocase(items->items[i].name, name))
            items->items[kept++] = items->items[i];
    }
    items->count = kept;
}

static void add_count(struct reference *ref, const struct sec_target *target,
                      const struct choice *choice, unsigned count, struct items *out)
{
    struct span name = span_text(variable_rows[target->var].name), shown = name;
    if (target->key_kind != KEY_NONE)
        shown = full_name(ref, target->var, choice->name);
    items_add(out, ref->arena,
              (struct item){ name, join(ref->arena, SPAN("&"), shown, SPAN("")),
                             number_text(ref->arena, count) });
}

void reference_targets(struct reference *ref, const struct sec_rule *rule, struct items *out)
{
    if (rule->unconditional) { /* as if it looked at the client's address */
        choose_pairs(ref, VAR_REMOTE_ADDR, &ref->txn->values[VAR_REMOTE_ADDR],
                     &(struct choice){ CHOOSE_ALL, SPAN(""), NULL }, out);
        return;
    }
    for (unsigned i = 0; i < rule->target_count; i++) {
        const struct sec_target *target = &rule->targets[i];
        struct choice choice = { CHOOSE_ALL, target->key, target->regex };
        if (target->key_kind == KEY_REGEX)
            choice.kind = CHOOSE_REGEX;
        else if (target->key_kind == KEY_NAME)
            choice.kind = CHOOSE_NAME;
        if (target->key_kind == KEY_NAME && !target->key_macro.literal &&
            target->key_macro.count > 0)
            choice.name = reference_expand(ref, rule, &target->key_macro);

        struct items found = { 0 };
        choose(ref, rule, target->var, &choice, &found);
        if (target->count) {
            add_count(ref, target, &choice, found.count, out);
            continue;
        }
        for (unsigned j = 0; j < found.count; j++) {
            if (target->exclude)
                take_away(out, found.items[j].name);
            else
                items_add(out, ref->arena, found.items[j]);
        }
    }
}

/* ---- macros ---------------------------------------------------------------------------------
 */

struct span reference_expand(struct reference *ref, const struct sec_rule *rule,
                             const struct macro *macro)
{
    if (macro->literal)
        return macro->source;
    struct text text = text_growing(ref->arena, macro->source.len + 16);
    for (unsigned i = 0; i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (!part->variable) {
            text_add(&text, part->text);
            continue;
        }
        /* The first value there is. */
        struct choice choice = { part->text.len > 0 ? CHOOSE_NAME : CHOOSE_ALL, part->text,
                                 NULL };
        struct items found = { 0 };
        choose(ref, rule, part->var, &choice, &found);
        if (found.count > 0)
            text_add(&text, found.items[0].value);
    }
    INVARIANT(!text.overflow);
    return arena_copy(ref->arena, text_span(&text));
}
