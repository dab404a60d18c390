/* `waf.exclude` to SecLang. */
#include "rules/exclusion.h"

#include <time.h>

enum { FIRST_ID = 19000100, NAME_MAX_BYTES = 128, ID_MAX = 2000000000 };

const struct option exclusion_options[] = {
    OPTION(struct exclusion, rules, OPT_TEXTS, .flags = OPTION_REQUIRED,
           .help = "Ids of rules, and ranges of ids.", .example = "[942100, 942200-942260]"),
    OPTION(struct exclusion, fields, OPT_TEXTS,
           .help = "Fields that the rules are not to look at: args, args:NAME, json:NAME, "
                   "cookies, cookie:NAME, headers, header:NAME, path, body. None: the rules "
                   "are not asked at all.",
           .example = "[\"args:comment\"]"),
    OPTION(struct exclusion, paths, OPT_TEXTS,
           .help = "Paths on which this holds: exact, or ending in /** for all below. None: "
                   "everywhere.",
           .example = "[/blog/edit/**]"),
    OPTION(struct exclusion, methods, OPT_TEXTS, .help = "Methods with which this holds."),
    OPTION(struct exclusion, reason, OPT_TEXT, .flags = OPTION_REQUIRED,
           .help = "Why: for whoever reads this in a year."),
    OPTION(struct exclusion, expires, OPT_TEXT,
           .help = "The last day on which this holds, YYYY-MM-DD."),
    OPTIONS_END,
};

/* ---- checks ---------------------------------------------------------------------------------
 */

static bool read_id(struct span text, uint64_t *id)
{
    return span_uint(text, id) && *id > 0 && *id < ID_MAX;
}

static bool read_range(struct span text, uint64_t *from, uint64_t *to)
{
    struct span rest = text, first;
    if (!span_cut(&rest, '-', &first) || !read_id(first, from))
        return false;
    *to = *from;
    return rest.p == NULL || (read_id(rest, to) && *to >= *from);
}

/* What a field is called here, and its variable. */
static const struct field_row {
    const char *name, *variable;
    const char *before; /* of the key */
    bool named, alone;
} field_rows[] = {
    { "args", "ARGS", "", false, true },
    { "args", "ARGS", "", true, false },
    { "arg", "ARGS", "", true, false },
    { "json", "ARGS", "json.", true, false },
    { "arg_names", "ARGS_NAMES", "", false, true },
    { "cookies", "REQUEST_COOKIES", "", false, true },
    { "cookie", "REQUEST_COOKIES", "", true, false },
    { "headers", "REQUEST_HEADERS", "", false, true },
    { "header", "REQUEST_HEADERS", "", true, false },
    { "path", "REQUEST_FILENAME", "", false, true },
    { "uri", "REQUEST_URI", "", false, true },
    { "query", "QUERY_STRING", "", false, true },
    { "body", "REQUEST_BODY", "", false, true },
    { "xml", "XML", "/*", false, true },
    { "files", "FILES", "", false, true },
};

/* Bytes that would end or change the directive that a name is written into. */
static bool name_is_plain(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.p[i] <= ' ' || strchr("\"'\\,|;&!/", name.p[i]) != NULL ||
            name.p[i] == 0x7f)
            return false;
    }
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

static const struct field_row *field_find(struct span text, struct span *name)
{
    struct span rest = text, kind;
    if (!span_cut(&rest, ':', &kind))
        return NULL;
    *name = rest;
    for (size_t i = 0; i < ARRAY_LEN(field_rows); i++) {
        const struct field_row *row = &field_rows[i];
        bool named = rest.p != NULL;
        if (span_equal(kind, span_text(row->name)) && (named ? row->named : row->alone))
            return named && !name_is_plain(rest) ? NULL : row;
    }
    return NULL;
}

static bool read_day(struct span text, uint64_t *end)
{
    uint64_t year, month, day;
    struct tm tm = { 0 };
    if (text.len != 10 || text.p[4] != '-' || text.p[7] != '-' ||
        !span_uint(span_sub(text, 0, 4), &year) || !span_uint(span_sub(text, 5, 2), &month) ||
        !span_uint(span_sub(text, 8, 2), &day) || year < 2000 || month < 1 || month > 12 ||
        day < 1 || day > 31)
        return false;
    tm.tm_year = (int)year - 1900;
    tm.tm_mon = (int)month - 1;
    tm.tm_mday = (int)day + 1; /* the day itself is covered */
    time_t when = timegm(&tm);
    *end = when > 0 ? (uint64_t)when : 0;
    return when > 0;
}

static bool path_is_plain(struct span path)
{
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.p[i] <= ' ' || strchr("\"'\\", path.p[i]) != NULL)
            return false;
    }
    return path.len > 0 && path.p[0] == '/';
}

static bool is_token(struct span method)
{
    for (size_t i = 0; i < method.len; i++) {
        if (!(method.p[i] >= 'A' && method.p[i] <= 'Z') && method.p[i] != '-')
            return false;
    }
    return method.len > 0;
}

static void check_one(const struct exclusion *exclusion, struct complaint *complaint)
{
    uint64_t from, to;
    struct span name;
    for (size_t i = 0; i < exclusion->rules.count; i++) {
        struct span text = exclusion->rules.items[i];
        if (!read_range(text, &from, &to))
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no rule id or range of ids",
                     (int)text.len, text.p);
    }
    for (size_t i = 0; i < exclusion->fields.count; i++) {
        struct span text = exclusion->fields.items[i];
        if (field_find(text, &name) == NULL)
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no field", (int)text.len, text.p);
    }
    for (size_t i = 0; i < exclusion->paths.count; i++) {
        struct span text = exclusion->paths.items[i];
        if (!path_is_plain(text))
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no path", (int)text.len, text.p);
    }
    for (size_t i = 0; i < exclusion->methods.count; i++) {
        struct span text = exclusion->methods.items[i];
        if (!is_token(text))
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no method", (int)text.len, text.p);
    }
    if (exclusion->expires.len > 0 && !read_day(exclusion->expires, &to))
        complain(complaint, SEVERITY_ERROR, "\"%.*s\" is no day (YYYY-MM-DD)",
                 (int)exclusion->expires.len, exclusion->expires.p);
}

void exclusions_check(const void *field, struct complaint *complaint)
{
    const struct list *list = field;
    const struct exclusion *items = list->items;
    for (size_t i = 0; i < list->count; i++)
        check_one(&items[i], complaint);
}

/* ---- to SecLang -----------------------------------------------------------------------------
 */

static void write_target(struct text *out, const struct field_row *row, struct span name)
{
    text_add(out, span_text(row->variable));
    if (name.p == NULL && row->before[0] == '\0')
        return;
    text_char(out, ':');
    text_add(out, span_text(row->before));
    text_add(out, name);
}

static void write_static(struct text *out, const struct exclusion *exclusion)
{
    struct span name;
    for (size_t i = 0; i < exclusion->rules.count; i++) {
        if (exclusion->fields.count == 0) {
            text_lit(out, "SecRuleRemoveById ");
            text_add(out, exclusion->rules.items[i]);
            text_lit(out, "\n");
        }
        for (size_t j = 0; j < exclusion->fields.count; j++) {
            const struct field_row *row = field_find(exclusion->fields.items[j], &name);
            text_lit(out, "SecRuleUpdateTargetById ");
            text_add(out, exclusion->rules.items[i]);
            text_lit(out, " \"!");
            write_target(out, row, name);
            text_lit(out, "\"\n");
        }
    }
}

/* A path with `**` and `*`, as a pattern without any meaning left in its other bytes. */
static void write_path_pattern(struct text *out, struct span path)
{
    bool below = span_ends(path, SPAN("/**"));
    if (below)
        path.len -= 3;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.p[i], lower = ascii_lower(c);
        if (c == '*') {
            text_lit(out, "[^/]*");
        } else if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '/') {
            text_char(out, c);
        } else {
            text_lit(out, "\\x");
            text_hex(out, &c, 1);
        }
    }
    if (below)
        text_lit(out, "(?:/.*)?");
}

static void write_actions(struct text *out, const struct exclusion *exclusion)
{
    struct span name;
    for (size_t i = 0; i < exclusion->rules.count; i++) {
        if (exclusion->fields.count == 0) {
            text_lit(out, ",ctl:ruleRemoveById=");
            text_add(out, exclusion->rules.items[i]);
        }
        for (size_t j = 0; j < exclusion->fields.count; j++) {
            const struct field_row *row = field_find(exclusion->fields.items[j], &name);
            text_lit(out, ",ctl:ruleRemoveTargetById=");
            text_add(out, exclusion->rules.items[i]);
            text_char(out, ';');
            write_target(out, row, name);
        }
    }
}

static void write_methods(struct text *out, const struct texts *methods)
{
    text_lit(out, "REQUEST_METHOD \"@rx ^(?:");
    for (size_t i = 0; i < methods->count; i++) {
        if (i > 0)
            text_char(out, '|');
        text_add(out, methods->items[i]);
    }
    text_lit(out, ")$\"");
}

static void write_paths(struct text *out, const struct texts *paths)
{
    text_lit(out, "REQUEST_FILENAME \"@rx ^(?:");
    for (size_t i = 0; i < paths->count; i++) {
        if (i > 0)
            text_char(out, '|');
        write_path_pattern(out, paths->items[i]);
    }
    text_lit(out, ")$\"");
}

static void write_dynamic(struct text *out, const struct exclusion *exclusion, size_t index)
{
    bool both = exclusion->paths.count > 0 && exclusion->methods.count > 0;
    text_lit(out, "SecRule ");
    if (exclusion->paths.count > 0)
        write_paths(out, &exclusion->paths);
    else
        write_methods(out, &exclusion->methods);
    text_lit(out, " \"id:");
    text_uint(out, FIRST_ID + index);
    text_lit(out, ",phase:1,pass,nolog,t:none,t:urlDecodeUni");
    if (both) {
        text_lit(out, ",chain\"\n  SecRule ");
        write_methods(out, &exclusion->methods);
        text_lit(out, " \"t:none");
    }
    write_actions(out, exclusion);
    text_lit(out, "\"\n");
}

void exclusions_write(const struct list *exclusions, uint64_t now, struct complaint *complaint,
                      struct text *before, struct text *behind)
{
    const struct exclusion *items = exclusions->items;
    for (size_t i = 0; i < exclusions->count; i++) {
        uint64_t end;
        if (items[i].expires.len > 0 && read_day(items[i].expires, &end) && end <= now)
            complain(complaint, SEVERITY_WARNING,
                     "an exclusion expired on %.*s and is left out", (int)items[i].expires.len,
                     items[i].expires.p);
        else if (items[i].paths.count > 0 || items[i].methods.count > 0)
            write_dynamic(before, &items[i], i);
        else
            write_static(behind, &items[i]);
    }
}
