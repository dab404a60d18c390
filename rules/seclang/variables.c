/*
 * The variables' rows, and which variables there are none of here.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

const struct variable_row variable_rows[VAR_COUNT] = {
#define VARIABLE(id, name, shape, from) [VAR_##id] = { name, SHAPE_##shape, SEC_##from },
#include "rules/seclang/variables.def"
#undef VARIABLE
};

static const struct {
    const char *name, *reason;
} refused[] = {
    { "PERF_ALL", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_COMBINED", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_GC", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_LOGGING", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_PHASE1", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_PHASE2", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_PHASE3", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_PHASE4", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_PHASE5", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_RULES", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_SREAD", "engines do not measure themselves in rules here: use the metrics" },
    { "PERF_SWRITE", "engines do not measure themselves in rules here: use the metrics" },
    { "SCRIPT_BASENAME", "a gateway has no scripts: use REQUEST_BASENAME" },
    { "SCRIPT_FILENAME", "a gateway has no scripts: use REQUEST_FILENAME" },
    { "SCRIPT_GID", "a gateway has no scripts" },
    { "SCRIPT_GROUPNAME", "a gateway has no scripts" },
    { "SCRIPT_MODE", "a gateway has no scripts" },
    { "SCRIPT_UID", "a gateway has no scripts" },
    { "SCRIPT_USERNAME", "a gateway has no scripts" },
    { "SDBM_DELETE_ERROR", "collections are kept in shared memory" },
    { "STREAM_INPUT_BODY", "bodies go through unchanged: use REQUEST_BODY" },
    { "STREAM_OUTPUT_BODY", "bodies go through unchanged: use RESPONSE_BODY" },
    { "USERAGENT_IP", "there is one client address: use REMOTE_ADDR" },
    { "WEBSERVER_ERROR_LOG", "there is no web server whose log could be read" },
};

enum variable variable_find(struct span name)
{
    for (unsigned i = 0; i < VAR_OWN_FIRST; i++) {
        if (span_equal_nocase(name, span_text(variable_rows[i].name)))
            return (enum variable)i;
    }
    return VAR_COUNT;
}

/* HTTP_USER_AGENT: a field's name has hyphens where a variable's has underscores. */
static struct span field_name(struct arena *arena, struct span name)
{
    char *copy = arena_alloc(arena, name.len);
    for (size_t i = 0; copy != NULL && i < name.len; i++)
        copy[i] = name.p[i] == '_' ? '-' : name.p[i];
    return copy == NULL ? name : span_of(copy, name.len);
}

enum variable_name variable_resolve(struct arena *arena, struct span name,
                                    struct variable_ref *ref)
{
    static const char older[] = "HTTP_";
    enum { OLDER_LEN = sizeof older - 1 };

    *ref = (struct variable_ref){ .var = variable_find(name) };
    if (ref->var != VAR_COUNT)
        return NAME_KNOWN;
    if (name.len > OLDER_LEN && span_starts_nocase(name, SPAN("HTTP_"))) {
        ref->var = VAR_REQUEST_HEADERS;
        ref->key = field_name(arena, span_sub(name, OLDER_LEN, name.len));
        return NAME_KNOWN;
    }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (!span_equal_nocase(name, span_text(refused[i].name)))
            continue;
        ref->reason = refused[i].reason;
        return NAME_REFUSED;
    }
    return NAME_UNKNOWN;
}

void variable_unknown(struct parser *parser, struct place place, struct span name)
{
    struct text hint = text_growing(parser->arena, 64);
    struct suggestion suggestion = suggest_for(name);
    for (unsigned i = 0; i < VAR_OWN_FIRST; i++)
        suggest_consider(&suggestion, span_text(variable_rows[i].name));
    suggest_write(&hint, &suggestion);
    fault_hint(parser, DIAG_SECLANG_NAME, place, "unknown variable %", name, text_span(&hint));
}
