/* What each directive of a ModSecurity set-up becomes. */
#include <stdint.h>
#include <string.h>

#include "gateway/cli/import.h"
#include "rules/operator.h"

enum fate { FATE_DONE, FATE_REST /* stays SecLang */ };

static struct span first_word(const struct import_statement *at)
{
    return at->said.count > 0 ? at->said.words[0].text : SPAN("");
}

/* ---- settings ---- */

enum setting {
    SET_MODE,
    SET_BODY_LIMIT,
    SET_RESPONSE,
    SET_RESPONSE_LIMIT,
    SET_ONLY, /* `only` is what the gateway does: other values are a loss */
    SET_LOST,
};

static const struct setting_row {
    const char *name;
    enum setting setting;
    const char *only, *why;
} setting_rows[] = {
    { "SecRuleEngine", SET_MODE, NULL, NULL },
    { "SecRequestBodyLimit", SET_BODY_LIMIT, NULL, NULL },
    { "SecResponseBodyAccess", SET_RESPONSE, NULL, NULL },
    { "SecResponseBodyLimit", SET_RESPONSE_LIMIT, NULL, NULL },
    { "SecRequestBodyAccess", SET_ONLY, "On", "request bodies are always looked at" },
    { "SecRequestBodyLimitAction", SET_ONLY, "Reject",
      "a body beyond waf.body_limit is refused with 413" },
    { "SecResponseBodyLimitAction", SET_ONLY, "ProcessPartial",
      "what is beyond waf.response_limit passes" },
    { "SecArgumentSeparator", SET_ONLY, "&", "arguments are separated by &" },
    { "SecCookieFormat", SET_ONLY, "0", "cookies are read as of version 0" },
    { "SecRequestBodyNoFilesLimit", SET_LOST, NULL,
      "one limit holds for all bodies: waf.body_limit" },
    { "SecRequestBodyJsonDepthLimit", SET_LOST, NULL,
      "how deep JSON may be is the gateway's own limit" },
    { "SecResponseBodyMimeType", SET_LOST, NULL,
      "of answers text, HTML, XML and JSON are looked at" },
    { "SecResponseBodyMimeTypesClear", SET_LOST, NULL,
      "of answers text, HTML, XML and JSON are looked at" },
    { "SecArgumentsLimit", SET_LOST, NULL, "waf.budget.values is the limit, 10000 as it is" },
    { "SecPcreMatchLimit", SET_LOST, NULL, "the work for a request is bounded by waf.budget" },
    { "SecPcreMatchLimitRecursion", SET_LOST, NULL,
      "the work for a request is bounded by waf.budget" },
    { "SecComponentSignature", SET_LOST, NULL, "records do not name components" },
};

static void set_mode(struct import *import, const struct import_statement *at)
{
    static const char *const modes[][2] = { { "On", "block" },
                                            { "DetectionOnly", "detect" },
                                            { "Off", "off" } };
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (span_equal_nocase(first_word(at), span_text(modes[i][0])))
            import->mode = modes[i][1];
}

static void set_limit(struct import *import, const struct import_statement *at, uint64_t *value,
                      uint64_t most)
{
    uint64_t n;
    enum { LEAST = 1024 };
    if (!span_uint(first_word(at), &n))
        return; /* rules/seclang tells it */
    *value = n < LEAST ? LEAST : n > most ? most : n;
    if (*value != n)
        import_loss(import, at, first_word(at), "cut to what the gateway takes");
}

static void setting_apply(struct import *import, const struct import_statement *at,
                          const struct setting_row *row)
{
    struct span value = first_word(at);
    switch (row->setting) {
    case SET_MODE:
        set_mode(import, at);
        break;
    case SET_BODY_LIMIT:
        set_limit(import, at, &import->body_limit, UINT64_C(1) << 30);
        break;
    case SET_RESPONSE:
        import->response = span_equal_nocase(value, SPAN("On"));
        break;
    case SET_RESPONSE_LIMIT:
        set_limit(import, at, &import->response_limit, UINT64_C(64) << 20);
        break;
    case SET_ONLY:
        if (!span_equal_nocase(value, span_text(row->only)))
            import_loss(import, at, value, row->why);
        break;
    case SET_LOST:
        import_loss(import, at, value, row->why);
        break;
    }
}

/* ---- exclusions ---- */

static const struct field_row {
    const char *variable, *alone, *named; /* NULL: `waf.exclude` cannot say it */
} field_rows[] = {
    { "ARGS", "args", "args" },
    { "ARGS_NAMES", "arg_names", NULL },
    { "REQUEST_COOKIES", "cookies", "cookie" },
    { "REQUEST_HEADERS", "headers", "header" },
    { "REQUEST_FILENAME", "path", NULL },
    { "REQUEST_URI", "uri", NULL },
    { "QUERY_STRING", "query", NULL },
    { "REQUEST_BODY", "body", NULL },
    { "FILES", "files", NULL },
};

/* Letters, digits and what names of fields are made of: nothing that YAML or SecLang mean. */
static bool is_plain(struct span text, const char *more)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr(more, c) == NULL))
            return false;
    }
    return text.len > 0 && text.len <= 128;
}

/* Adds a field of `waf.exclude` in quotes. False: there is none for it. */
static bool put_field(struct text *out, struct span variable, struct span key)
{
    for (size_t i = 0; i < ARRAY_LEN(field_rows); i++) {
        const struct field_row *row = &field_rows[i];
        const char *name = key.p != NULL ? row->named : row->alone;
        if (!span_equal_nocase(variable, span_text(row->variable)) || name == NULL)
            continue;
        if (key.p != NULL && !is_plain(key, "-_.[]"))
            return false;
        text_format(out, "\"%s%s", name, key.p != NULL ? ":" : "");
        text_add(out, key);
        text_char(out, '"');
        return true;
    }
    return false;
}

static void put_id(struct text *out, uint64_t from, uint64_t to)
{
    text_format(out, from == to ? "%llu" : "%llu-%llu", (unsigned long long)from,
                (unsigned long long)to);
}

/* One row of `waf.exclude`; `fields` and `path` may be empty. */
static bool exclusion_add(struct import *import, const struct import_statement *at,
                          struct span rules, struct span fields, struct span path)
{
    struct text *out = &import->exclude;
    if (import->exclusion_count == EXCLUSIONS_MAX) {
        import_loss(import, at, at->said.name.text, "waf.exclude takes no more rows");
        return true;
    }
    import->exclusion_count++;
    text_lit(out, "        - {rules: [");
    text_add(out, rules);
    text_char(out, ']');
    if (fields.len > 0) {
        text_lit(out, ", fields: [");
        text_add(out, fields);
        text_char(out, ']');
    }
    if (path.len > 0) {
        text_lit(out, ", paths: [\"");
        text_add(out, path);
        text_lit(out, "\"]");
    }
    text_format(out, ", reason: \"%.*s of ModSecurity, line %u\"}\n",
                (int)at->said.name.text.len, at->said.name.text.p, at->said.name.line);
    return true;
}

/* "12", "12-20", with commas or spaces between them. False: something else is there. */
static bool read_ids(struct text *out, struct span words)
{
    size_t i = 0;
    bool any = false;
    while (i < words.len) {
        size_t end = i;
        while (end < words.len && words.p[end] != ',' && !lex_space(words.p[end]))
            end++;
        struct span rest = span_sub(words, i, end - i), first;
        uint64_t from, to;
        i = end + 1;
        if (rest.len == 0)
            continue;
        if (!span_cut(&rest, '-', &first) || !span_uint(first, &from))
            return false;
        to = from;
        if ((rest.p != NULL && !span_uint(rest, &to)) || from == 0 || to < from ||
            to >= 2000000000)
            return false;
        if (out->len > 0)
            text_lit(out, ", ");
        put_id(out, from, to);
        any = true;
    }
    return any;
}

static bool map_remove(struct import *import, const struct import_statement *at)
{
    struct text ids = text_growing(&import->arena, 64);
    for (unsigned i = 0; i < at->said.count; i++)
        if (!read_ids(&ids, at->said.words[i].text))
            return false;
    return at->said.count > 0 && exclusion_add(import, at, text_span(&ids), SPAN(""), SPAN(""));
}

/* Only what takes targets away: `!ARGS:a,!ARGS:b`. */
static bool map_update_target(struct import *import, const struct import_statement *at)
{
    struct text ids = text_growing(&import->arena, 64);
    struct text fields = text_growing(&import->arena, 64);
    if (at->said.count != 2 || !read_ids(&ids, first_word(at)))
        return false;
    struct span list = at->said.words[1].text;
    while (list.len > 0) {
        size_t end = 0;
        while (end < list.len && list.p[end] != ',' && list.p[end] != '|')
            end++;
        struct span key = span_sub(list, 0, end), variable;
        list = span_sub(list, end + 1, list.len);
        if (!span_starts(key, SPAN("!")))
            return false;
        key = span_sub(key, 1, key.len);
        if (!span_cut(&key, ':', &variable))
            return false;
        if (fields.len > 0)
            text_lit(&fields, ", ");
        if (!put_field(&fields, variable, key))
            return false;
    }
    return fields.len > 0 &&
           exclusion_add(import, at, text_span(&ids), text_span(&fields), SPAN(""));
}

/* ---- rules ---- */

static const struct sec_rule *rule_of(const struct import *import,
                                      const struct import_statement *at)
{
    const struct source *own = &at->file->source;
    struct span base = span_sub(own->name, own->folder.len, own->name.len);
    for (unsigned i = 0; import->program != NULL && i < import->program->rule_count; i++) {
        const struct sec_rule *rule = import->program->rules[i];
        const struct source *source = rule->place.source;
        if (rule->place.line != at->said.name.line || source == NULL ||
            !span_equal(source->folder, own->folder) || !span_ends(source->name, base))
            continue;
        /* Its name is as it was included: with a folder, or without. */
        if (source->name.len == base.len ||
            source->name.p[source->name.len - base.len - 1] == '/')
            return rule;
    }
    return NULL;
}

static uint64_t *value_of(struct import *import, const struct sec_step *step)
{
    struct import_values *values = &import->values;
    const struct {
        const char *name;
        uint64_t *at;
    } rows[] = {
        { "paranoia_level", &values->paranoia },
        { "blocking_paranoia_level", &values->paranoia },
        { "executing_paranoia_level", &values->detect },
        { "detection_paranoia_level", &values->detect },
        { "inbound_anomaly_score_threshold", &values->inbound },
        { "outbound_anomaly_score_threshold", &values->outbound },
    };
    bool set = step->kind == STEP_SETVAR || step->kind == STEP_ADDVAR;
    for (size_t i = 0; i < ARRAY_LEN(rows) && set; i++)
        if (step->collection == COLLECTION_TX && step->name.literal &&
            span_equal_nocase(step->name.source, span_text(rows[i].name)))
            return rows[i].at;
    return NULL;
}

/* SecAction that sets nothing but values which the YAML has; what else sets one is noticed. */
static bool map_values(struct import *import, const struct import_statement *at,
                       const struct sec_rule *rule)
{
    bool all = rule->step_count > 0 && at->before;
    for (unsigned i = 0; i < rule->step_count; i++) {
        const struct sec_step *step = &rule->steps[i];
        uint64_t *value = value_of(import, step), n;
        if (value == NULL) {
            all = false;
            continue;
        }
        bool level = value == &import->values.paranoia || value == &import->values.detect;
        bool usable = rule->unconditional && rule->head == rule && at->before &&
                      step->kind == STEP_SETVAR && step->value.literal &&
                      span_uint(step->value.source, &n) && n >= 1 && n <= (level ? 4 : 100000);
        if (usable)
            *value = n;
        else
            import->values.conditional = true;
        all = all && usable;
    }
    return all;
}

/* The path of a rule that only excludes: equal, or below a folder. */
static bool read_path(struct text *path, const struct sec_rule *rule, bool *below)
{
    struct span text = rule->op.argument.source;
    const char *name = rule->op.row != NULL ? rule->op.row->name : "";
    *below = strcmp(name, "beginsWith") == 0;
    if (rule->target_count != 1 || rule->targets[0].var != VAR_REQUEST_FILENAME ||
        rule->targets[0].count || rule->op.negated || !rule->op.argument.literal ||
        (!*below && strcmp(name, "streq") != 0) || !is_plain(text, "/-_.~") ||
        text.p[0] != '/' || (*below && !span_ends(text, SPAN("/"))))
        return false;
    text_add(path, text);
    if (*below)
        text_lit(path, "**");
    return true;
}

static bool step_excludes(const struct sec_step *step, struct text *fields)
{
    if (step->kind != STEP_CTL)
        return false;
    if (step->ctl == CTL_RULE_REMOVE_BY_ID)
        return true;
    return step->ctl == CTL_RULE_REMOVE_TARGET_BY_ID && step->target.key_kind != KEY_REGEX &&
           put_field(fields, span_text(variable_rows[step->target.var].name),
                     step->target.key_kind == KEY_NAME ? step->target.key
                                                       : (struct span){ NULL, 0 });
}

/* `ctl` that takes rules or targets away on a path, and does nothing else. */
static bool map_ctl(struct import *import, const struct import_statement *at,
                    const struct sec_rule *rule)
{
    char buffer[160];
    struct text path = text_fixed(buffer, sizeof(buffer));
    bool below, simple = rule->head == rule && rule->next == NULL && !rule->unconditional &&
                         rule->phase == SEC_REQUEST_HEADERS && at->before &&
                         rule->resolved == DISRUPT_PASS && rule->transform_count == 0 &&
                         rule->step_count > 0 && !rule->removed && rule->skip == 0 &&
                         rule->skip_after.len == 0;
    if (import->crs == NULL || !simple || !read_path(&path, rule, &below) || path.overflow)
        return false;
    for (unsigned i = 0; i < rule->step_count; i++) {
        struct text fields = text_growing(&import->arena, 64);
        if (!step_excludes(&rule->steps[i], &fields))
            return false;
    }
    for (unsigned i = 0; i < rule->step_count; i++) {
        struct text fields = text_growing(&import->arena, 64);
        struct text ids = text_growing(&import->arena, 64);
        if (!step_excludes(&rule->steps[i], &fields))
            return false;
        put_id(&ids, rule->steps[i].id_from, rule->steps[i].id_to);
        (void)exclusion_add(import, at, text_span(&ids), text_span(&fields), text_span(&path));
    }
    if (below)
        import_loss(import, at, text_span(&path),
                    "the folder's own path, without its last slash, is excluded too");
    return true;
}

/* ---- one directive ---- */

/* What such a file excludes, it excludes itself. */
static bool is_kept(const struct import_file *file)
{
    return file->has_rest && !file->includes;
}

static enum fate map_rule(struct import *import, const struct import_statement *at)
{
    const struct sec_rule *rule = rule_of(import, at);
    if (rule == NULL)
        return FATE_REST;
    bool values = map_values(import, at, rule);
    if (values && import->crs != NULL && !import->values.conditional)
        return FATE_DONE;
    return !is_kept(at->file) && map_ctl(import, at, rule) ? FATE_DONE : FATE_REST;
}

/* True: it is no rule and no exclusion, and was dealt with or is told by rules/seclang. */
static bool map_setting(struct import *import, const struct import_statement *at)
{
    static const char *const rest[] = { "SecRule",       "SecAction",           "SecMarker",
                                        "SecWebAppId",   "SecDefaultAction",    "SecRuleRemove",
                                        "SecRuleUpdate", "SecCollectionTimeout" };
    struct span name = at->said.name.text;
    for (size_t i = 0; i < ARRAY_LEN(setting_rows); i++) {
        if (!span_equal_nocase(name, span_text(setting_rows[i].name)))
            continue;
        setting_apply(import, at, &setting_rows[i]);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        bool family = i == 5 || i == 6;
        if (family ? span_starts_nocase(name, span_text(rest[i]))
                   : span_equal_nocase(name, span_text(rest[i])))
            return false;
    }
    return true;
}

static enum fate map_one(struct import *import, const struct import_statement *at)
{
    struct span name = at->said.name.text;
    /* What stands before the set acts on nothing of it. */
    bool early = (import->crs != NULL && at->before) || is_kept(at->file);
    if (map_setting(import, at))
        return FATE_DONE;
    if (span_equal_nocase(name, SPAN("SecRule")) || span_equal_nocase(name, SPAN("SecAction")))
        return map_rule(import, at);
    if (!early && span_equal_nocase(name, SPAN("SecRuleRemoveById")) && map_remove(import, at))
        return FATE_DONE;
    if (!early && span_equal_nocase(name, SPAN("SecRuleUpdateTargetById")) &&
        map_update_target(import, at))
        return FATE_DONE;
    return FATE_REST;
}

static void map_file(struct import *import, struct import_file *file)
{
    for (size_t i = 0; i < import->statement_count; i++) {
        const struct import_statement *at = &import->statements[i];
        if (at->file != file || map_one(import, at) == FATE_DONE)
            continue;
        file->has_rest = true;
        if (file->includes)
            import_loss(import, at, first_word(at),
                        "stands in a file that includes others: move it to a file of its own, "
                        "and name that in waf.seclang");
    }
}

void import_map(struct import *import)
{
    /* Whether a file is read as it is, then what is left to say of it and of the others. */
    for (unsigned pass = 0; pass < 2; pass++) {
        import->dry = pass == 0;
        import->exclude.len = 0;
        import->exclusion_count = 0;
        for (size_t i = 0; i < import->file_count; i++) {
            struct import_file *file = &import->files[i];
            if (import->crs == NULL && file->kind == IMPORT_SETUP)
                file->kind = IMPORT_OWN;
            file->has_rest = file->has_rest || file->kind == IMPORT_SETUP;
            if (file->kind != IMPORT_COVERED)
                map_file(import, file);
        }
    }
}
