/*
 * Rules over the fields of a form, so many that they are scanned together (batch.c): patterns
 * that are tied to edges and to lines, steps that take bytes away and steps that decode. The
 * plan and the reference evaluator (PCRE2, value by value) agree on matches and variables.
 *
 * The input is read as choices of a grammar, as in plan_fuzz.c.
 */
#include "fuzz/rules_fuzz.h"

enum { RULES_MAX = 5, FIELDS_MIN = 20, FIELDS_MAX = 40 };

/* ---- choices --------------------------------------------------------------------------------
 */

static void put(struct text *out, struct choices *c, const char *const *items, unsigned count)
{
    text_add(out, span_text(items[below(c, count)]));
}
#define PUT(out, c, ...)                                                                       \
    put((out), (c), (const char *const[]){ __VA_ARGS__ },                                      \
        (unsigned)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)))

/* ---- rules ----------------------------------------------------------------------------------
 */

static void write_atom(struct text *out, struct choices *c)
{
    PUT(out, c, "a", "b", "ls", "union", "'", ";", " ", "<", "(", "/etc", "..", "1", "A", "|",
        "[ab]", "[^a]", "[^\\\\n]", "[';]", "[A-Z]", "[0-9]", ".", "\\\\d", "\\\\s", "\\\\w",
        "\\\\W", "\\\\S", "\\\\b", "\\\\B", "^", "$", "\\\\A", "\\\\z", "\\\\Z", "\\\\n",
        "\\\\x00", "\\\\xa0", "\\\\(", "\\\\\\\\", "[[:space:]]", "[\\\\w-]", "(?i)", "(?s)",
        "(?-s)", "(?m)", "%", "&lt", "0x41", "-", "*", "x");
}

static void write_pattern(struct text *out, struct choices *c, unsigned depth)
{
    for (unsigned i = 1 + below(c, 4); i > 0; i--) {
        if (depth == 0 || below(c, 4) > 0) {
            write_atom(out, c);
        } else {
            PUT(out, c, "(", "(?:", "(?i:", "(?:^|", "(?:$|");
            write_pattern(out, c, depth - 1);
            for (unsigned j = below(c, 3); j > 0; j--) {
                text_char(out, '|');
                write_pattern(out, c, depth - 1);
            }
            text_char(out, ')');
        }
        PUT(out, c, "", "", "", "?", "+", "*", "{2}", "{0,2}", "+?");
    }
}

static void write_operator(struct text *out, struct choices *c)
{
    PUT(out, c, "", "", "", "", "!");
    switch (below(c, 6)) {
    case 0:
        PUT(out, c, "@contains ", "@beginsWith ", "@endsWith ", "@streq ");
        PUT(out, c, "a", "ls", "';", "/etc", "a b", "A", "<a", "x\\ny");
        return;
    case 1:
        text_lit(out, "@pm ");
        for (unsigned i = 1 + below(c, 4); i > 0; i--) {
            PUT(out, c, "union", "LS", "<a", "'", "a", "/etc/", "0x", "..");
            text_char(out, ' ');
        }
        text_char(out, 'b');
        return;
    case 2:
        PUT(out, c, "@detectSQLi", "@detectXSS", "@validateByteRange 9,10,32-126",
            "@validateUrlEncoding", "@validateUtf8Encoding");
        return;
    default:
        PUT(out, c, "@rx ", "@rx ^", "@rx (?i)");
        write_pattern(out, c, 2);
        PUT(out, c, "", "", "$");
    }
}

static void write_rule(struct text *out, struct choices *c, unsigned id)
{
    text_lit(out, "SecRule ");
    PUT(out, c, "ARGS", "ARGS_POST", "ARGS_NAMES", "ARGS|ARGS_NAMES", "ARGS:/^f1/");
    text_lit(out, " \"");
    write_operator(out, c);
    text_format(out, "\" \"id:%u,phase:2,log,pass,t:none", id);
    for (unsigned i = below(c, 5); i > 0; i--) {
        text_lit(out, ",t:");
        PUT(out, c, "lowercase", "urlDecodeUni", "urlDecode", "htmlEntityDecode", "removeNulls",
            "replaceNulls", "compressWhitespace", "removeWhitespace", "jsDecode", "cssDecode",
            "escapeSeqDecode", "replaceComments", "removeComments", "removeCommentsChar",
            "normalizePath", "normalizePathWin", "base64Decode", "base64DecodeExt",
            "sqlHexDecode", "hexDecode", "utf8toUnicode", "cmdLine", "trim", "trimLeft",
            "trimRight", "uppercase", "length", "urlEncode");
    }
    PUT(out, c, "", "", ",multiMatch");
    text_lit(out, "\"\n");
}

/* ---- requests -------------------------------------------------------------------------------
 */

static void write_value(struct text *out, struct choices *c)
{
    for (unsigned i = below(c, 7); i > 0; i--)
        PUT(out, c, "a", "b", "ls", "union", "%27", ";", "+", "%3C", "(", "%2Fetc", "..", "1",
            "A", "%7C", "%0A", "%00", "%A0", "%5C", "%2541", "%26lt%3B", "0x41", "-", "*", "x",
            "%09", "%2F*", "*%2F", "--", "%5Cu0061", "YWI", "%C3%A4", "%5E", "%22", "%2C", "LS",
            "uNi", "%23", "%0D%0A", "%2F.%2F", "or+1%3D1");
}

static void write_request(struct text *out, struct choices *c, struct arena *arena)
{
    struct text body = text_growing(arena, 4096);
    unsigned count = FIELDS_MIN + below(c, FIELDS_MAX - FIELDS_MIN);
    for (unsigned i = 0; i < count; i++) {
        text_format(&body, "%sf%u=", i > 0 ? "&" : "", i);
        write_value(&body, c);
    }
    text_format(out,
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded"
                "\r\nContent-Length: %zu\r\n\r\n",
                body.len);
    text_add(out, text_span(&body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choices c = { data, data + size };
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, RULES_ARENA_BYTES);
    struct text rules = text_growing(&arena, 4096), request = text_growing(&arena, 4096);
    unsigned count = 1 + below(&c, RULES_MAX);
    for (unsigned id = 1; id <= count; id++)
        write_rule(&rules, &c, id);
    text_lit(&rules, "SecMarker END\n");
    write_request(&request, &c, &arena);
    fuzz_rules(&rules, &request, &arena);
    arena_reset(&arena);
    return 0;
}
