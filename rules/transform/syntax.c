/*
 * SecLang's transformations that know a little of a language: comments of SQL, HTML and C,
 * command lines, names of PHP's variables.
 */
#include "rules/transform/blocks.h"
#include "rules/transform/drive.h"
#include "rules/transform/rows.h"

/* Most bytes are told by the first. */
static inline bool starts(const char *p, const char *end, struct span text)
{
    return *p == *text.p && (size_t)(end - p) >= text.len && memcmp(p, text.p, text.len) == 0;
}

/* ---- comments -------------------------------------------------------------------------------
 */

static size_t replace_step(const char *p, const char *end, char **out)
{
    if (!starts(p, end, SPAN("/*")))
        return 0;
    *(*out)++ = ' ';
    const char *closing = memmem(p + 2, (size_t)(end - p) - 2, "*/", 2);
    return (size_t)((closing != NULL ? closing + 2 : end) - p);
}

struct span sec_replace_comments(struct span in, char *room)
{
    return drive_from(in, room, '/', replace_step);
}

/* The longer ones first. */
static const struct span comment_marks[] = {
    SPAN_INIT("<!--"), SPAN_INIT("-->"), SPAN_INIT("/*"),
    SPAN_INIT("*/"),   SPAN_INIT("--"),  SPAN_INIT("#"),
};

static size_t mark_step(const char *p, const char *end, char **out)
{
    (void)out;
    if (*p != '-' && *p != '/' && *p != '*' && *p != '<' && *p != '#')
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(comment_marks); i++) {
        if (starts(p, end, comment_marks[i]))
            return comment_marks[i].len;
    }
    return 0;
}

struct span sec_remove_comments_char(struct span in, char *room)
{
    return drive(in, room, mark_step);
}

/* Where what was opened before `p` ends: behind its close, or NULL. Either close will do. */
static const char *comment_end(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (starts(p, end, SPAN("*/")))
            return p + 2;
        if (starts(p, end, SPAN("-->")))
            return p + 3;
    }
    return NULL;
}

/*
 * As mod_security2 does it, which its tests expect to the byte: the byte behind a comment is
 * copied unseen, a NUL where there is none; `--` and `#` end the value; a comment that is not
 * closed becomes a space.
 */
struct span sec_remove_comments(struct span in, char *room)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    while (p < end) {
        bool html = starts(p, end, SPAN("<!--"));
        if (html || starts(p, end, SPAN("/*"))) {
            p = comment_end(p + (html ? 4 : 2), end);
            if (p == NULL) {
                *out++ = ' ';
                break;
            }
            *out++ = p < end ? *p : '\0';
            p++;
        } else if (*p == '#' || starts(p, end, SPAN("--"))) {
            break;
        } else {
            *out++ = *p++;
        }
    }
    return made(in, room, out);
}

/* ---- cmdLine --------------------------------------------------------------------------------
 */

/*
 * What shells do not see goes: quotes, backslashes and carets; runs of white space, commas and
 * semicolons are one space, none before a slash or a parenthesis; letters in lower case.
 */
enum { /* of bytes with that high half */
       BLANK_0 = 1 << 0,
       BLANK_2 = 1 << 1,
       BLANK_3 = 1 << 2,
       GOES_2 = 1 << 3,
       GOES_5 = 1 << 4,
       BARE_2 = 1 << 5, /* no blank before it */
       BLANK = BLANK_0 | BLANK_2 | BLANK_3,
       GOES = GOES_2 | GOES_5,
};
static const uint8_t shell_rows[16] = {
    [0x0] = BLANK_2,          /* space */
    [0x2] = GOES_2,           /* " */
    [0x7] = GOES_2,           /* ' */
    [0x8] = BARE_2,           /* ( */
    [0x9] = BLANK_0,          /* tab */
    [0xa] = BLANK_0,          /* LF */
    [0xb] = BLANK_3,          /* ; */
    [0xc] = BLANK_2 | GOES_5, /* , and backslash */
    [0xd] = BLANK_0,          /* CR */
    [0xe] = GOES_5,           /* ^ */
    [0xf] = BARE_2,           /* slash */
};
static const uint8_t shell_columns[16] = {
    [0x0] = BLANK_0,
    [0x2] = BLANK_2 | GOES_2 | BARE_2,
    [0x3] = BLANK_3,
    [0x5] = GOES_5,
};

static inline __m128i has(__m128i classes, char bits)
{
    return _mm_cmpgt_epi8(_mm_and_si128(classes, _mm_set1_epi8(bits)), _mm_setzero_si128());
}

/*
 * Of each run the blank stays that came first, unless what follows has none before it. That
 * may have been the last byte of those before.
 */
static inline unsigned blanks_before(unsigned bare, unsigned stays, char **out)
{
    unsigned gone = 0;
    for (; bare != 0; bare &= bare - 1) {
        unsigned before = stays & ((bare & -bare) - 1);
        if (before != 0)
            gone |= 1u << (31 - (unsigned)__builtin_clz(before));
        else
            (*out)--;
    }
    return gone;
}

static inline struct span cmd_line(struct span in, char *room, bool lower)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    unsigned after = 0; /* the highest bit: `out` ends with a blank that a run left */
    __m128i changed = _mm_setzero_si128();
    for (size_t len; p < end; p += len) {
        len = part_len(p, end);
        __m128i bytes = load_part(p, len), made = lower ? lower16(bytes) : bytes;
        __m128i classes = classes16(bytes, shell_rows, shell_columns);
        __m128i blank = has(classes, BLANK);
        unsigned blanks = mask16(blank), gone = mask16(has(classes, GOES));
        after = behind_blanks(blanks, gone, after >> BLOCK);
        unsigned bare = mask16(has(classes, BARE_2)) & after;
        gone |= (blanks & after) | blanks_before(bare, blanks & ~after, &out);
        made = choose16(blank, _mm_set1_epi8(' '), made);
        changed = _mm_or_si128(changed, _mm_xor_si128(made, bytes));
        out = put_without(out, made, gone, len);
    }
    return made_of(in, room, out, changed);
}

struct span sec_cmd_line(struct span in, char *room)
{
    return cmd_line(in, room, true);
}

struct span sec_cmd_line_cased(struct span in, char *room)
{
    return cmd_line(in, room, false);
}

/* ---- phpArgsNames ---------------------------------------------------------------------------
 */

/*
 * One index, `[x]`, at `*p`: copied without the white space of an empty one. False: it is not
 * closed, and nothing was copied.
 */
static bool php_index(const char **p, const char *end, char **out)
{
    const char *at = *p + 1;
    const char *closing = at < end ? memchr(at, ']', (size_t)(end - at)) : NULL;
    if (closing == NULL)
        return false;
    if (closing == at + 1 && is_white(*at))
        at = closing;
    *(*out)++ = '[';
    memcpy(*out, at, (size_t)(closing - at));
    *out += closing - at;
    *(*out)++ = ']';
    *p = closing + 1;
    return true;
}

/*
 * The name under which PHP files an argument: spaces before it go, space and dot in it are
 * underscores, what is behind the last index goes, and a bracket that is not closed is an
 * underscore. Without a name there is no variable.
 */
struct span sec_php_args_names(struct span in, char *room)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    while (p < end && *p == ' ')
        p++;
    for (; p < end && *p != '['; p++)
        *out++ = *p == ' ' || *p == '.' ? '_' : *p;
    if (p == end || out == room)
        return made(in, room, out);
    if (!php_index(&p, end, &out)) {
        *out++ = '_';
        p++;
        if (p < end)
            memcpy(out, p, (size_t)(end - p));
        out += end - p;
        return made(in, room, out);
    }
    while (p < end && *p == '[' && php_index(&p, end, &out))
        continue;
    return made(in, room, out);
}
