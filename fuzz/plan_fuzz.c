/*
 * Small rule sets over small requests: the plan (Hyperscan, folding, bits) and the reference
 * evaluator (PCRE2, rule by rule) agree on matches, variables and verdict.
 *
 * The input is read as choices of a grammar, so that every input is a program that loads, or is
 * refused by the front end and nothing more.
 */
#include "fuzz/rules_fuzz.h"

enum { RULES_MAX = 10 };

/* ---- choices --------------------------------------------------------------------------------
 */

static const char *pick(struct choices *c, const char *const *items, unsigned count)
{
    return items[below(c, count)];
}
#define PICK(c, ...)                                                                           \
    pick((c), (const char *const[]){ __VA_ARGS__ },                                            \
         (unsigned)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)))

/* ---- rules ----------------------------------------------------------------------------------
 */

static void write_pattern(struct text *out, struct choices *c, unsigned depth)
{
    for (unsigned i = 1 + below(c, 3); i > 0; i--) {
        if (depth == 0 || below(c, 3) > 0) {
            text_add(out, span_text(PICK(c, "a", "b", "ab", "<", "%", "[ab]", "[^a]", ".",
                                         "\\\\d", "\\\\s", "c+", "\\\\b", "A", "(a)", "/")));
            continue;
        }
        text_add(out, span_text(PICK(c, "(", "(?:", "(?i:")));
        write_pattern(out, c, depth - 1);
        for (unsigned j = below(c, 3); j > 0; j--) {
            text_char(out, '|');
            write_pattern(out, c, depth - 1);
        }
        text_char(out, ')');
        text_add(out, span_text(PICK(c, "", "", "?", "+", "{2}", "*")));
    }
}

static void write_operator(struct text *out, struct choices *c)
{
    text_add(out, span_text(PICK(c, "", "", "", "!")));
    switch (below(c, 7)) {
    case 0:
        text_format(out, "@%s %s", PICK(c, "contains", "beginsWith", "endsWith", "streq"),
                    PICK(c, "a", "ab", "<a", "a b", "A"));
        return;
    case 1:
        text_format(out, "@pm %s %s", PICK(c, "a", "ab", "<", "%41"), PICK(c, "b", "ba", "/"));
        return;
    case 2:
        text_format(out, "@%s %u", PICK(c, "eq", "ge", "lt", "gt"), below(c, 4));
        return;
    default:
        text_add(out, span_text(PICK(c, "@rx ", "@rx ^", "@rx (?i)")));
        write_pattern(out, c, 2);
        text_add(out, span_text(PICK(c, "", "", "$")));
    }
}

static void write_condition(struct text *out, struct choices *c)
{
    text_lit(out, "SecRule ");
    for (unsigned i = below(c, 3) + 1; i > 0; i--)
        text_format(out, "%s%s",
                    PICK(c, "ARGS", "ARGS:x", "ARGS_NAMES", "REQUEST_HEADERS",
                         "REQUEST_HEADERS:X-A", "REQUEST_COOKIES", "REQUEST_URI", "TX:v0",
                         "TX:/^v/", "&ARGS", "&TX:v1", "ARGS:/^[xy]/", "MATCHED_VARS",
                         "REQUEST_FILENAME", "QUERY_STRING"),
                    i > 1 ? "|" : "");
    text_add(out, span_text(PICK(c, "", "", "", "|!ARGS:y", "|!REQUEST_HEADERS:Host")));
    text_lit(out, " \"");
    write_operator(out, c);
    text_lit(out, "\"");
}

static void write_actions(struct text *out, struct choices *c)
{
    text_lit(out, "t:none");
    for (unsigned i = below(c, 4); i > 0; i--)
        text_format(out, ",t:%s",
                    PICK(c, "lowercase", "urlDecodeUni", "htmlEntityDecode", "removeNulls",
                         "compressWhitespace", "length", "jsDecode", "replaceComments",
                         "normalizePath", "base64Decode", "hexEncode", "cmdLine"));
    for (unsigned i = below(c, 3); i > 0; i--) {
        switch (below(c, 6)) {
        case 0:
            text_format(out, ",setvar:tx.v%u=%%{MATCHED_VAR}", below(c, 3));
            break;
        case 1:
            text_format(out, ",setvar:tx.v_%%{MATCHED_VAR_NAME}=+%u", below(c, 3));
            break;
        case 2:
            text_format(out, ",setvar:!tx.v%u", below(c, 3));
            break;
        case 3:
            text_format(out, ",ctl:ruleRemoveTargetById=%u-9;ARGS:x", 1 + below(c, 9));
            break;
        case 4:
            text_format(out, ",ctl:ruleRemoveById=%u", 1 + below(c, 9));
            break;
        default:
            text_format(out, ",setvar:tx.v%u=+%u", below(c, 3), below(c, 4));
        }
    }
    text_add(out, span_text(PICK(c, "", "", ",capture", ",multiMatch")));
}

static void write_rule(struct text *out, struct choices *c, unsigned id)
{
    if (below(c, 6) == 0)
        text_lit(out, "SecAction");
    else
        write_condition(out, c);
    text_format(out, " \"id:%u,phase:%u,%s,%s", id, 1 + below(c, 2), PICK(c, "log", "nolog"),
                PICK(c, "pass", "pass", "pass", "pass", "deny", "allow:phase", "allow"));
    text_add(out, span_text(PICK(c, "", "", "", ",skip:1", ",skipAfter:M")));
    text_add(out,
             span_text(PICK(c, "", "", ",logdata:'%{TX.0} %{MATCHED_VAR}'", ",severity:3")));
    text_char(out, ',');
    write_actions(out, c);
    if (below(c, 4) > 0) {
        text_lit(out, "\"\n");
        return;
    }
    text_lit(out, ",chain\"\n");
    write_condition(out, c);
    text_lit(out, " \"");
    write_actions(out, c);
    text_lit(out, "\"\n");
}

/* ---- requests -------------------------------------------------------------------------------
 */

static void write_value(struct text *out, struct choices *c)
{
    for (unsigned i = below(c, 6); i > 0; i--)
        text_add(out, span_text(PICK(c, "a", "b", "ab", "A", "%3Ca", "%2541", "%00", "cc", "1",
                                     "%20%20", "%26lt;", "%5cu0061", "/a/../b", "%2f%2a", "YWI",
                                     "abab")));
}

static void write_request(struct text *out, struct choices *c)
{
    text_format(out, "GET /%s?", PICK(c, "", "a", "a%20b", "ab/%2e/c"));
    for (unsigned i = below(c, 4); i > 0; i--) {
        text_format(out, "%s=", PICK(c, "x", "y", "X", "zz"));
        write_value(out, c);
        text_char(out, '&');
    }
    text_lit(out, " HTTP/1.1\r\nHost: h\r\nX-A: ");
    write_value(out, c);
    text_lit(out, "\r\nCookie: x=");
    write_value(out, c);
    text_lit(out, "\r\n\r\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choices c = { data, data + size };
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, RULES_ARENA_BYTES);
    struct text rules = text_growing(&arena, 4096), request = text_growing(&arena, 1024);
    unsigned count = 1 + below(&c, RULES_MAX);
    write_request(&request, &c);
    for (unsigned id = 1; id <= count; id++)
        write_rule(&rules, &c, id);
    text_lit(&rules, "SecMarker M\n");
    fuzz_rules(&rules, &request, &arena);
    arena_reset(&arena);
    return 0;
}
