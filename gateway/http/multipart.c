/*
 * The lines of a multipart body. A line that begins with two dashes and the boundary ends what
 * came before; everything else is the head of a part up to an empty line, then its content.
 */
#include "gateway/http/multipart.h"

#include "gateway/http/multipart_parts.h"

enum { PARTS_FIRST = 8 };
enum state { IN_PREAMBLE, IN_HEAD, AT_CONTENT, IN_CONTENT, IN_DECODING, AT_END, OVER };
/* The value is the number of bytes. */
enum line_end { END_NONE, END_LF, END_CRLF };

const struct multipart_row multipart_rows[MULTIPART_FINDINGS] = {
#define FINDING(name, variable, class, text)                                                   \
    [MULTIPART_##name##_INDEX] = { variable, MULTIPART_CLASS_##class, text },
#include "gateway/http/multipart.def"
#undef FINDING
};

static bool has_class(const struct multipart *m, enum multipart_class class)
{
    for (unsigned i = 0; i < MULTIPART_FINDINGS; i++)
        if ((m->findings >> i & 1) != 0 && multipart_rows[i].class == class)
            return true;
    return false;
}

bool multipart_error(const struct multipart *m)
{
    return has_class(m, MULTIPART_CLASS_ERROR);
}

bool multipart_strict_error(const struct multipart *m)
{
    return multipart_error(m) || has_class(m, MULTIPART_CLASS_STRICT);
}

bool multipart_refused(const struct multipart *m)
{
    return multipart_strict_error(m) || has_class(m, MULTIPART_CLASS_REFUSE);
}

/* ---- parts ---------------------------------------------------------------------------------
 */

static bool push(struct multipart *m)
{
    if (m->count == m->capacity) {
        unsigned capacity = m->capacity == 0 ? PARTS_FIRST : m->capacity * 2;
        struct multipart_part *parts =
            arena_alloc(m->arena, capacity * sizeof(struct multipart_part));
        if (parts == NULL) {
            m->err = ERR_MEMORY;
            return false;
        }
        if (m->count > 0)
            memcpy(parts, m->parts, m->count * sizeof(*parts));
        m->parts = parts;
        m->capacity = capacity;
    }
    m->parts[m->count++] = m->part;
    return true;
}

static void part_begin(struct multipart *m)
{
    m->part = (struct multipart_part){ .named = false };
    m->header_capacity = m->header_bytes = 0;
    m->encoding = PART_PLAIN;
    m->state = IN_HEAD;
}

/* Whether a part is being read: then it ends where the line at `p` begins. */
static bool in_part(const struct multipart *m)
{
    return m->state == IN_HEAD || m->state == AT_CONTENT || m->state == IN_CONTENT;
}

/* The line end before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1). */
static void part_end(struct multipart *m, const char *end, enum line_end before)
{
    if (m->state == IN_HEAD) {
        multipart_find(m, MULTIPART_INVALID_PART);
        if (!multipart_head_end(m))
            return;
        m->content = end;
    } else if (m->state == AT_CONTENT) {
        /* Not even an empty line: mod_security2 takes the delimiter for content then. */
        multipart_find(m, MULTIPART_INVALID_PART);
        m->content = end;
    } else {
        end -= before;
    }
    if (!m->part.named)
        multipart_find(m, MULTIPART_INVALID_PART);
    m->part.content = span_range(m->content, end);
    m->state = IN_DECODING;
}

/* ---- lines ---------------------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void over(struct multipart *m)
{
    m->state = OVER;
}

static void delimiter_line(struct multipart *m, const char *line, bool closing)
{
    enum line_end before = (enum line_end)m->before;

    if (before == END_LF || m->line_end == END_LF)
        multipart_find(m, MULTIPART_LF_LINE);
    if (m->line_end == END_CRLF)
        multipart_find(m, MULTIPART_CRLF_LINE);
    if (closing)
        m->complete = true;
    bool full = !closing && m->count + in_part(m) >= m->limits.parts;
    if (full) {
        multipart_find(m, MULTIPART_OVER_LIMIT);
        multipart_fail(m, "Multipart: Too many parts.");
    }
    if (in_part(m))
        part_end(m, line, before);
    else if (full)
        over(m);
    else if (closing)
        m->state = AT_END;
    else
        part_begin(m);
}

/* A delimiter and what stands behind it; false: it is no delimiter after all. */
static bool delimiter_read(struct multipart *m, struct span line)
{
    struct span rest = span_sub(line, m->boundary.len + 2, line.len);
    bool closing = span_starts(rest, SPAN("--"));

    if (closing)
        rest = span_sub(rest, 2, rest.len);
    if (!closing && m->line_end == END_NONE)
        return false; /* cut short: nothing begins here */
    for (size_t i = 0; i < rest.len; i++)
        if (!is_blank(rest.p[i])) {
            multipart_fail(m, "Multipart: Invalid boundary.");
            return false;
        }
    /* RFC 2046 has padding there; mod_security2 has not, nor has any browser. */
    if (rest.len > 0)
        multipart_fail(m, "Multipart: Invalid boundary.");
    delimiter_line(m, line.p, closing);
    return true;
}

/* Two dashes at the start of a line that is no delimiter: a key in PEM has them, too. */
static void dashes_read(struct multipart *m, struct span line)
{
    struct span rest = span_sub(line, 2, line.len);

    if (rest.len + m->line_end < 2)
        return;
    if ((m->findings & MULTIPART_BOUNDARY_QUOTED) != 0 && rest.p[0] == '"' &&
        span_starts(span_sub(rest, 1, rest.len), m->boundary))
        multipart_fail(m, "Multipart: Invalid boundary (quotes).");
    size_t blanks = 0;
    while (blanks < rest.len && is_blank(rest.p[blanks]))
        blanks++;
    if (blanks > 0 && span_starts(span_sub(rest, blanks, rest.len), m->boundary))
        multipart_fail(m, "Multipart: Invalid boundary (whitespace).");
    multipart_find(m, MULTIPART_UNMATCHED_BOUNDARY);
}

static void head_line(struct multipart *m, struct span line, const char *next)
{
    if (m->line_end != END_NONE)
        multipart_find(m, m->line_end == END_CRLF ? MULTIPART_CRLF_LINE : MULTIPART_LF_LINE);
    if (line.len > 0) {
        if (!multipart_head_line(m, line))
            over(m);
        return;
    }
    if (!multipart_head_end(m))
        over(m);
    else
        m->state = AT_CONTENT;
    m->content = next;
}

/* `line` without its end; `next` is behind that. */
static void line_read(struct multipart *m, struct span line, const char *next)
{
    if (span_starts(line, SPAN("--"))) {
        if (!span_starts(line, span_of(m->delimiter, m->boundary.len + 2)))
            dashes_read(m, line);
        else if (delimiter_read(m, line))
            return;
    }
    switch ((enum state)m->state) {
    case IN_PREAMBLE:
        multipart_find(m, MULTIPART_DATA_BEFORE);
        break;
    case IN_HEAD:
        head_line(m, line, next);
        break;
    case AT_CONTENT:
    case IN_CONTENT:
        m->state = IN_CONTENT;
        break;
    case IN_DECODING:
    case AT_END:
    case OVER:
        break;
    }
}

/* A delimiter within a line is one to careless readers. */
static void seek_unmatched(struct multipart *m, const char *from, const char *to)
{
    size_t len = m->boundary.len + 2;

    if ((m->findings & MULTIPART_BOUNDARY_INSIDE) != 0)
        return;
    if ((size_t)(from - m->p) >= len) /* one may begin in the slice before */
        from -= len - 1;
    else
        from = m->p + 1;
    if (from < to && memmem(from, (size_t)(to - from), m->delimiter, len) != NULL)
        multipart_find(m, MULTIPART_UNMATCHED_BOUNDARY | MULTIPART_BOUNDARY_INSIDE);
}

/* ---- running -------------------------------------------------------------------------------
 */

void multipart_begin(struct multipart *m, struct span type, struct span body,
                     const struct multipart_limits *limits, struct arena *arena)
{
    *m = (struct multipart){ .limits = *limits,
                             .arena = arena,
                             .p = body.p,
                             .sought = body.p,
                             .end = span_end(body),
                             .before = END_NONE };
    if (!multipart_type_read(m, type) || body.len == 0)
        m->state = OVER;
}

/* All lines were read. */
static void finish(struct multipart *m)
{
    if (in_part(m)) {
        multipart_fail(m, "Multipart: Final boundary missing.");
        part_end(m, m->end, END_NONE);
        return;
    }
    if (m->state == IN_PREAMBLE)
        multipart_fail(m, "Multipart: No boundaries found in payload.");
    else if (!m->complete)
        multipart_fail(m, "Multipart: Final boundary missing.");
    over(m);
}

/* Looks for the end of the next line in `bytes` more, and reads it. Answers the bytes taken. */
static size_t line_step(struct multipart *m, size_t bytes)
{
    const char *from = m->sought;
    size_t left = (size_t)(m->end - from);
    size_t slice = left < bytes ? left : bytes;
    const char *lf = memchr(from, '\n', slice);
    const char *to = lf != NULL ? lf : from + slice;

    seek_unmatched(m, from, to);
    m->sought = to;
    if (lf == NULL && to < m->end)
        return slice;

    struct span line = span_range(m->p, to);
    m->line_end = lf == NULL ? END_NONE : END_LF;
    if (lf != NULL && line.len > 0 && line.p[line.len - 1] == '\r') {
        m->line_end = END_CRLF;
        line.len--;
    }
    const char *next = lf != NULL ? lf + 1 : m->end;
    line_read(m, line, next);
    m->p = m->sought = next;
    m->before = m->line_end;
    return (size_t)(next - from);
}

/* The part is whole: the line that ended it begins another, or the end. */
static void part_finish(struct multipart *m)
{
    if (!push(m) || (m->findings & MULTIPART_OVER_LIMIT) != 0)
        over(m);
    else if (m->complete)
        m->state = AT_END;
    else if (m->p == m->end)
        finish(m);
    else
        part_begin(m);
}

static void end_line_forms(struct multipart *m)
{
    unsigned both = MULTIPART_LF_LINE | MULTIPART_CRLF_LINE;

    if ((m->findings & both) == both)
        multipart_find(m, MULTIPART_CRLF_LF_LINES);
}

bool multipart_run(struct multipart *m, size_t bytes)
{
    size_t left = bytes;

    while (m->err == OK && m->state != OVER) {
        if (left == 0)
            return false;
        if (m->state == IN_DECODING) {
            /* Decoding is the dearest: a slice ends with it. */
            if (!multipart_decode(m, left))
                return false;
            part_finish(m);
        } else if (m->state == AT_END) {
            if (m->p < m->end)
                multipart_find(m, MULTIPART_DATA_AFTER);
            over(m);
        } else if (m->p == m->end) {
            finish(m);
        } else {
            size_t taken = line_step(m, left);
            left -= taken < left ? taken : left;
        }
    }
    end_line_forms(m);
    return true;
}
