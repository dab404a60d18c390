/* The operators' table, and the files that their arguments name. */
#include "rules/operator.h"

#include "gateway/base/file.h"
#include "gateway/base/siphash.h"
#include "rules/operator/rows.h"

#define NEEDS_NETWORK "it would ask a server on the network for each request"

#define TEXT_ROW(word, function)                                                               \
    {                                                                                          \
        .name = word, .macros = true, .eval = function                                         \
    }
#define NUMBER_ROW(word, function)                                                             \
    {                                                                                          \
        .name = word, .macros = true, .argument = true, .eval = function                       \
    }
#define WORDS_ROW(word, function)                                                              \
    {                                                                                          \
        .name = word, .argument = true, .compile = function, .eval = eval_pm                   \
    }
#define ADDRESS_ROW(word, function)                                                            \
    {                                                                                          \
        .name = word, .argument = true, .compile = function, .eval = eval_ip_match             \
    }
#define DIGITS_ROW(word, function)                                                             \
    {                                                                                          \
        .name = word, .argument = true, .needs_regex = true, .compile = compile_digits,        \
        .eval = function, .release = release_digits                                            \
    }
#define REFUSED_ROW(word, reason)                                                              \
    {                                                                                          \
        .name = word, .kind = OPERATOR_REFUSED, .refusal = reason                              \
    }

const struct operator_row operators[] = {
    { .name = "rx", .kind = OPERATOR_REGEX, .macros = true },
    { .name = "rxGlobal", .kind = OPERATOR_REGEX, .macros = true },
    { .name = "geoLookup", .kind = OPERATOR_GEO },
    WORDS_ROW("pm", compile_pm),
    WORDS_ROW("pmFromFile", compile_pm_from_file),
    WORDS_ROW("pmf", compile_pm_from_file),
    TEXT_ROW("contains", eval_contains),
    TEXT_ROW("containsWord", eval_contains_word),
    TEXT_ROW("beginsWith", eval_begins_with),
    TEXT_ROW("endsWith", eval_ends_with),
    TEXT_ROW("streq", eval_streq),
    TEXT_ROW("within", eval_within),
    { .name = "strmatch", .compile = compile_strmatch, .eval = eval_strmatch },
    NUMBER_ROW("eq", eval_eq),
    NUMBER_ROW("ge", eval_ge),
    NUMBER_ROW("gt", eval_gt),
    NUMBER_ROW("le", eval_le),
    NUMBER_ROW("lt", eval_lt),
    ADDRESS_ROW("ipMatch", compile_ip_match),
    ADDRESS_ROW("ipMatchFromFile", compile_ip_match_from_file),
    ADDRESS_ROW("ipMatchF", compile_ip_match_from_file),
    { .name = "validateByteRange",
      .compile = compile_byte_range,
      .eval = eval_byte_range,
      .wants = byte_range_wants },
    { .name = "validateUrlEncoding", .eval = eval_url_encoding, .wants = url_encoding_wants },
    { .name = "validateUtf8Encoding",
      .eval = eval_utf8_encoding,
      .wants = utf8_encoding_wants },
    DIGITS_ROW("verifyCC", eval_verify_cc),
    DIGITS_ROW("verifyCPF", eval_verify_cpf),
    DIGITS_ROW("verifySSN", eval_verify_ssn),
    DIGITS_ROW("verifySVNR", eval_verify_svnr),
    { .name = "noMatch", .eval = eval_never },
    { .name = "unconditionalMatch", .eval = eval_always },
    { .name = "detectSQLi",
      .compile = compile_detect,
      .eval = eval_detect_sqli,
      .wants = detect_sqli_wants },
    { .name = "detectXSS",
      .compile = compile_detect,
      .eval = eval_detect_xss,
      .wants = detect_xss_wants },
    REFUSED_ROW("rbl", NEEDS_NETWORK "; bans from feeds and reputation lists do that ahead"),
    REFUSED_ROW("gsbLookup", NEEDS_NETWORK),
    REFUSED_ROW("fuzzyHash", "it reads a file of hashes while a request waits"),
    REFUSED_ROW("inspectFile", "it runs a program while a request waits"),
    REFUSED_ROW("validateDTD", "XML is parsed without document type definitions and entities"),
    REFUSED_ROW("validateSchema", "XML is parsed as it comes in, and no tree of it is kept"),
    REFUSED_ROW("validateHash", "links and forms of responses are not rewritten"),
    REFUSED_ROW("rsub", "bodies are forwarded as they are and never rewritten"),
    { .name = NULL },
};

const struct operator_row *operator_find(struct span name)
{
    for (const struct operator_row *row = operators; row->name != NULL; row++) {
        if (span_equal_nocase(name, span_text(row->name)))
            return row;
    }
    return NULL;
}

bool read_operator_file(const struct operator_source *source, struct span path, size_t max,
                        struct span *text)
{
    struct text full = text_growing(source->arena, source->folder.len + path.len + 2);
    if (!span_starts(path, SPAN("/")) && source->folder.len > 0) {
        text_add(&full, source->folder);
        text_char(&full, '/');
    }
    text_add(&full, path);
    const char *name = text_cstring(&full), *why;
    struct file file = { .text = { NULL, 0 } };
    if (name == NULL)
        why = "out of memory";
    else if (span_starts_nocase(path, SPAN("https://")) ||
             span_starts_nocase(path, SPAN("http://")))
        why = "rules do not fetch files; name a local one";
    else if (span_index(path, '\0') >= 0)
        why = "there is a NUL in the name";
    else
        why = file_read(name, max, source->arena, &file);
    *text = file.text;
    if (why == NULL && source->hash != NULL) {
        const struct siphash_key key = { *source->hash, 0 };
        *source->hash = siphash(&key, file.text.p, file.text.len);
    }
    if (why != NULL)
        text_format(source->why, "\"%.*s\": %s", (int)path.len, path.p, why);
    return why == NULL;
}
