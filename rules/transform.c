/*
 * The transformations of `waf.rules`. SecLang's are in rules/transform/.
 */
#include "rules/transform.h"

#include "rules/transform/drive.h"

/* UTF-8 as if surrogates were characters: what matters is that different points stay different.
 */
static char *put_point(char *out, uint32_t point)
{
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
        *out++ = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *out++ = (char)(0xe0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    } else {
        *out++ = (char)(0xf0 | point >> 18);
        *out++ = (char)(0x80 | (point >> 12 & 0x3f));
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    }
    return out;
}

/* ---- url_decode -----------------------------------------------------------------------------
 */

static size_t url_step(const char *p, const char *end, char **out)
{
    if (*p == '+') {
        *(*out)++ = ' ';
        return 1;
    }
    if (*p != '%' || end - p < 3)
        return 0;
    if (p[1] == 'u' || p[1] == 'U') {
        int32_t point = fixed_hex(p + 2, end, 4);
        if (point < 0)
            return 0;
        /* Full-width forms: IIS maps them to ASCII ("best fit"). */
        if (point >= 0xff01 && point <= 0xff5e)
            point -= 0xfee0;
        *out = put_point(*out, (uint32_t)point);
        return 6;
    }
    int32_t byte = fixed_hex(p + 1, end, 2);
    if (byte < 0)
        return 0;
    *(*out)++ = (char)byte;
    return 3;
}

static struct span url_decode(struct span in, char *room)
{
    return drive(in, room, url_step);
}

/* ---- html_decode ----------------------------------------------------------------------------
 */

/* Those that can hide markup, script or a quote. `bare`: browsers do not ask for the semicolon.
 */
static const struct {
    struct span name;
    uint16_t point;
    bool bare;
} entities[] = {
    { SPAN_INIT("lt"), '<', true },      { SPAN_INIT("gt"), '>', true },
    { SPAN_INIT("amp"), '&', true },     { SPAN_INIT("quot"), '"', true },
    { SPAN_INIT("LT"), '<', true },      { SPAN_INIT("GT"), '>', true },
    { SPAN_INIT("AMP"), '&', true },     { SPAN_INIT("QUOT"), '"', true },
    { SPAN_INIT("nbsp"), 0xa0, true },   { SPAN_INIT("apos"), '\'', false },
    { SPAN_INIT("Tab"), '\t', false },   { SPAN_INIT("NewLine"), '\n', false },
    { SPAN_INIT("colon"), ':', false },  { SPAN_INIT("semi"), ';', false },
    { SPAN_INIT("lpar"), '(', false },   { SPAN_INIT("rpar"), ')', false },
    { SPAN_INIT("lsqb"), '[', false },   { SPAN_INIT("lbrack"), '[', false },
    { SPAN_INIT("rsqb"), ']', false },   { SPAN_INIT("rbrack"), ']', false },
    { SPAN_INIT("lcub"), '{', false },   { SPAN_INIT("rcub"), '}', false },
    { SPAN_INIT("grave"), '`', false },  { SPAN_INIT("sol"), '/', false },
    { SPAN_INIT("bsol"), '\\', false },  { SPAN_INIT("equals"), '=', false },
    { SPAN_INIT("num"), '#', false },    { SPAN_INIT("percnt"), '%', false },
    { SPAN_INIT("plus"), '+', false },   { SPAN_INIT("comma"), ',', false },
    { SPAN_INIT("period"), '.', false }, { SPAN_INIT("excl"), '!', false },
    { SPAN_INIT("quest"), '?', false },  { SPAN_INIT("dollar"), '$', false },
    { SPAN_INIT("commat"), '@', false }, { SPAN_INIT("lowbar"), '_', false },
    { SPAN_INIT("verbar"), '|', false },
};

/* &#60; &#060 &#x3c: leading zeros without end, as browsers read them (and some filters did
 * not). */
static size_t numeric_entity(const char *p, const char *end, char **out)
{
    const char *at = p + 2;
    bool hex = at < end && (*at == 'x' || *at == 'X');
    at += hex;
    uint32_t point = 0;
    const char *digits = at;
    for (; at < end; at++) {
        int digit = hex_value(*at);
        if (digit < 0 || (!hex && digit > 9))
            break;
        point = point * (hex ? 16 : 10) + (uint32_t)digit;
        if (point > 0x10ffff)
            return 0;
    }
    if (at == digits)
        return 0;
    *out = put_point(*out, point);
    return (size_t)(at - p) + (at < end && *at == ';');
}

static size_t html_step(const char *p, const char *end, char **out)
{
    if (*p != '&' || end - p < 3)
        return 0;
    if (p[1] == '#')
        return numeric_entity(p, end, out);
    struct span rest = span_range(p + 1, end);
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        struct span name = entities[i].name;
        if (!span_starts(rest, name))
            continue;
        bool closed = rest.len > name.len && rest.p[name.len] == ';';
        if (!closed && !entities[i].bare)
            continue;
        *out = put_point(*out, entities[i].point);
        return 1 + name.len + closed;
    }
    return 0;
}

static struct span html_decode(struct span in, char *room)
{
    return drive_from(in, room, '&', html_step);
}

/* ---- js_decode ------------------------------------------------------------------------------
 */

/* \u0027 and \u{27} */
static size_t js_unicode(const char *p, const char *end, char **out)
{
    int32_t point = fixed_hex(p + 2, end, 4);
    if (point >= 0) {
        *out = put_point(*out, (uint32_t)point);
        return 6;
    }
    if (end - p < 5 || p[2] != '{')
        return 0;
    const char *at = p + 3;
    uint32_t value = 0;
    for (; at < end && hex_value(*at) >= 0 && value <= 0x10ffff; at++)
        value = value << 4 | (uint32_t)hex_value(*at);
    if (at == p + 3 || at == end || *at != '}' || value > 0x10ffff)
        return 0;
    *out = put_point(*out, value);
    return (size_t)(at - p) + 1;
}

/* \47, \047: up to three digits while the value is a byte. */
static size_t js_octal(const char *p, const char *end, char **out)
{
    unsigned value = 0;
    const char *at = p + 1;
    for (; at < end && at - p <= 3 && *at >= '0' && *at <= '7' && value < 32; at++)
        value = value << 3 | (unsigned)(*at - '0');
    *(*out)++ = (char)value;
    return (size_t)(at - p);
}

static size_t js_step(const char *p, const char *end, char **out)
{
    static const char letters[] = "bfnrtv", controls[] = "\b\f\n\r\t\v";
    if (*p != '\\' || end - p < 2)
        return 0;
    if (p[1] == 'u') {
        size_t taken = js_unicode(p, end, out);
        if (taken != 0)
            return taken;
    }
    if (p[1] == 'x') {
        int32_t byte = fixed_hex(p + 2, end, 2);
        if (byte >= 0) {
            *(*out)++ = (char)byte;
            return 4;
        }
    }
    if (p[1] >= '0' && p[1] <= '7')
        return js_octal(p, end, out);
    if (p[1] == '\n') /* a continued line */
        return 2;
    const char *letter = p[1] != '\0' ? strchr(letters, p[1]) : NULL;
    *(*out)++ = letter != NULL ? controls[letter - letters] : p[1];
    return 2;
}

static struct span js_decode(struct span in, char *room)
{
    return drive_from(in, room, '\\', js_step);
}

/* ---- remove_comments, remove_nulls, lowercase -----------------------------------------------
 */

/*
 * Each comment becomes one space, which is what it is to SQL. What stands in a version comment
 * of MySQL is executed, so only its brackets go: slash, star, `!` and up to six digits.
 */
static size_t comment_step(const char *p, const char *end, char **out)
{
    if (end - p < 2)
        return 0;
    bool opens = p[0] == '/' && p[1] == '*';
    if (!opens && !(p[0] == '*' && p[1] == '/'))
        return 0;
    *(*out)++ = ' ';
    if (!opens)
        return 2;
    if (end - p > 2 && p[2] == '!') {
        const char *at = p + 3;
        while (at < end && at - p < 9 && *at >= '0' && *at <= '9')
            at++;
        return (size_t)(at - p);
    }
    const char *closing = memmem(p + 2, (size_t)(end - p) - 2, "*/", 2);
    return closing == NULL ? (size_t)(end - p) : (size_t)(closing - p) + 2;
}

static struct span remove_comments(struct span in, char *room)
{
    return drive(in, room, comment_step);
}

static size_t null_step(const char *p, const char *end, char **out)
{
    (void)end, (void)out;
    return *p == '\0';
}

static struct span remove_nulls(struct span in, char *room)
{
    return drive_from(in, room, '\0', null_step);
}

static size_t lower_step(const char *p, const char *end, char **out)
{
    (void)end;
    if (*p < 'A' || *p > 'Z')
        return 0;
    *(*out)++ = ascii_lower(*p);
    return 1;
}

static struct span lowercase(struct span in, char *room)
{
    return drive(in, room, lower_step);
}

/* ---- compress_whitespace --------------------------------------------------------------------
 */

/*
 * Length of the white space at `p`: ASCII's, a no-break space in UTF-8, or that of Latin-1
 * (which MySQL takes) where it cannot be the tail of a UTF-8 character. `joined`: a byte that
 * may be the first part of a character stands right before.
 */
static size_t space_at(const char *p, const char *end, bool joined)
{
    if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
        return 1;
    if (end - p >= 2 && (uint8_t)p[0] == 0xc2 && (uint8_t)p[1] == 0xa0)
        return 2;
    return (uint8_t)*p == 0xa0 && !joined;
}

static struct span compress_whitespace(struct span in, char *room)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    bool joined = false;
    while (p < end) {
        size_t space = space_at(p, end, joined);
        if (space == 0) {
            joined = (uint8_t)*p >= 0x80;
            *out++ = *p++;
            continue;
        }
        joined = false;
        p += space;
        if (out == room || out[-1] != ' ')
            *out++ = ' ';
    }
    return made(in, room, out);
}

/* ---- normalize_path -------------------------------------------------------------------------
 */

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

/* Where the last of the segments that end at `out` begins; they start at `floor`. */
static char *last_segment(char *floor, char *out)
{
    char *at = out - 1; /* behind it stands a slash */
    while (at > floor && at[-1] != '/')
        at--;
    return at;
}

/*
 * Backslashes are slashes, runs of slashes one, `.` segments go, and `..` takes its parent
 * away. At the root `..` stands for the root; in a relative path it stays.
 */
static struct span normalize_path(struct span in, char *room)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    if (p < end && is_slash(*p)) {
        *out++ = '/';
        p++;
    }
    char *floor = out;
    bool absolute = out != room;
    while (p < end) {
        const char *from = p;
        while (p < end && !is_slash(*p))
            p++;
        struct span segment = span_range(from, p);
        bool slash = p < end;
        p += slash;
        if (segment.len == 0 || span_equal(segment, SPAN(".")))
            continue;
        if (span_equal(segment, SPAN(".."))) {
            char *last = out > floor ? last_segment(floor, out) : out;
            bool climbs = out - last == 3 && last[0] == '.' && last[1] == '.';
            if (out > floor && !climbs) {
                out = last;
                continue;
            }
            if (absolute)
                continue;
        }
        memcpy(out, segment.p, segment.len);
        out += segment.len;
        if (slash)
            *out++ = '/';
    }
    return made(in, room, out);
}

/* ---- text_runs ------------------------------------------------------------------------------
 */

enum { BYTE_TEXT = 1, BYTE_BINARY = 2 }; /* others, those of UTF-8 among them, are neither */

static inline unsigned byte_kind(uint8_t c)
{
    if ((c >= 0x20 && c < 0x7f) || (c >= '\t' && c <= '\r') || c == 0xa0)
        return BYTE_TEXT; /* 0xa0 separates words in MySQL */
    return c < 0x20 || c == 0x7f ? BYTE_BINARY : 0;
}

struct span text_runs(struct span in, char *room)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    bool binary = false;
    while (p < end) {
        const char *from = p;
        while (p < end && (byte_kind((uint8_t)*p) & BYTE_TEXT) != 0)
            p++;
        if (p - from >= TEXT_RUN_MIN) {
            if (out != room)
                *out++ = 1;
            memcpy(out, from, (size_t)(p - from));
            out += p - from;
        }
        for (; p < end && (byte_kind((uint8_t)*p) & BYTE_TEXT) == 0; p++)
            binary |= (byte_kind((uint8_t)*p) & BYTE_BINARY) != 0;
    }
    return binary ? span_range(room, out) : in;
}

/* ---- the table ------------------------------------------------------------------------------
 */

const struct transform transforms[] = {
    { .name = "none", .times = 0, .idempotent = true, .help = "The value as it came." },
    { .name = "url_decode",
      .triggers = TRAIT_ESCAPE,
      .times = 3,
      .apply = url_decode,
      .help =
          "Percent-escapes (also `%uHHHH`; full-width forms as ASCII) and `+` decoded, up to "
          "three times, each layer looked at." },
    { .name = "lowercase",
      .triggers = TRAIT_UPPER,
      .times = 1,
      .idempotent = true,
      .apply = lowercase,
      .help =
          "ASCII letters in lower case. At the end of the list it costs nothing: the patterns "
          "then take either case." },
    { .name = "html_decode",
      .triggers = TRAIT_AMPERSAND,
      .times = 1,
      .apply = html_decode,
      .help = "HTML's numeric character references, and those by name that stand for ASCII." },
    { .name = "js_decode",
      .triggers = TRAIT_BACKSLASH,
      .times = 1,
      .apply = js_decode,
      .help = "Escapes of JavaScript and JSON: `\\u0027`, `\\u{27}`, `\\x27`, `\\47`, `\\n`, "
              "`\\'`." },
    { .name = "compress_whitespace",
      .triggers = TRAIT_SPACE,
      .times = 1,
      .idempotent = true,
      .apply = compress_whitespace,
      .help = "Runs of white space (also no-break spaces) as one space." },
    { .name = "remove_nulls",
      .triggers = TRAIT_NUL,
      .times = 1,
      .idempotent = true,
      .apply = remove_nulls,
      .help = "NUL bytes taken out." },
    { .name = "remove_comments",
      .triggers = TRAIT_STAR,
      .times = 1,
      .idempotent = true,
      .apply = remove_comments,
      .help =
          "SQL's `/* */` comments as one space; what a MySQL version comment holds stays." },
    { .name = "normalize_path",
      .triggers = TRAIT_PATH | TRAIT_BACKSLASH,
      .times = 1,
      .idempotent = true,
      .apply = normalize_path,
      .help = "Backslashes as slashes, no empty and `.` segments, `..` resolved." },
    { .name = NULL },
};

const struct transform *transform_find(struct span name)
{
    for (const struct transform *row = transforms; row->name != NULL; row++) {
        if (span_equal(name, span_text(row->name)))
            return row;
    }
    return NULL;
}
