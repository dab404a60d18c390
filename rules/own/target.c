/* The targets of `waf.rules`. */
#include "rules/own/target.h"

#include "rules/own/rule.h"

static const struct own_target {
    const char *name;
    const char *named; /* how one is selected by name: "header" for `header:x`; or NULL */
    const char *key;   /* of a field that has a target of its own; or NULL */
    bool cased;        /* names of these have case */
    enum variable vars[3];
    unsigned var_count;
} rows[] = {
    { "method", NULL, NULL, false, { VAR_REQUEST_METHOD }, 1 },
    { "host", NULL, NULL, false, { VAR_OWN_HOST }, 1 },
    { "path", NULL, NULL, false, { VAR_OWN_PATH }, 1 },
    { "query", NULL, NULL, false, { VAR_QUERY_STRING }, 1 },
    { "args", "arg", NULL, true, { VAR_ARGS, VAR_FILES, VAR_OWN_ARGS }, 3 },
    { "arg_names",
      NULL,
      NULL,
      false,
      { VAR_ARGS_NAMES, VAR_FILES_NAMES, VAR_OWN_ARGS_NAMES },
      3 },
    { "headers", "header", NULL, false, { VAR_REQUEST_HEADERS }, 1 },
    { "user_agent", NULL, "User-Agent", false, { VAR_REQUEST_HEADERS }, 1 },
    { "referer", NULL, "Referer", false, { VAR_REQUEST_HEADERS }, 1 },
    { "cookies", "cookie", NULL, true, { VAR_OWN_COOKIES }, 1 },
    { "body", NULL, NULL, false, { VAR_OWN_BODY }, 1 },
    { "response_headers", "response_header", NULL, false, { VAR_RESPONSE_HEADERS }, 1 },
    { "response_body", NULL, NULL, false, { VAR_RESPONSE_BODY }, 1 },
};

/* ---- how rules name them --------------------------------------------------------------------
 */

static void add(struct sec_target *out, unsigned *count, const struct own_target *row,
                struct span key)
{
    for (unsigned i = 0; i < row->var_count; i++)
        out[(*count)++] = (struct sec_target){
            .var = row->vars[i],
            .key_kind = key.len > 0 ? KEY_NAME : KEY_NONE,
            .cased = row->cased,
            .key = key,
            .key_macro = { .source = key, .literal = true },
        };
}

static enum err add_named(struct sec_target *out, unsigned *count, const struct own_target *row,
                          struct span key)
{
    if (key.len == 0 || key.len > OWN_TARGET_NAME_MAX)
        return ERR_SYNTAX;
    add(out, count, row, key);
    return OK;
}

/* Of a request. Fields that have a target of their own are among the headers. */
static void add_all(struct sec_target *out, unsigned *count)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].key == NULL && !own_variable_of_answer(rows[i].vars[0]))
            add(out, count, &rows[i], SPAN(""));
    }
}

enum err own_targets_add(struct sec_target *out, unsigned *count, struct span text)
{
    if (span_equal(text, SPAN("all"))) {
        add_all(out, count);
        return OK;
    }
    struct span name = text, kind;
    bool named = span_index(text, ':') >= 0 && span_cut(&name, ':', &kind);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct own_target *row = &rows[i];
        if (named && row->named != NULL && span_equal(kind, span_text(row->named)))
            return add_named(out, count, row, name);
        if (named || !span_equal(text, span_text(row->name)))
            continue;
        add(out, count, row, row->key != NULL ? span_text(row->key) : SPAN(""));
        return OK;
    }
    return ERR_UNKNOWN;
}

/* ---- variables ------------------------------------------------------------------------------
 */

enum {
    KEYED = 1, /* findings name its key */
    LATE = 2,
    IN_BODY = 4,
    OF_ANSWER = 8,
};

static const struct label {
    enum variable var;
    const char *label;
    unsigned flags;
} labels[] = {
    { VAR_REQUEST_METHOD, "method", 0 },
    { VAR_OWN_HOST, "host", 0 },
    { VAR_OWN_PATH, "path", 0 },
    { VAR_QUERY_STRING, "query", 0 },
    { VAR_ARGS, "args", KEYED | LATE | IN_BODY },
    { VAR_FILES, "args", KEYED | LATE | IN_BODY },
    { VAR_OWN_ARGS, "args", KEYED | LATE | IN_BODY },
    { VAR_ARGS_NAMES, "arg_names", LATE | IN_BODY },
    { VAR_FILES_NAMES, "arg_names", LATE | IN_BODY },
    { VAR_OWN_ARGS_NAMES, "arg_names", LATE | IN_BODY },
    { VAR_REQUEST_HEADERS, "header", KEYED | LATE },
    { VAR_OWN_COOKIES, "cookies", KEYED },
    { VAR_OWN_BODY, "body", LATE | IN_BODY },
    { VAR_RESPONSE_HEADERS, "response_header", KEYED | OF_ANSWER },
    { VAR_RESPONSE_BODY, "response_body", LATE | IN_BODY | OF_ANSWER },
};

static const struct label *label_of(enum variable var)
{
    for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
        if (labels[i].var == var)
            return &labels[i];
    }
    return NULL;
}

static bool has(enum variable var, unsigned flag)
{
    const struct label *label = label_of(var);
    return label != NULL && (label->flags & flag) != 0;
}

bool own_variable_late(enum variable var)
{
    return has(var, LATE);
}

bool own_variable_in_body(enum variable var)
{
    return has(var, IN_BODY);
}

bool own_variable_of_answer(enum variable var)
{
    return has(var, OF_ANSWER);
}

struct span own_field(enum variable var, struct span name, struct arena *arena)
{
    enum { KEY_SHOWN_MAX = 64 }; /* the client chose these bytes */
    const struct label *label = label_of(var);
    if (label == NULL)
        return SPAN("");
    struct span key = name, kind;
    bool keyed = (label->flags & KEYED) != 0 && span_cut(&key, ':', &kind) && key.len > 0;
    if (!keyed)
        return span_text(label->label);
    struct text text = text_growing(arena, strlen(label->label) + KEY_SHOWN_MAX + 1);
    text_add(&text, span_text(label->label));
    text_char(&text, ':');
    text_add(&text, span_sub(key, 0, KEY_SHOWN_MAX));
    return text.overflow ? SPAN("") : text_span(&text);
}
