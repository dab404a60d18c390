/* The pieces of an audit line: see record_line.h. */
#include "gateway/audit/record_line.h"

void line_end(struct text *out, char bracket)
{
    if (out->overflow)
        return;
    if (out->len > 0 && out->p[out->len - 1] == ',')
        out->p[out->len - 1] = bracket;
    else
        text_char(out, bracket);
    text_char(out, ',');
}

/* Many readers of JSON hold integers in 64 bits with a sign. */
void line_uint(struct text *out, uint64_t value)
{
    text_uint(out, value <= INT64_MAX ? value : INT64_MAX);
    text_char(out, ',');
}

/* Whether all bytes are printable ASCII that JSON leaves alone. Eight at a time: this is most
 * of a line. */
static bool is_plain(struct span s)
{
    static const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    size_t i = 0;
    uint64_t odd = 0;
    for (; s.len - i >= 8; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, sizeof(w));
        uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\', del = w ^ ones * 0x7f;
        odd |= w | ((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) |
               ((slash - ones) & ~slash) | ((del - ones) & ~del);
    }
    if ((odd & highs) != 0)
        return false;
    for (; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

/* At most `max` bytes of `s`, and no half of a UTF-8 sequence. */
struct span line_cut(struct span s, size_t max)
{
    if (s.len <= max)
        return s;
    size_t len = max;
    while (len > 0 && max - len < 3 && ((unsigned char)s.p[len] & 0xc0) == 0x80)
        len--;
    return span_of(s.p, len);
}

/* Escapes as much of `s` as fits in `room` bytes; true when that is all. */
bool line_escape(struct text *out, struct span s, size_t room)
{
    struct span part = line_cut(s, room);
    if (is_plain(part)) {
        text_add(out, part);
        return part.len == s.len;
    }
    /* No byte takes more than six; what the last piece left over is room for the next. */
    size_t end = out->len + room;
    while (s.len > 0 && out->len < end && !out->overflow) {
        part = line_cut(s, (end - out->len) / 6);
        if (part.len == 0)
            break;
        json_escape(out, part);
        s = span_sub(s, part.len, s.len);
    }
    return s.len == 0;
}

void line_note_cut(struct line *line, const char *name)
{
    for (unsigned i = 0; i < line->cut_count; i++)
        if (strcmp(line->cut[i], name) == 0)
            return;
    if (line->cut_count < ARRAY_LEN(line->cut))
        line->cut[line->cut_count++] = name;
}

void line_text(struct line *line, const char *name, struct span value, size_t max)
{
    text_char(line->out, '"');
    if (!line_escape(line->out, value, max))
        line_note_cut(line, name);
    text_lit(line->out, "\",");
}

void line_name(struct text *out, const char *name)
{
    text_char(out, '"');
    (void)line_escape(out, span_text(name), LINE_NAME_MAX);
    text_lit(out, "\",");
}

void line_addr(struct text *out, const struct addr *addr)
{
    text_char(out, '"');
    addr_write(out, addr);
    text_lit(out, "\",");
}

/*
 * What stands before the `@` of a URL's authority: a name and often a password, which some
 * clients send in spite of RFC 9110 section 4.2.4. Empty: there is none.
 */
static struct span userinfo_of(struct span url)
{
    enum { SCHEME_MAX = 16 };
    ssize_t colon = span_find(span_sub(url, 0, SCHEME_MAX + 3), SPAN("://"));
    size_t start = colon < 0 ? 0 : (size_t)colon + 3, end = start, at = start;

    for (size_t i = 0; colon >= 0 && i < (size_t)colon; i++)
        if (ascii_lower(url.p[i]) < 'a' || ascii_lower(url.p[i]) > 'z')
            return span_of(url.p, 0);
    for (; colon >= 0 && end < url.len && memchr("/?#", url.p[end], 3) == NULL; end++)
        if (url.p[end] == '@')
            at = end;
    return span_sub(url, start, at - start);
}

/* A query or URL; what is secret in it stays behind. */
void line_pairs(struct line *line, const char *name, struct span value, size_t max)
{
    struct text *out = line->out;
    struct redaction_pair pair;
    size_t end = out->len + max;

    text_char(out, '"');
    struct span userinfo = userinfo_of(value);
    if (userinfo.len > 0) {
        text_add(out, span_range(value.p, userinfo.p)); /* letters and :// */
        redaction_pseudonym(out, line->redaction, userinfo);
        value = span_range(span_end(userinfo), span_end(value));
    }
    while (redaction_pair(line->redaction, &value, &pair)) {
        bool whole = out->len < end && line_escape(out, pair.name, end - out->len);
        if (whole && pair.has_value)
            text_char(out, '=');
        if (whole && pair.secret && pair.value.len > 0)
            redaction_pseudonym(out, line->redaction, pair.value);
        else if (whole)
            whole = line_escape(out, pair.value, out->len < end ? end - out->len : 0);
        if (!whole) {
            line_note_cut(line, name);
            break;
        }
        text_add(out, pair.end); /* one of & ; ? # */
    }
    text_lit(out, "\",");
}
