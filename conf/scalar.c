/*
 * One parser for each kind of scalar. YAML's own guesses play no part: the option's kind
 * decides what a text means, and a text that could mean two things is refused with both spelt
 * out.
 */
#include "conf/scalar.h"

#include <stdarg.h>
#include <stdio.h>

#include "conf/expr.h"
#include "conf/source.h"
#include "conf/suggest.h"

enum { MESSAGE_MAX = 512, SHOWN_MAX = 60 };

struct unit {
    struct span name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    { SPAN_INIT("GiB"), UINT64_C(1) << 30 },
    { SPAN_INIT("MiB"), UINT64_C(1) << 20 },
    { SPAN_INIT("KiB"), UINT64_C(1) << 10 },
    { SPAN_INIT("TiB"), UINT64_C(1) << 40 },
    { SPAN_INIT("TB"), 1000000000000u },
    { SPAN_INIT("GB"), 1000000000u },
    { SPAN_INIT("MB"), 1000000u },
    { SPAN_INIT("kB"), 1000u },
    { SPAN_INIT("B"), 1u },
    { SPAN_INIT(""), 1u },
};

static const struct unit duration_units[] = {
    { SPAN_INIT("d"), 86400000u }, { SPAN_INIT("h"), 3600000u }, { SPAN_INIT("m"), 60000u },
    { SPAN_INIT("s"), 1000u },     { SPAN_INIT("ms"), 1u },
};

static const struct unit period_units[] = {
    { SPAN_INIT("day"), 86400000u }, { SPAN_INIT("hour"), 3600000u },
    { SPAN_INIT("min"), 60000u },    { SPAN_INIT("s"), 1000u },
    { SPAN_INIT("d"), 86400000u },   { SPAN_INIT("h"), 3600000u },
    { SPAN_INIT("minute"), 60000u }, { SPAN_INIT("m"), 60000u },
    { SPAN_INIT("sec"), 1000u },     { SPAN_INIT("second"), 1000u },
};

bool refuse_value(const struct given *given, enum diag_code code, struct span hint,
                  const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    INVARIANT(len >= 0);
    diag_add(given->schema->diags, SEVERITY_ERROR, code, given->node->place, span_text(message),
             hint);
    return false;
}

bool refuse_memory(const struct given *given)
{
    return refuse_value(given, DIAG_LIMIT, SPAN(""), "the configuration is too large");
}

const char *shown_value(const struct given *given)
{
    struct text t = text_growing(given->schema->arena, SHOWN_MAX + 8);
    struct span text = given->node->text;
    if (given->node->substituted || given->row->kind == OPT_SECRET)
        return "what was substituted";
    text_char(&t, '"');
    text_add(&t, span_sub(text, 0, SHOWN_MAX));
    text_add(&t, text.len > SHOWN_MAX ? SPAN("...\"") : SPAN("\""));
    const char *shown = text_cstring(&t);
    return shown != NULL ? shown : "this";
}

static const struct unit *find_unit(const struct unit *units, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++) {
        if (span_equal(units[i].name, name))
            return &units[i];
    }
    return NULL;
}

/* The digits at the start of `*text`, which moves behind them. */
static bool take_number(struct span *text, uint64_t *value)
{
    size_t len = 0;
    while (len < text->len && text->p[len] >= '0' && text->p[len] <= '9')
        len++;
    struct span digits = span_sub(*text, 0, len);
    *text = span_sub(*text, len, text->len);
    return span_uint(digits, value);
}

static bool is_word(const struct node *node, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (span_equal_nocase(node->text, span_text(words[i])))
            return true;
    }
    return false;
}

static bool parse_bool(const struct given *given, void *field)
{
    static const char *const yes[] = { "true", "yes", "on", "y", "1", "enabled" };
    static const char *const no[] = { "false", "no", "off", "n", "0", "disabled" };
    bool *value = field;
    *value = span_equal(given->node->text, SPAN("true"));
    if (*value || span_equal(given->node->text, SPAN("false")))
        return true;

    struct span hint = SPAN("");
    if (is_word(given->node, yes, ARRAY_LEN(yes)))
        hint = SPAN("did you mean \"true\"?");
    else if (is_word(given->node, no, ARRAY_LEN(no)))
        hint = SPAN("did you mean \"false\"?");
    return refuse_value(given, DIAG_VALUE, hint, "%s must be true or false, not %s",
                        given->row->name, shown_value(given));
}

typedef void write_fn(struct text *out, uint64_t value);

/* Bounds of 0,0 are none; a maximum below the minimum is none either. */
static bool in_bounds(const struct given *given, int64_t value, write_fn *write)
{
    int64_t min = given->row->min, max = given->row->max;
    bool bounded = min != 0 || max != 0;
    if (!bounded || (value >= min && (max < min || value <= max)))
        return true;

    struct text bounds = text_growing(given->schema->arena, 48);
    text_add(&bounds, max < min ? SPAN("at least ") : SPAN("between "));
    for (int i = 0; i < (max < min ? 1 : 2); i++) {
        int64_t bound = i == 0 ? min : max;
        if (i == 1)
            text_lit(&bounds, " and ");
        if (write != NULL && bound >= 0)
            write(&bounds, (uint64_t)bound);
        else
            text_int(&bounds, bound);
    }
    const char *text = text_cstring(&bounds);
    return refuse_value(given, DIAG_RANGE, SPAN(""), "%s must be %s", given->row->name,
                        text != NULL ? text : "within its bounds");
}

static bool parse_int(const struct given *given, void *field)
{
    struct span text = given->node->text;
    bool negative = span_starts(text, SPAN("-"));
    uint64_t magnitude;
    int64_t *value = field;

    if (negative)
        text = span_sub(text, 1, text.len);
    if (!span_uint(text, &magnitude) || magnitude > INT64_MAX)
        return refuse_value(given, DIAG_VALUE, SPAN(""), "%s must be a whole number, not %s",
                            given->row->name, shown_value(given));
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return in_bounds(given, *value, NULL);
}

/* 16K and 16KB: people mean 1000 or 1024 by them, and half of them would be wrong. */
static struct span size_hint(struct span text)
{
    uint64_t number;
    if (!take_number(&text, &number) || text.len == 0)
        return SPAN("for example 16KiB, 10MiB or 4096");
    switch (ascii_lower(text.p[0])) {
    case 'k':
        return SPAN("write KiB (1024 bytes) or kB (1000 bytes)");
    case 'm':
        return SPAN("write MiB (1024 KiB) or MB (1000 kB)");
    case 'g':
        return SPAN("write GiB (1024 MiB) or GB (1000 MB)");
    default:
        return SPAN("for example 16KiB, 10MiB or 4096");
    }
}

static bool parse_size(const struct given *given, void *field)
{
    struct span rest = given->node->text;
    uint64_t number, *value = field;
    bool good = take_number(&rest, &number);
    const struct unit *unit = find_unit(size_units, ARRAY_LEN(size_units), rest);

    if (!good || unit == NULL || __builtin_mul_overflow(number, unit->factor, value) ||
        *value > INT64_MAX)
        return refuse_value(given, DIAG_VALUE, size_hint(given->node->text),
                            "%s must be a size, not %s", given->row->name, shown_value(given));
    return in_bounds(given, (int64_t)*value, write_size);
}

static bool parse_duration(const struct given *given, void *field)
{
    struct span rest = given->node->text;
    struct duration *value = field;
    uint64_t number;
    bool good = take_number(&rest, &number);
    const struct unit *unit = find_unit(duration_units, ARRAY_LEN(duration_units), rest);

    if (good && rest.len == 0)
        return refuse_value(given, DIAG_VALUE, SPAN("add a unit: ms, s, m, h or d"),
                            "%s must be a duration, not %s", given->row->name,
                            shown_value(given));
    if (!good || unit == NULL || __builtin_mul_overflow(number, unit->factor, &value->ms))
        return refuse_value(given, DIAG_VALUE, SPAN("for example 50ms, 10s, 5m, 1h or 7d"),
                            "%s must be a duration, not %s", given->row->name,
                            shown_value(given));
    return in_bounds(given, value->ms, write_duration);
}

/* What is counted may be named: "5 blocks/10m". */
static bool known_noun(struct span noun)
{
    static const struct span nouns[] = { SPAN_INIT("requests"), SPAN_INIT("blocks"),
                                         SPAN_INIT("failures") };
    for (size_t i = 0; i < ARRAY_LEN(nouns); i++) {
        if (span_equal(noun, nouns[i]))
            return true;
    }
    return noun.len == 0;
}

static bool rate_of(struct span text, struct rate *rate)
{
    struct span period = text, count;
    uint64_t number = 1;

    if (!span_cut(&period, '/', &count) || period.p == NULL)
        return false;
    if (!take_number(&count, &rate->count) || !known_noun(span_trim(count)))
        return false;
    bool counted = period.len > 0 && period.p[0] >= '0' && period.p[0] <= '9';
    if (counted && !take_number(&period, &number))
        return false;
    const struct unit *unit = find_unit(period_units, ARRAY_LEN(period_units), period);
    if (unit == NULL && counted)
        unit = find_unit(duration_units, ARRAY_LEN(duration_units), period);
    if (unit == NULL || __builtin_mul_overflow(number, unit->factor, &rate->per_ms))
        return false;
    return rate->count > 0 && rate->per_ms > 0 && rate->count <= INT64_MAX &&
           rate->per_ms <= INT64_MAX;
}

static bool parse_rate(const struct given *given, void *field)
{
    if (rate_of(given->node->text, field))
        return true;
    return refuse_value(given, DIAG_VALUE, SPAN("for example 60/min, 5/10s or 5000/day"),
                        "%s must be a rate, not %s", given->row->name, shown_value(given));
}

static bool next_word(struct span *rest, struct span *word)
{
    *rest = span_trim(*rest);
    if (rest->len == 0)
        return false;
    size_t len = 0;
    while (len < rest->len && rest->p[len] != ' ' && rest->p[len] != '\t')
        len++;
    *word = span_sub(*rest, 0, len);
    *rest = span_sub(*rest, len, rest->len);
    return true;
}

/* RATE [per KEY] [burst COUNT] */
static bool keyed_rate_of(struct span text, struct keyed_rate *value)
{
    struct span rest = text, word;
    ssize_t per = span_find(text, SPAN(" per ")), burst = span_find(text, SPAN(" burst "));
    size_t end = text.len;
    if (burst >= 0)
        end = (size_t)burst;
    if (per >= 0 && (size_t)per < end)
        end = (size_t)per;
    if (!rate_of(span_trim(span_sub(text, 0, end)), &value->rate))
        return false;

    rest = span_sub(text, end, text.len);
    while (next_word(&rest, &word)) {
        struct span argument;
        if (!next_word(&rest, &argument))
            return false;
        if (span_equal(word, SPAN("per")) && value->key.len == 0)
            value->key = argument;
        else if (!span_equal(word, SPAN("burst")) || value->burst != 0 ||
                 !span_uint(argument, &value->burst) || value->burst == 0)
            return false;
    }
    return true;
}

static bool parse_keyed_rate(const struct given *given, void *field)
{
    struct keyed_rate value = { .burst = 0 };
    if (!keyed_rate_of(given->node->text, &value))
        return refuse_value(given, DIAG_VALUE,
                            SPAN("for example 60/min, or 5/min per client.ip burst 10"),
                            "%s must be a rate, not %s", given->row->name, shown_value(given));
    *(struct keyed_rate *)field = value;
    return true;
}

static bool parse_enum(const struct given *given, void *field)
{
    struct suggestion near = suggest_for(given->node->text);
    struct text choices = text_growing(given->schema->arena, 64);
    struct text hint = text_growing(given->schema->arena, 32);

    for (const struct choice *c = given->row->choices; c->name != NULL; c++) {
        if (span_equal(given->node->text, span_text(c->name))) {
            *(int *)field = c->value;
            return true;
        }
        if (c != given->row->choices)
            text_lit(&choices, ", ");
        text_add(&choices, span_text(c->name));
        suggest_consider(&near, span_text(c->name));
    }
    suggest_write(&hint, &near);
    const char *names = text_cstring(&choices);
    return refuse_value(given, DIAG_CHOICE, text_span(&hint), "%s must be one of %s, not %s",
                        given->row->name, names != NULL ? names : "its words",
                        shown_value(given));
}

static bool parse_text(const struct given *given, void *field)
{
    *(struct span *)field = given->node->text;
    return true;
}

static bool parse_file(const struct given *given, void *field)
{
    struct path *path = field;
    if (given->node->text.len == 0)
        return refuse_value(given, DIAG_VALUE, SPAN(""), "%s must be a path", given->row->name);
    const char *text =
        source_path(given->node->place.source, given->node->text, given->schema->arena);
    path->text = span_text(text);
    return text != NULL || refuse_memory(given);
}

static void wipe_secret(void *secret)
{
    secret_wipe(secret);
}

/*
 * The field may be a copy of the parent's, so the secret that it holds is left alone: each one
 * is wiped with the configuration's arena.
 */
static bool parse_secret(const struct given *given, void *field)
{
    const struct node *node = given->node;
    struct diags *diags = given->schema->diags;
    if (!node->substituted && node->place.source != NULL) {
        diag_mask(diags, node->place);
        diag_add(diags, SEVERITY_WARNING, DIAG_SECRET_LITERAL, node->place,
                 SPAN("a secret stands in the configuration"),
                 SPAN("move it to a file: $(file:/path)"));
    }
    if (node->exposed)
        return refuse_value(given, DIAG_SECRET_EXPOSED, SPAN("chmod o= the file"),
                            "the file of the secret %s can be read by every user",
                            given->row->name);

    struct secret *owned = arena_new(given->schema->arena, struct secret);
    if (owned == NULL || secret_set(owned, node->text) != OK)
        return refuse_memory(given);
    if (!arena_defer(given->schema->arena, wipe_secret, owned)) {
        secret_wipe(owned);
        return refuse_memory(given);
    }
    *(struct secret *)field = *owned;
    return true;
}

static bool parse_url_field(const struct given *given, void *field)
{
    return parse_url(given, field);
}

static bool parse_expr(const struct given *given, void *field)
{
    static const struct expr_name no_names[] = { { .name = NULL } };
    static const struct expr_scope no_scope = { .names = no_names };
    struct schema *schema = given->schema;
    struct expr_scope scope = schema->scope != NULL ? *schema->scope : no_scope;
    scope.answers = (given->row->flags & OPTION_ANSWERS) != 0;
    struct expr *expr = expr_parse(given->node->text, node_text_place(given->node), &scope,
                                   schema->arena, schema->diags);
    *(struct expr **)field = expr;
    return expr != NULL;
}

bool check_reference(const struct given *given)
{
    const struct node *root = given->schema->root;
    if (root == NULL || given->row->refers == NULL || given->node->place.source == NULL)
        return true;
    const struct node *map = node_child(root, span_text(given->row->refers));
    if (node_child(map, given->node->text) != NULL)
        return true;

    struct suggestion near = suggest_for(given->node->text);
    struct text hint = text_growing(given->schema->arena, 32);
    if (map != NULL && map->kind == NODE_MAP) {
        for (const struct node *child = map->child; child != NULL; child = child->next)
            suggest_consider(&near, child->key->text);
    }
    suggest_write(&hint, &near);
    return refuse_value(given, DIAG_REFERENCE, text_span(&hint), "there is no %s in \"%s\"",
                        shown_value(given), given->row->refers);
}

static bool parse_ref(const struct given *given, void *field)
{
    *(struct span *)field = given->node->text;
    return check_reference(given);
}

static const struct {
    bool (*parse)(const struct given *given, void *field);
    size_t size;
} kinds[] = {
    [OPT_BOOL] = { parse_bool, sizeof(bool) },
    [OPT_INT] = { parse_int, sizeof(int64_t) },
    [OPT_SIZE] = { parse_size, sizeof(uint64_t) },
    [OPT_DURATION] = { parse_duration, sizeof(struct duration) },
    [OPT_RATE] = { parse_rate, sizeof(struct rate) },
    [OPT_KEYED_RATE] = { parse_keyed_rate, sizeof(struct keyed_rate) },
    [OPT_ENUM] = { parse_enum, sizeof(int) },
    [OPT_TEXT] = { parse_text, sizeof(struct span) },
    [OPT_TEXTS] = { NULL, sizeof(struct texts) },
    [OPT_FILE] = { parse_file, sizeof(struct path) },
    [OPT_SECRET] = { parse_secret, sizeof(struct secret) },
    [OPT_URL] = { parse_url_field, sizeof(struct url) },
    [OPT_CIDRS] = { NULL, sizeof(struct cidrs) },
    [OPT_EXPR] = { parse_expr, sizeof(struct expr *) },
    [OPT_OBJECT] = { NULL, 0 },
    [OPT_LIST] = { NULL, sizeof(struct list) },
    [OPT_MAP] = { NULL, sizeof(struct list) },
    [OPT_REF] = { parse_ref, sizeof(struct span) },
};

bool kind_is_scalar(enum option_kind kind)
{
    return kind < ARRAY_LEN(kinds) && kinds[kind].parse != NULL;
}

size_t kind_size(enum option_kind kind)
{
    INVARIANT(kind < ARRAY_LEN(kinds));
    return kinds[kind].size;
}

bool scalar_parse(const struct given *given, void *field)
{
    INVARIANT(kind_is_scalar(given->row->kind));
    return kinds[given->row->kind].parse(given, field);
}

static void write_in(struct text *out, uint64_t value, const struct unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (value % units[i].factor != 0 ||
            (value == 0 && units[i].factor != units[count - 1].factor))
            continue;
        text_uint(out, value / units[i].factor);
        text_add(out, units[i].name);
        return;
    }
    text_uint(out, value);
}

void write_size(struct text *out, uint64_t bytes)
{
    if (bytes == 0)
        text_char(out, '0');
    else
        write_in(out, bytes, size_units, 3);
}

void write_duration(struct text *out, uint64_t ms)
{
    if (ms == 0)
        text_lit(out, "0s");
    else
        write_in(out, ms, duration_units, ARRAY_LEN(duration_units));
}

void write_rate(struct text *out, const struct rate *rate)
{
    text_uint(out, rate->count);
    text_char(out, '/');
    for (size_t i = 0; i < 4; i++) {
        if (rate->per_ms != period_units[i].factor)
            continue;
        text_add(out, period_units[i].name);
        return;
    }
    write_duration(out, rate->per_ms);
}
