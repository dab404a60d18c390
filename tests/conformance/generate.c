/* Requests and answers by chance. */
#include "tests/conformance/generate.h"

enum { VALUE_BYTES_MAX = 600, PARTS_MAX = 12 };

static const char *const plain[] = {
    "1",
    "42",
    "-7",
    "true",
    "id",
    "name",
    "q",
    "page",
    "hello world",
    "Alice",
    "search term",
    "2024-05-01",
    "user@example.com",
    "https://example.com/a?b=c",
    "The quick brown fox jumps",
    "caf\xc3\xa9",
    "select a colour",
    "10 % off",
    "a+b",
    "x=1",
    "O'Brien",
    "1,234.50",
    "/index.html",
    "file.txt",
    "session",
    "token",
    "de-DE,de;q=0.9",
    "text/html",
    "gzip, deflate",
    "on",
    "",
    "0",
    "products",
    "{\"a\":1}",
    "[1,2]",
    "union of sets",
    "drop me a line",
    "<b>bold</b>",
};

static const char *const attacks[] = {
    "' or 1=1--",
    "1 union select null,version()#",
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "; cat /etc/passwd",
    "$(id)",
    "`uname -a`",
    "|| ping -c 1 127.0.0.1",
    "<?php system($_GET[0]); ?>",
    "http://127.0.0.1/x.txt?",
    "${jndi:ldap://a/b}",
    "<img src=x onerror=alert(1)>",
    "%0d%0aSet-Cookie: a=b",
    "O:8:\"stdClass\":0:{}",
    "() { :; }; echo",
    "/*!50000union*/ select",
    "xp_cmdshell",
    "sleep(5)",
    "nmap",
    "sqlmap/1.0",
    "\xff\xfe",
    "a\x01"
    "b",
    "java.lang.Runtime",
    "constructor.prototype",
    "require('child_process')",
    "phpinfo()",
    "/bin/bash -i",
    "&#x3c;script",
};

static struct span pick(const char *const *texts, size_t count, struct dice *dice)
{
    return span_text(texts[dice_below(dice, (unsigned)count)]);
}

/* ---- material -------------------------------------------------------------------------------
 */

static void add_pattern(struct material *material, struct span pattern)
{
    if (material->pattern_count < GENERATE_PATTERNS_MAX && pattern.len > 0)
        material->patterns[material->pattern_count++] = pattern;
}

static void add_word(struct material *material, struct span word)
{
    if (material->word_count < GENERATE_WORDS_MAX && word.len > 0)
        material->words[material->word_count++] = word;
}

void material_of(struct material *material, const struct sec_program *program)
{
    for (unsigned i = 0; i < program->rule_count; i++) {
        const struct sec_rule *rule = program->rules[i];
        if (rule->unconditional || rule->op.row == NULL)
            continue;
        struct span name = span_text(rule->op.row->name), word;
        struct span rest = rule->op.argument.source;
        if (span_equal(name, SPAN("rx"))) {
            add_pattern(material, rest);
        } else if (!span_equal(name, SPAN("pmFromFile")) && !span_equal(name, SPAN("pmf"))) {
            while (span_cut(&rest, ' ', &word))
                add_word(material, word);
        }
        for (unsigned k = 0; k < rule->target_count; k++) {
            if (rule->targets[k].key_kind == KEY_NAME)
                add_word(material, rule->targets[k].key);
        }
    }
}

void material_add_words(struct material *material, struct span text)
{
    struct span line;
    while (span_cut(&text, '\n', &line)) {
        line = span_trim(line);
        if (line.len > 0 && line.p[0] != '#')
            add_word(material, line);
    }
}

/* ---- values ---------------------------------------------------------------------------------
 */

static void raw_value(struct text *out, const struct material *m, struct dice *dice)
{
    unsigned kind = dice_below(dice, 100);
    if (kind < 45) {
        text_add(out, pick(plain, ARRAY_LEN(plain), dice));
    } else if (kind < 55) {
        text_add(out, pick(attacks, ARRAY_LEN(attacks), dice));
    } else if (kind < 75 && m->pattern_count > 0) {
        sample_regex(out, m->patterns[dice_below(dice, m->pattern_count)], dice);
    } else if (kind < 88 && m->word_count > 0) {
        text_add(out, m->words[dice_below(dice, m->word_count)]);
    } else if (kind < 95) {
        for (unsigned n = dice_below(dice, 20); n > 0; n--)
            text_char(out, (char)dice_roll(dice));
    } else {
        for (unsigned n = dice_below(dice, 400); n > 0; n--)
            text_char(out, (char)('a' + dice_below(dice, 26)));
    }
}

/* One byte in one of the spellings that transformations undo. */
static void bend_byte(struct text *out, char c, struct dice *dice)
{
    unsigned byte = (unsigned char)c;
    switch (dice_below(dice, 12)) {
    case 0:
        text_format(out, "%%%02x", byte);
        break;
    case 1:
        text_format(out, "%%25%02X", byte);
        break;
    case 2:
        text_format(out, "%%u%04x", byte);
        break;
    case 3:
        text_format(out, "&#%u;", byte);
        break;
    case 4:
        text_format(out, "&#x%x;", byte);
        break;
    case 5:
        text_format(out, "\\x%02x", byte);
        break;
    case 6:
        text_format(out, "\\u%04x", byte);
        break;
    case 7:
        text_format(out, "\\%o", byte);
        break;
    case 8:
        text_lit(out, "/**/");
        text_char(out, c);
        break;
    case 9:
        text_char(out, '\0');
        text_char(out, c);
        break;
    case 10:
        text_char(out, c == ' ' ? '\t' : c);
        text_char(out, ' ');
        break;
    default:
        text_char(out, c >= 'a' && c <= 'z' ? (char)(c - 32) : c);
    }
}

static struct span value(char room[VALUE_BYTES_MAX], const struct material *m,
                         struct dice *dice)
{
    char first[VALUE_BYTES_MAX];
    struct text raw = text_fixed(first, sizeof first), out = text_fixed(room, VALUE_BYTES_MAX);
    for (unsigned n = 1U + dice_chance(dice, 20) + dice_chance(dice, 10); n > 0; n--)
        raw_value(&raw, m, dice);
    unsigned bent = dice_chance(dice, 30) ? dice_below(dice, 60) : 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (dice_chance(dice, bent))
            bend_byte(&out, raw.p[i], dice);
        else
            text_char(&out, raw.p[i]);
    }
    return text_span(&out);
}

/* Percent-encoded as far as it must be to stand in a form or a query; more of it by chance. */
static void put_encoded(struct text *out, struct span s, struct dice *dice)
{
    static const char open[] = "-._~!$'()*,;:@/?";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (letter || (c != 0 && strchr(open, c) != NULL && dice_chance(dice, 80)))
            text_char(out, (char)c);
        else if (c == ' ' && dice_chance(dice, 60))
            text_char(out, '+');
        else
            text_format(out, "%%%02X", c);
    }
}

static void put_name(struct text *out, const struct material *m, struct dice *dice)
{
    static const char *const names[] = { "id",  "q", "name", "user", "page",       "file",
                                         "url", "x", "data", "a[b]", "csrf_token", "foo.bar" };
    char room[VALUE_BYTES_MAX];
    if (dice_chance(dice, 80))
        put_encoded(out, pick(names, ARRAY_LEN(names), dice), dice);
    else
        put_encoded(out, value(room, m, dice), dice);
}

static void put_form(struct text *out, const struct material *m, struct dice *dice)
{
    char room[VALUE_BYTES_MAX];
    for (unsigned n = dice_below(dice, 6); n > 0; n--) {
        put_name(out, m, dice);
        if (!dice_chance(dice, 3))
            text_char(out, '=');
        put_encoded(out, value(room, m, dice), dice);
        if (n > 1)
            text_char(out, '&');
    }
}

/* ---- bodies ---------------------------------------------------------------------------------
 */

static void put_json_text(struct text *out, struct span s)
{
    text_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < ' ' || c == '"' || c == '\\' || c >= 0x7f)
            text_format(out, "\\u%04x", c);
        else
            text_char(out, (char)c);
    }
    text_char(out, '"');
}

static void put_json(struct text *out, const struct material *m, struct dice *dice,
                     unsigned depth)
{
    char room[VALUE_BYTES_MAX];
    unsigned kind = dice_below(dice, depth == 0 ? 2 : 5);
    if (depth < 4 && kind < 2) {
        unsigned count = dice_below(dice, 4);
        text_char(out, kind == 0 ? '{' : '[');
        for (unsigned i = 0; i < count; i++) {
            if (i > 0)
                text_char(out, ',');
            if (kind == 0) {
                put_json_text(out, dice_chance(dice, 70) ? pick(plain, ARRAY_LEN(plain), dice)
                                                         : value(room, m, dice));
                text_char(out, ':');
            }
            put_json(out, m, dice, depth + 1);
        }
        text_char(out, kind == 0 ? '}' : ']');
    } else if (kind < 4) {
        put_json_text(out, value(room, m, dice));
    } else {
        text_uint(out, dice_below(dice, 100000));
    }
}

static void put_xml_text(struct text *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '<' || c == '&' || c == '"')
            text_format(out, "&#%u;", c);
        else
            text_char(out, c < ' ' || c >= 0x7f ? '.' : (char)c);
    }
}

static void put_xml(struct text *out, const struct material *m, struct dice *dice)
{
    char room[VALUE_BYTES_MAX];
    text_lit(out, "<?xml version=\"1.0\"?><root>");
    for (unsigned n = dice_below(dice, 4); n > 0; n--) {
        text_lit(out, "<item a=\"");
        put_xml_text(out, value(room, m, dice));
        text_lit(out, "\">");
        put_xml_text(out, value(room, m, dice));
        text_lit(out, "</item>");
    }
    if (!dice_chance(dice, 10))
        text_lit(out, "</root>");
}

static void put_quoted(struct text *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c != '"' && c != '\\' && c != '\r' && c != '\n' && c != '\0')
            text_char(out, c);
    }
}

static void put_multipart(struct text *out, const struct material *m, struct dice *dice)
{
    char room[VALUE_BYTES_MAX];
    for (unsigned n = dice_below(dice, 4); n > 0; n--) {
        text_lit(out, "--edge\r\nContent-Disposition: form-data; name=\"");
        put_quoted(out, pick(plain, ARRAY_LEN(plain), dice));
        if (dice_chance(dice, 40)) {
            text_lit(out, "\"; filename=\"");
            put_quoted(out, value(room, m, dice));
        }
        text_lit(out, "\"\r\n");
        if (dice_chance(dice, 30)) {
            text_lit(out, "Content-Type: ");
            put_quoted(out, value(room, m, dice));
            text_lit(out, "\r\n");
        }
        text_lit(out, "\r\n");
        text_add(out, value(room, m, dice));
        text_add(out, dice_chance(dice, 5) ? SPAN("\n") : SPAN("\r\n"));
    }
    if (!dice_chance(dice, 5))
        text_lit(out, "--edge--\r\n");
}

/* Writes a body and answers its media type. */
static const char *put_body(struct text *out, const struct material *m, struct dice *dice)
{
    char room[VALUE_BYTES_MAX];
    switch (dice_below(dice, 8)) {
    case 0:
    case 1:
    case 2:
        put_form(out, m, dice);
        return "application/x-www-form-urlencoded";
    case 3:
    case 4:
        put_json(out, m, dice, 0);
        return "application/json";
    case 5:
        put_xml(out, m, dice);
        return "text/xml";
    case 6:
        put_multipart(out, m, dice);
        return "multipart/form-data; boundary=edge";
    default:
        text_add(out, value(room, m, dice));
        return dice_chance(dice, 50) ? "text/plain" : NULL;
    }
}

/* ---- messages -------------------------------------------------------------------------------
 */

/* What may stand in a field; a few other bytes by chance, for the parser to refuse. */
static void put_field_value(struct text *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= ' ' && c != 0x7f)
            text_char(out, (char)c);
    }
}

static void put_cookies(struct text *out, const struct material *m, struct dice *dice)
{
    char room[VALUE_BYTES_MAX];
    text_lit(out, "Cookie: ");
    for (unsigned n = 1 + dice_below(dice, 3); n > 0; n--) {
        put_field_value(out, dice_chance(dice, 80) ? SPAN("sid") : value(room, m, dice));
        text_char(out, '=');
        put_field_value(out, value(room, m, dice));
        if (n > 1)
            text_lit(out, "; ");
    }
    text_lit(out, "\r\n");
}

static void put_fields(struct text *out, const struct material *m, struct dice *dice)
{
    static const char *const names[] = {
        "Referer",       "X-Forwarded-For", "Accept-Language",  "Range",
        "X-File-Name",   "Accept-Charset",  "Content-Encoding", "X-Custom",
        "Authorization", "Cache-Control",
    };
    static const char *const agents[] = {
        "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/115.0",
        "curl/8.0",
        "sqlmap/1.6",
    };
    char room[VALUE_BYTES_MAX];
    text_lit(out, "Host: ");
    text_add(out, dice_chance(dice, 90) ? SPAN("shop.example.com") : SPAN("10.0.0.1"));
    text_lit(out, "\r\n");
    if (dice_chance(dice, 90)) {
        text_lit(out, "User-Agent: ");
        put_field_value(out, dice_chance(dice, 70) ? pick(agents, ARRAY_LEN(agents), dice)
                                                   : value(room, m, dice));
        text_lit(out, "\r\n");
    }
    if (dice_chance(dice, 80))
        text_lit(out, "Accept: text/html,*/*;q=0.8\r\n");
    for (unsigned n = dice_below(dice, 3); n > 0; n--) {
        text_add(out, pick(names, ARRAY_LEN(names), dice));
        text_lit(out, ": ");
        put_field_value(out, value(room, m, dice));
        text_lit(out, "\r\n");
    }
    if (dice_chance(dice, 40))
        put_cookies(out, m, dice);
}

static void put_line(struct text *out, const struct material *m, struct dice *dice, bool body)
{
    static const char *const methods[] = { "GET", "GET", "HEAD", "OPTIONS", "DELETE", "FOO" };
    static const char *const posts[] = { "POST", "POST", "PUT", "PATCH" };
    char room[VALUE_BYTES_MAX];
    text_add(out, body ? pick(posts, ARRAY_LEN(posts), dice)
                       : pick(methods, ARRAY_LEN(methods), dice));
    text_lit(out, " /");
    for (unsigned n = dice_below(dice, 3); n > 0; n--) {
        put_encoded(out,
                    dice_chance(dice, 70) ? pick(plain, ARRAY_LEN(plain), dice)
                                          : value(room, m, dice),
                    dice);
        text_char(out, '/');
    }
    if (dice_chance(dice, 70)) {
        text_char(out, '?');
        put_form(out, m, dice);
    }
    text_add(out, dice_chance(dice, 95) ? SPAN(" HTTP/1.1\r\n") : SPAN(" HTTP/1.0\r\n"));
}

void generate_request(struct text *out, const struct material *material, struct dice *dice)
{
    enum { BODY_BYTES_MAX = 16 * 1024 };
    char room[BODY_BYTES_MAX];
    struct text body = text_fixed(room, sizeof room);
    bool with_body = dice_chance(dice, 45);
    put_line(out, material, dice, with_body);
    put_fields(out, material, dice);
    if (with_body) {
        const char *type = put_body(&body, material, dice);
        if (type != NULL)
            text_format(out, "Content-Type: %s\r\n", type);
        text_format(out, "Content-Length: %zu\r\n", body.len);
    }
    text_lit(out, "\r\n");
    text_add(out, text_span(&body));
}

void generate_answer(struct text *out, const struct material *material, struct dice *dice)
{
    enum { BODY_BYTES_MAX = 4 * 1024 };
    static const int statuses[] = { 200, 200, 200, 302, 404, 500 };
    char room[BODY_BYTES_MAX], value_room[VALUE_BYTES_MAX];
    struct text body = text_fixed(room, sizeof room);
    for (unsigned n = dice_below(dice, 4); n > 0; n--) {
        text_add(&body, value(value_room, material, dice));
        text_char(&body, '\n');
    }
    text_format(out, "HTTP/1.1 %d Answer\r\n", statuses[dice_below(dice, ARRAY_LEN(statuses))]);
    text_lit(out, "Content-Type: text/html; charset=utf-8\r\n");
    text_format(out, "Content-Length: %zu\r\n\r\n", body.len);
    text_add(out, text_span(&body));
}
