/*
 * Directives: one table of all that ModSecurity's manual knows, each decided in one way. What
 * makes rules is in rule.c and exclude.c; settings are read here; what the gateway does by
 * itself, or needs no telling, is accepted with a warning; what it does not do is refused.
 */
#include "conf/suggest.h"
#include "rules/seclang/parser.h"

enum fate {
    RUN,
    IGNORE, /* accepted, and a warning says `why` it has no effect */
    REFUSE, /* `why` */
    OFF,    /* only Off (or what comes to the same) is accepted */
};

struct directive_row {
    const char *name;
    enum fate fate;
    unsigned least, most; /* arguments */
    int data;
    directive_fn *run;
    const char *why;
};

struct place statement_place(const struct statement *statement)
{
    return word_place(&statement->name, 0, statement->name.text.len);
}

struct place argument_place(const struct statement *statement, unsigned i)
{
    const struct word *word = &statement->words[i];
    return word_place(word, 0, word->text.len);
}

static void bad(struct parser *parser, const struct statement *statement, const char *text)
{
    fault(parser, DIAG_SECLANG_VALUE, argument_place(statement, 0), text,
          statement->words[0].text);
}

/* ---- settings ---- */

enum {
    SET_REQUEST_BODY,
    SET_RESPONSE_BODY,
    SET_PARTIAL_REQUEST,
    SET_PARTIAL_RESPONSE,
};

static void switch_directive(struct parser *parser, const struct statement *statement, int data)
{
    bool on;
    if (!span_switch(statement->words[0].text, &on)) {
        bad(parser, statement, "On or Off is needed, not %");
        return;
    }
    struct sec_settings *settings = &parser->program->settings;
    *(data == SET_REQUEST_BODY ? &settings->request_body : &settings->response_body) =
        on ? YES : NO;
}

static void limit_action_directive(struct parser *parser, const struct statement *statement,
                                   int data)
{
    struct span text = statement->words[0].text;
    bool partial = span_equal_nocase(text, SPAN("ProcessPartial"));
    if (!partial && !span_equal_nocase(text, SPAN("Reject"))) {
        bad(parser, statement, "Reject or ProcessPartial is needed, not %");
        return;
    }
    struct sec_settings *settings = &parser->program->settings;
    *(data == SET_PARTIAL_REQUEST ? &settings->partial_request : &settings->partial_response) =
        partial ? YES : NO;
}

static void engine_directive(struct parser *parser, const struct statement *statement, int data)
{
    static const struct {
        const char *name;
        enum engine_mode mode;
    } modes[] = { { "on", ENGINE_ON },
                  { "off", ENGINE_OFF },
                  { "detectiononly", ENGINE_DETECT } };
    (void)data;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (!span_equal_nocase(statement->words[0].text, span_text(modes[i].name)))
            continue;
        parser->program->settings.engine = modes[i].mode;
        parser->program->settings.engine_said = true;
        return;
    }
    bad(parser, statement, "On, Off or DetectionOnly is needed, not %");
}

enum number {
    NUMBER_REQUEST_LIMIT,
    NUMBER_REQUEST_NO_FILES,
    NUMBER_RESPONSE_LIMIT,
    NUMBER_ARGUMENTS,
    NUMBER_JSON_DEPTH,
    NUMBER_COLLECTION_TIMEOUT,
    NUMBER_PCRE,
    NUMBER_PCRE_RECURSION,
    NUMBER_COOKIE_FORMAT,
};

static void number_directive(struct parser *parser, const struct statement *statement, int data)
{
    static const struct {
        uint64_t least, most;
    } bounds[] = {
        [NUMBER_REQUEST_LIMIT] = { 1, INT64_MAX },
        [NUMBER_REQUEST_NO_FILES] = { 1, INT64_MAX },
        [NUMBER_RESPONSE_LIMIT] = { 1, INT64_MAX },
        [NUMBER_ARGUMENTS] = { 1, UINT32_MAX },
        [NUMBER_JSON_DEPTH] = { 1, UINT32_MAX },
        [NUMBER_COLLECTION_TIMEOUT] = { 1, INT32_MAX },
        [NUMBER_PCRE] = { 1, UINT32_MAX },
        [NUMBER_PCRE_RECURSION] = { 1, UINT32_MAX },
        [NUMBER_COOKIE_FORMAT] = { 0, 1 },
    };
    struct sec_settings *settings = &parser->program->settings;
    uint64_t n;
    if (!span_number(statement->words[0].text, bounds[data].most, &n) ||
        n < bounds[data].least) {
        bad(parser, statement, "the number % cannot be used here");
        return;
    }
    switch ((enum number)data) {
    case NUMBER_REQUEST_LIMIT:
        settings->request_body_limit = n;
        break;
    case NUMBER_REQUEST_NO_FILES:
        settings->request_body_no_files_limit = n;
        break;
    case NUMBER_RESPONSE_LIMIT:
        settings->response_body_limit = n;
        break;
    case NUMBER_ARGUMENTS:
        settings->arguments_limit = n;
        break;
    case NUMBER_JSON_DEPTH:
        settings->json_depth_limit = n;
        break;
    case NUMBER_COLLECTION_TIMEOUT:
        settings->collection_timeout = n;
        break;
    case NUMBER_PCRE:
        settings->pcre_match_limit = (unsigned)n;
        break;
    case NUMBER_PCRE_RECURSION:
        settings->pcre_match_limit_recursion = (unsigned)n;
        break;
    case NUMBER_COOKIE_FORMAT:
        settings->cookie_format = (int)n;
        break;
    }
}

static void separator_directive(struct parser *parser, const struct statement *statement,
                                int data)
{
    struct span text = statement->words[0].text;
    (void)data;
    if (text.len == 1)
        parser->program->settings.argument_separator = text.p[0];
    else
        bad(parser, statement, "one character is needed, not %");
}

static void types_directive(struct parser *parser, const struct statement *statement, int data)
{
    struct sec_settings *settings = &parser->program->settings;
    (void)data;
    unsigned had = settings->response_type_count;
    struct span *types =
        arena_array(parser->arena, struct span, (size_t)had + statement->count);
    if (types == NULL) {
        out_of_memory(parser);
        return;
    }
    if (had > 0)
        memcpy(types, settings->response_types, had * sizeof *types);
    for (unsigned i = 0; i < statement->count; i++)
        types[had + i] = statement->words[i].text;
    settings->response_types = types;
    settings->response_type_count = had + statement->count;
}

static void no_types_directive(struct parser *parser, const struct statement *statement,
                               int data)
{
    (void)statement;
    (void)data;
    parser->program->settings.response_types = NULL;
    parser->program->settings.response_type_count = 0;
}

enum { TEXT_SIGNATURE, TEXT_WEB_APP };

static void text_directive(struct parser *parser, const struct statement *statement, int data)
{
    struct sec_settings *settings = &parser->program->settings;
    *(data == TEXT_SIGNATURE ? &settings->component_signature : &settings->web_app_id) =
        statement->words[0].text;
}

/* ---- the table ---- */

static const char by_audit[] = "records are the gateway's: see `audit`";
static const char by_log[] = "the gateway's log is its own";
static const char by_memory[] = "bodies are held in memory, under limits of the gateway";
static const char by_limits[] = "connections are limited by the gateway: see `limits`";
static const char by_geo[] = "the database is the gateway's: see `geoip`";
static const char by_metrics[] = "the gateway has metrics of its own";
static const char no_rewriting[] = "messages go through as they are";
static const char no_fetching[] = "rules come from files only";
static const char no_programs[] = "the gateway runs no program for a request";
static const char no_signing[] = "links and forms are not signed: bodies go through unchanged";

enum { BY_ID, BY_TAG, BY_MSG }; /* of exclude.c */

static const struct directive_row rows[] = {
    { "Include", RUN, 1, 1, 0, include_directive, NULL },
    { "IncludeOptional", RUN, 1, 1, 1, include_directive, NULL },
    { "SecAction", RUN, 1, 1, 0, action_directive, NULL },
    { "SecArgumentSeparator", RUN, 1, 1, 0, separator_directive, NULL },
    { "SecArgumentsLimit", RUN, 1, 1, NUMBER_ARGUMENTS, number_directive, NULL },
    { "SecAuditEngine", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLog", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLog2", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogDirMode", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogFileMode", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogFormat", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogParts", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogPrefix", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogRelevantStatus", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogStorageDir", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecAuditLogType", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecCacheTransformations", IGNORE, 1, 2, 0, NULL, "transformations are always shared" },
    { "SecChrootDir", IGNORE, 1, 1, 0, NULL, "workers are sandboxed always" },
    { "SecCollectionTimeout", RUN, 1, 1, NUMBER_COLLECTION_TIMEOUT, number_directive, NULL },
    { "SecComponentSignature", RUN, 1, 1, TEXT_SIGNATURE, text_directive, NULL },
    { "SecConnEngine", IGNORE, 1, 1, 0, NULL, by_limits },
    { "SecConnReadStateLimit", IGNORE, 1, 2, 0, NULL, by_limits },
    { "SecConnWriteStateLimit", IGNORE, 1, 2, 0, NULL, by_limits },
    { "SecContentInjection", OFF, 1, 1, 0, NULL, no_rewriting },
    { "SecCookieFormat", RUN, 1, 1, NUMBER_COOKIE_FORMAT, number_directive, NULL },
    { "SecCookieV0Separator", IGNORE, 1, 1, 0, NULL, "cookies are separated by semicolons" },
    { "SecDataDir", IGNORE, 1, 1, 0, NULL, "collections are kept in shared memory" },
    { "SecDebugLog", IGNORE, 1, 1, 0, NULL, by_log },
    { "SecDebugLogLevel", IGNORE, 1, 1, 0, NULL, by_log },
    { "SecDefaultAction", RUN, 1, 1, 0, default_directive, NULL },
    { "SecDisableBackendCompression", IGNORE, 1, 1, 0, NULL,
      "the gateway asks for codings that it can decode" },
    { "SecGeoLookupDb", IGNORE, 1, 1, 0, NULL, by_geo },
    { "SecGsbLookupDb", REFUSE, 1, 1, 0, NULL, no_fetching },
    { "SecGuardianLog", REFUSE, 1, 2, 0, NULL, no_programs },
    { "SecHashEngine", OFF, 1, 1, 0, NULL, no_signing },
    { "SecHashKey", REFUSE, 1, 2, 0, NULL, no_signing },
    { "SecHashMethodPm", REFUSE, 1, 2, 0, NULL, no_signing },
    { "SecHashMethodRx", REFUSE, 1, 2, 0, NULL, no_signing },
    { "SecHashParam", REFUSE, 1, 1, 0, NULL, no_signing },
    { "SecHttpBlKey", REFUSE, 1, 1, 0, NULL,
      "no list on the network is asked while a request waits: use feeds and lists" },
    { "SecInterceptOnError", IGNORE, 1, 1, 0, NULL,
      "what happens on errors is said by `on_error`" },
    { "SecMarker", RUN, 1, 1, 0, marker_directive, NULL },
    { "SecParseXmlIntoArgs", OFF, 1, 1, 0, NULL, "XML is seen by XML:/* and XML://@*" },
    { "SecPcreMatchLimit", RUN, 1, 1, NUMBER_PCRE, number_directive, NULL },
    { "SecPcreMatchLimitRecursion", RUN, 1, 1, NUMBER_PCRE_RECURSION, number_directive, NULL },
    { "SecPdfProtect", OFF, 1, 1, 0, NULL, no_rewriting },
    { "SecPdfProtectMethod", REFUSE, 1, 1, 0, NULL, no_rewriting },
    { "SecPdfProtectSecret", REFUSE, 1, 1, 0, NULL, no_rewriting },
    { "SecPdfProtectTimeout", REFUSE, 1, 1, 0, NULL, no_rewriting },
    { "SecPdfProtectTokenName", REFUSE, 1, 1, 0, NULL, no_rewriting },
    { "SecReadStateLimit", IGNORE, 1, 2, 0, NULL, by_limits },
    { "SecRemoteRules", REFUSE, 2, 3, 0, NULL, no_fetching },
    { "SecRemoteRulesFailAction", REFUSE, 1, 1, 0, NULL, no_fetching },
    { "SecRequestBodyAccess", RUN, 1, 1, SET_REQUEST_BODY, switch_directive, NULL },
    { "SecRequestBodyInMemoryLimit", IGNORE, 1, 1, 0, NULL, by_memory },
    { "SecRequestBodyJsonDepthLimit", RUN, 1, 1, NUMBER_JSON_DEPTH, number_directive, NULL },
    { "SecRequestBodyLimit", RUN, 1, 1, NUMBER_REQUEST_LIMIT, number_directive, NULL },
    { "SecRequestBodyLimitAction", RUN, 1, 1, SET_PARTIAL_REQUEST, limit_action_directive,
      NULL },
    { "SecRequestBodyNoFilesLimit", RUN, 1, 1, NUMBER_REQUEST_NO_FILES, number_directive,
      NULL },
    { "SecRequestEncoding", IGNORE, 1, 1, 0, NULL, "bytes are compared as they come" },
    { "SecResponseBodyAccess", RUN, 1, 1, SET_RESPONSE_BODY, switch_directive, NULL },
    { "SecResponseBodyLimit", RUN, 1, 1, NUMBER_RESPONSE_LIMIT, number_directive, NULL },
    { "SecResponseBodyLimitAction", RUN, 1, 1, SET_PARTIAL_RESPONSE, limit_action_directive,
      NULL },
    { "SecResponseBodyMimeType", RUN, 1, SECLANG_WORDS_MAX, 0, types_directive, NULL },
    { "SecResponseBodyMimeTypesClear", RUN, 0, 0, 0, no_types_directive, NULL },
    { "SecRule", RUN, 2, 3, 0, rule_directive, NULL },
    { "SecRuleEngine", RUN, 1, 1, 0, engine_directive, NULL },
    { "SecRuleInheritance", IGNORE, 1, 1, 0, NULL,
      "which rules a site has is said by the site" },
    { "SecRulePerfTime", IGNORE, 1, 1, 0, NULL, by_metrics },
    { "SecRuleRemoveById", RUN, 1, SECLANG_WORDS_MAX, BY_ID, remove_directive, NULL },
    { "SecRuleRemoveByMsg", RUN, 1, SECLANG_WORDS_MAX, BY_MSG, remove_directive, NULL },
    { "SecRuleRemoveByTag", RUN, 1, SECLANG_WORDS_MAX, BY_TAG, remove_directive, NULL },
    { "SecRuleScript", REFUSE, 1, 2, 0, NULL, no_programs },
    { "SecRuleUpdateActionById", RUN, 2, 2, 0, update_action_directive, NULL },
    { "SecRuleUpdateTargetById", RUN, 2, 3, BY_ID, update_target_directive, NULL },
    { "SecRuleUpdateTargetByMsg", RUN, 2, 3, BY_MSG, update_target_directive, NULL },
    { "SecRuleUpdateTargetByTag", RUN, 2, 3, BY_TAG, update_target_directive, NULL },
    { "SecSensorId", IGNORE, 1, 1, 0, NULL, by_audit },
    { "SecServerSignature", IGNORE, 1, 1, 0, NULL,
      "the gateway does not tell what it is: see `headers`" },
    { "SecStatusEngine", IGNORE, 1, 1, 0, NULL, "the gateway reports to nobody" },
    { "SecStreamInBodyInspection", OFF, 1, 1, 0, NULL, no_rewriting },
    { "SecStreamOutBodyInspection", OFF, 1, 1, 0, NULL, no_rewriting },
    { "SecTmpDir", IGNORE, 1, 1, 0, NULL, by_memory },
    { "SecTmpSaveUploadedFiles", OFF, 1, 1, 0, NULL, by_memory },
    { "SecUnicodeCodePage", IGNORE, 1, 1, 0, NULL,
      "%u in values is decoded by its low byte, and full-width forms to ASCII" },
    { "SecUnicodeMapFile", IGNORE, 1, 2, 0, NULL,
      "%u in values is decoded by its low byte, and full-width forms to ASCII" },
    { "SecUploadDir", IGNORE, 1, 1, 0, NULL, by_memory },
    { "SecUploadFileLimit", IGNORE, 1, 1, 0, NULL, by_memory },
    { "SecUploadFileMode", IGNORE, 1, 1, 0, NULL, by_memory },
    { "SecUploadKeepFiles", OFF, 1, 1, 0, NULL, by_memory },
    { "SecWebAppId", RUN, 1, 1, TEXT_WEB_APP, text_directive, NULL },
    { "SecWriteStateLimit", IGNORE, 1, 2, 0, NULL, by_limits },
    { "SecXmlExternalEntity", OFF, 1, 1, 0, NULL, "XML is parsed without entities" },
};

static const struct directive_row *find_row(struct parser *parser,
                                            const struct statement *statement)
{
    struct span name = statement->name.text;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (span_equal_nocase(name, span_text(rows[i].name)))
            return &rows[i];
    }
    struct text hint = text_growing(parser->arena, 64);
    struct suggestion suggestion = suggest_for(name);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        suggest_consider(&suggestion, span_text(rows[i].name));
    suggest_write(&hint, &suggestion);
    fault_hint(parser, DIAG_SECLANG_NAME, statement_place(statement), "unknown directive %",
               name, text_span(&hint));
    return NULL;
}

static bool count_fits(struct parser *parser, const struct directive_row *row,
                       const struct statement *statement)
{
    if (statement->count >= row->least && statement->count <= row->most)
        return true;
    struct text hint = text_growing(parser->arena, 128);
    text_lit(&hint, "it takes ");
    text_uint(&hint, row->least);
    if (row->most == SECLANG_WORDS_MAX) {
        text_lit(&hint, " or more");
    } else if (row->most > row->least) {
        text_lit(&hint, " to ");
        text_uint(&hint, row->most);
    }
    text_lit(&hint, ", and here are ");
    text_uint(&hint, statement->count);
    if (statement->count > row->most)
        text_lit(&hint, "; a quote inside of a quoted argument is written \\\"");
    unsigned at = row->most;
    fault_hint(parser, DIAG_SECLANG_SYNTAX,
               statement->count > at ? argument_place(statement, at)
                                     : statement_place(statement),
               "% has another number of arguments", statement->name.text, text_span(&hint));
    return false;
}

/* Off, or 0 where a number is meant. */
static bool says_off(const struct statement *statement)
{
    struct span text = statement->words[0].text;
    bool on;
    return (span_switch(text, &on) && !on) || span_equal(text, SPAN("0"));
}

void statement_run(struct parser *parser, const struct statement *statement)
{
    if (block_run(parser, statement))
        return;
    const struct directive_row *row = find_row(parser, statement);
    if (row == NULL || !count_fits(parser, row, statement))
        return;
    struct place place = statement_place(statement);
    struct span name = statement->name.text;
    switch (row->fate) {
    case RUN:
        row->run(parser, statement, row->data);
        break;
    case IGNORE:
        note_hint(parser, DIAG_SECLANG_IGNORED, place, "% has no effect here", name,
                  span_text(row->why));
        break;
    case OFF:
        if (!says_off(statement))
            unsupported(parser, place, name, row->why);
        break;
    case REFUSE:
        unsupported(parser, place, name, row->why);
        break;
    }
}
