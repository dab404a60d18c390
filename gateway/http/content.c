/* Kinds of content: what Content-Type declares, and what the bytes look like. */
#include "gateway/http/chars.h"
#include "gateway/http/charset.h"

static bool media_ends(struct span media, struct span suffix)
{
    return media.len >= suffix.len &&
           span_equal_nocase(span_sub(media, media.len - suffix.len, suffix.len), suffix);
}

enum content_kind content_declared(struct span content_type)
{
    static const struct {
        struct span suffix;
        enum content_kind kind;
    } suffixes[] = {
        { SPAN_INIT("json"), CONTENT_JSON },
        { SPAN_INIT("xml"), CONTENT_XML },
        { SPAN_INIT("x-www-form-urlencoded"), CONTENT_FORM },
        { SPAN_INIT("graphql"), CONTENT_TEXT },
        { SPAN_INIT("yaml"), CONTENT_TEXT },
        { SPAN_INIT("script"), CONTENT_TEXT },
        { SPAN_INIT("csp-report"), CONTENT_JSON },
    };
    struct span rest = content_type, media;

    if (!span_cut(&rest, ';', &media) || (media = span_trim(media)).len == 0)
        return CONTENT_EMPTY;
    if (span_starts_nocase(media, SPAN("multipart/")))
        return CONTENT_MULTIPART;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (media_ends(media, suffixes[i].suffix))
            return suffixes[i].kind;
    return span_starts_nocase(media, SPAN("text/")) ? CONTENT_TEXT : CONTENT_BINARY;
}

/* ---- looked at -----------------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span skip_blanks(struct span s)
{
    size_t at = 0;

    while (at < s.len && is_blank(s.p[at]))
        at++;
    return span_sub(s, at, s.len);
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool looks_json(struct span s)
{
    struct span rest = skip_blanks(span_sub(s, 1, s.len));

    if (s.p[0] == '{')
        return rest.len > 0 && is_one_of(rest.p[0], "\"}");
    if (s.p[0] == '[')
        return rest.len > 0 && is_one_of(rest.p[0], "[{]\"-0123456789tfn");
    return false;
}

static bool looks_xml(struct span s)
{
    if (s.p[0] != '<' || s.len < 2)
        return false;
    char c = ascii_lower(s.p[1]);
    return (c >= 'a' && c <= 'z') || is_one_of(c, "?!_:");
}

/* Two dashes, a word, the end of the line, and a header. */
static bool looks_multipart(struct span s)
{
    if (!span_starts(s, SPAN("--")))
        return false;
    ssize_t lf = span_index(s, '\n');
    if (lf < 3)
        return false;
    struct span next = span_sub(s, (size_t)lf + 1, s.len);
    const char *name = chars_skip(next.p, span_end(next), CHAR_TOKEN);
    return name > next.p && name < span_end(next) && *name == ':';
}

/* `name=` where the name has only what an encoder leaves. */
static bool looks_form(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '=')
            return i > 0;
        if (!char_is(c, CHAR_UNRESERVED) && !is_one_of(c, "%+*[]"))
            return false;
    }
    return false;
}

static bool looks_binary(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if ((c < 0x20 && !is_blank((char)c) && c != 0x1b) || c == 0x7f)
            return true;
    }
    return false;
}

enum content_kind content_sniff(struct span body)
{
    struct span s = span_sub(body, 0, CONTENT_SNIFF_BYTES);

    if (span_starts(s, SPAN("\xef\xbb\xbf")))
        s = span_sub(s, 3, s.len);
    s = skip_blanks(s);
    if (s.len == 0)
        return body.len > CONTENT_SNIFF_BYTES ? CONTENT_TEXT : CONTENT_EMPTY;
    if (looks_json(s))
        return CONTENT_JSON;
    if (looks_xml(s))
        return CONTENT_XML;
    if (looks_multipart(s))
        return CONTENT_MULTIPART;
    if (looks_form(s))
        return CONTENT_FORM;
    return looks_binary(s) ? CONTENT_BINARY : CONTENT_TEXT;
}
