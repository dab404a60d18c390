/*
 * A request from what people have at hand: a curl command line out of a browser, a HAR file, or
 * the bytes themselves.
 */
#include <jansson.h>

#include "gateway/cli/explain.h"

enum { WORDS_MAX = 256 };

/* ---- words of a shell ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* \n \t \r \\ \' and \xHH of $'...'; the byte, and how far the escape goes. */
static char unescape(struct span text, size_t *i)
{
    static const char from[] = "ntr\\'\"", to[] = "\n\t\r\\'\"";
    char c = text.p[*i];
    if (c == 'x' && *i + 2 < text.len && hex_value(text.p[*i + 1]) >= 0 &&
        hex_value(text.p[*i + 2]) >= 0) {
        *i += 2;
        return (char)(hex_value(text.p[*i - 1]) * 16 + hex_value(text.p[*i]));
    }
    const char *at = memchr(from, c, sizeof(from) - 1);
    return at != NULL ? to[at - from] : c;
}

/* One word from `*i` on, quotes taken off; false at the end. */
static bool take_word(struct span text, size_t *i, struct arena *arena, struct span *word)
{
    struct text out = text_growing(arena, 128);
    char quote = 0;
    bool dollar = false;
    while (*i < text.len && (is_blank(text.p[*i]) || (text.p[*i] == '\\' && *i + 1 < text.len &&
                                                      text.p[*i + 1] == '\n')))
        (*i)++;
    if (*i == text.len)
        return false;
    for (; *i < text.len && (quote != 0 || !is_blank(text.p[*i])); (*i)++) {
        char c = text.p[*i];
        bool escapes = quote == 0 || quote == '"' || dollar;
        if (c == '\\' && escapes && *i + 1 < text.len) {
            (*i)++;
            if (dollar)
                text_char(&out, unescape(text, i));
            else if (text.p[*i] != '\n')
                text_char(&out, text.p[*i]);
        } else if (c == quote) {
            quote = 0;
            dollar = false;
        } else if (quote == 0 && c == '$' && *i + 1 < text.len && text.p[*i + 1] == '\'') {
            dollar = true;
        } else if (quote == 0 && (c == '\'' || c == '"')) {
            quote = c;
        } else {
            text_char(&out, c);
        }
    }
    *word = text_span(&out);
    return true;
}

/* ---- a request in parts ---- */

struct parts {
    struct arena *arena;
    struct span method, url, body;
    struct text fields; /* complete lines */
    bool has_host, https;
    bool agent_said, accept_said; /* or taken away */
};

static void add_field(struct parts *parts, struct span name, struct span value)
{
    parts->has_host = parts->has_host || span_equal_nocase(name, SPAN("Host"));
    /* HTTP/2's own, and lengths: made anew. */
    if (name.len == 0 || name.p[0] == ':' || span_equal_nocase(name, SPAN("Content-Length")))
        return;
    text_add(&parts->fields, name);
    text_lit(&parts->fields, ": ");
    text_add(&parts->fields, span_trim(value));
    text_lit(&parts->fields, "\r\n");
}

/* "Name:" takes away what curl would send by itself, and "Name;" sends an empty one. */
static void add_line(struct parts *parts, struct span line)
{
    ssize_t colon = span_index(line, ':');
    bool empty = colon < 0 && span_ends(line, SPAN(";"));
    if (colon <= 0 && !empty)
        return;
    size_t end = empty ? line.len - 1 : (size_t)colon;
    struct span name = span_sub(line, 0, end);
    struct span value = span_trim(span_sub(line, end + 1, line.len));
    parts->agent_said |= span_equal_nocase(name, SPAN("User-Agent"));
    parts->accept_said |= span_equal_nocase(name, SPAN("Accept"));
    if (value.len > 0 || empty)
        add_field(parts, name, value);
}

static const char *write_parts(struct parts *parts, struct span *request)
{
    struct span rest = parts->url, host;
    struct text out = text_growing(parts->arena, 4096);
    ssize_t scheme = span_find(rest, SPAN("://"));
    if (rest.len == 0)
        return "it has no URL";
    parts->https = span_starts(rest, SPAN("https://"));
    if (scheme >= 0)
        rest = span_sub(rest, (size_t)scheme + 3, rest.len);
    size_t slash = 0;
    while (slash < rest.len && rest.p[slash] != '/' && rest.p[slash] != '?' &&
           rest.p[slash] != '#')
        slash++;
    host = span_sub(rest, 0, slash);
    rest = span_sub(rest, slash, rest.len);
    ssize_t fragment = span_index(rest, '#');
    if (fragment >= 0)
        rest = span_sub(rest, 0, (size_t)fragment);
    if (parts->method.len == 0)
        parts->method = parts->body.p != NULL ? SPAN("POST") : SPAN("GET");
    text_add(&out, parts->method);
    text_char(&out, ' ');
    if (rest.len == 0 || rest.p[0] != '/')
        text_char(&out, '/');
    text_add(&out, rest);
    text_lit(&out, " HTTP/1.1\r\n");
    if (!parts->has_host) {
        text_lit(&out, "Host: ");
        text_add(&out, host);
        text_lit(&out, "\r\n");
    }
    text_add(&out, text_span(&parts->fields));
    if (parts->body.p != NULL)
        text_format(&out, "Content-Length: %zu\r\n", parts->body.len);
    text_lit(&out, "\r\n");
    text_add(&out, parts->body);
    *request = text_span(&out);
    return out.overflow ? "out of memory" : NULL;
}

/* ---- curl ---- */

enum curl_part {
    CURL_METHOD,
    CURL_FIELD,
    CURL_BODY,
    CURL_AGENT,
    CURL_COOKIE,
    CURL_REFERER,
    CURL_URL,
    CURL_IGNORED
};

static const struct {
    struct span name;
    enum curl_part part;
} curl_options[] = {
    { SPAN_INIT("-X"), CURL_METHOD },
    { SPAN_INIT("--request"), CURL_METHOD },
    { SPAN_INIT("-H"), CURL_FIELD },
    { SPAN_INIT("--header"), CURL_FIELD },
    { SPAN_INIT("-d"), CURL_BODY },
    { SPAN_INIT("--data"), CURL_BODY },
    { SPAN_INIT("--data-raw"), CURL_BODY },
    { SPAN_INIT("--data-binary"), CURL_BODY },
    { SPAN_INIT("--data-ascii"), CURL_BODY },
    { SPAN_INIT("-A"), CURL_AGENT },
    { SPAN_INIT("--user-agent"), CURL_AGENT },
    { SPAN_INIT("-b"), CURL_COOKIE },
    { SPAN_INIT("--cookie"), CURL_COOKIE },
    { SPAN_INIT("-e"), CURL_REFERER },
    { SPAN_INIT("--referer"), CURL_REFERER },
    { SPAN_INIT("--url"), CURL_URL },
    { SPAN_INIT("-o"), CURL_IGNORED },
    { SPAN_INIT("--output"), CURL_IGNORED },
    { SPAN_INIT("-m"), CURL_IGNORED },
    { SPAN_INIT("--max-time"), CURL_IGNORED },
};
/* Those without a value that change nothing here. */
static const struct span curl_switches[] = {
    SPAN_INIT("-s"),           SPAN_INIT("-v"),         SPAN_INIT("-k"),
    SPAN_INIT("-L"),           SPAN_INIT("-i"),         SPAN_INIT("-g"),
    SPAN_INIT("--compressed"), SPAN_INIT("--insecure"), SPAN_INIT("--location"),
    SPAN_INIT("--path-as-is"), SPAN_INIT("--silent"),   SPAN_INIT("--globoff"),
    SPAN_INIT("--http1.1"),
};

static void add_body(struct parts *parts, struct span value)
{
    if (parts->body.p != NULL) { /* curl joins them */
        struct text joined = text_growing(parts->arena, parts->body.len + value.len + 2);
        text_add(&joined, parts->body);
        text_char(&joined, '&');
        text_add(&joined, value);
        value = text_span(&joined);
    }
    parts->body = value.p != NULL ? value : span_of("", 0);
}

static void use_option(struct parts *parts, enum curl_part part, struct span value)
{
    switch (part) {
    case CURL_METHOD:
        parts->method = value;
        return;
    case CURL_FIELD:
        add_line(parts, value);
        return;
    case CURL_BODY:
        add_body(parts, value);
        return;
    case CURL_AGENT:
        parts->agent_said = true;
        if (value.len > 0)
            add_field(parts, SPAN("User-Agent"), value);
        return;
    case CURL_COOKIE:
        add_field(parts, SPAN("Cookie"), value);
        return;
    case CURL_REFERER:
        add_field(parts, SPAN("Referer"), value);
        return;
    case CURL_URL:
        parts->url = value;
        return;
    case CURL_IGNORED:
        return;
    }
}

static bool is_switch(struct span word)
{
    for (size_t i = 0; i < ARRAY_LEN(curl_switches); i++)
        if (span_equal(word, curl_switches[i]))
            return true;
    return false;
}

static const char *from_curl(struct span text, struct parts *parts, struct span *request)
{
    struct span word, value;
    size_t at = 0;
    (void)take_word(text, &at, parts->arena, &word); /* curl itself */
    for (unsigned words = 0; take_word(text, &at, parts->arena, &word); words++) {
        if (words == WORDS_MAX)
            return "more than 256 words";
        size_t i = 0;
        while (i < ARRAY_LEN(curl_options) && !span_equal(word, curl_options[i].name))
            i++;
        if (i < ARRAY_LEN(curl_options)) {
            if (!take_word(text, &at, parts->arena, &value))
                return "its last option lacks a value";
            use_option(parts, curl_options[i].part, value);
        } else if (span_equal(word, SPAN("-I")) || span_equal(word, SPAN("--head"))) {
            parts->method = SPAN("HEAD");
        } else if (word.len > 0 && word.p[0] == '-' && !is_switch(word)) {
            return "it has an option of curl that is not known here; give the bytes instead";
        } else if (word.len > 0 && word.p[0] != '-') {
            parts->url = word;
        }
    }
    /* As curl does by itself. */
    if (!parts->agent_said)
        add_field(parts, SPAN("User-Agent"), SPAN("curl/7.88.1"));
    if (!parts->accept_said)
        add_field(parts, SPAN("Accept"), SPAN("*/*"));
    if (parts->body.p != NULL && span_find(text_span(&parts->fields), SPAN("ontent-")) < 0)
        add_field(parts, SPAN("Content-Type"), SPAN("application/x-www-form-urlencoded"));
    return write_parts(parts, request);
}

/* ---- HAR ---- */

static struct span text_of(struct arena *arena, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return span_of(NULL, 0);
    return arena_copy(arena, span_of(json_string_value(value), json_string_length(value)));
}

static const char *from_entry(const json_t *entry, struct parts *parts, struct span *request)
{
    const json_t *asked = json_object_get(entry, "request");
    const json_t *post = json_object_get(asked, "postData"), *field;
    size_t i;
    if (!json_is_object(asked))
        return "it is no HAR: there is no request in it";
    parts->method = text_of(parts->arena, asked, "method");
    parts->url = text_of(parts->arena, asked, "url");
    json_array_foreach(json_object_get(asked, "headers"), i, field) add_field(
        parts, text_of(parts->arena, field, "name"), text_of(parts->arena, field, "value"));
    if (json_is_object(post))
        add_body(parts, text_of(parts->arena, post, "text"));
    return write_parts(parts, request);
}

/* A document has many entries; an entry alone is one. */
static const char *from_har(struct span text, struct arena *arena, struct asked_list *list)
{
    json_t *root = json_loadb(text.p, text.len, JSON_ALLOW_NUL, NULL);
    const json_t *entries = json_object_get(json_object_get(root, "log"), "entries");
    size_t count = json_is_array(entries) ? json_array_size(entries) : 1;
    const char *wrong = NULL;
    list->items = arena_array(arena, struct asked, count + 1);
    if (list->items == NULL || count > ASKED_MAX)
        wrong = "it has too many entries";
    else if (count == 0)
        wrong = "it is no HAR: there is no request in it";
    for (size_t i = 0; i < count && wrong == NULL; i++) {
        struct parts parts = { .arena = arena, .fields = text_growing(arena, 1024) };
        struct asked *asked = &list->items[list->count];
        wrong = from_entry(json_is_array(entries) ? json_array_get(entries, i) : root, &parts,
                           &asked->bytes);
        asked->https = parts.https;
        list->count++;
    }
    json_decref(root);
    return wrong;
}

const char *requests_from(struct span text, struct arena *arena, struct asked_list *list)
{
    struct parts parts = { .arena = arena, .fields = text_growing(arena, 1024) };
    const char *wrong = NULL;
    *list = (struct asked_list){ .count = 0 };
    if (text.len > 0 && text.p[0] == '{')
        return from_har(text, arena, list);
    list->items = arena_new(arena, struct asked);
    if (list->items == NULL)
        return "out of memory";
    list->count = 1;
    struct asked *asked = &list->items[0];
    if (span_starts(text, SPAN("curl "))) {
        wrong = from_curl(text, &parts, &asked->bytes);
    } else if (span_starts(text, SPAN("http://")) || span_starts(text, SPAN("https://"))) {
        parts.url = span_trim(text);
        wrong = write_parts(&parts, &asked->bytes);
    } else {
        asked->bytes = text; /* as it is: what is wrong with it is what is asked */
        wrong = text.len > 0 ? NULL : "it is empty";
    }
    asked->https = parts.https;
    return wrong;
}

const char *request_from(struct span text, struct arena *arena, struct span *request)
{
    struct asked_list list;
    const char *wrong = requests_from(text, arena, &list);
    *request = list.count > 0 ? list.items[0].bytes : span_of(NULL, 0);
    return wrong;
}
