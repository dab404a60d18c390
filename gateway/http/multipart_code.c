/*
 * Content transfer encodings of parts (RFC 2045 section 6.7 and 6.8). RFC 7578 has done away
 * with them; some frameworks decode nevertheless, and a payload behind base64 is unseen.
 *
 * Both decoders are lenient, as those frameworks are: bytes that are not of the alphabet are
 * passed over.
 */
#include "gateway/http/multipart_parts.h"

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    /* The alphabet for URLs (RFC 4648 section 5) means the same. */
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static void base64_run(struct multipart *m, char *out, const char *stop)
{
    size_t len = m->part.decoded.len;

    for (; m->undecoded < stop; m->undecoded++) {
        int value = base64_value(*m->undecoded);
        if (value < 0) {
            /* Padding ends a text; another may follow. */
            if (*m->undecoded == '=')
                m->bit_count = 0;
            continue;
        }
        m->bits = m->bits << 6 | (uint32_t)value;
        m->bit_count = (uint8_t)(m->bit_count + 6);
        if (m->bit_count >= 8) {
            m->bit_count = (uint8_t)(m->bit_count - 8);
            out[len++] = (char)(uint8_t)(m->bits >> m->bit_count);
        }
    }
    m->part.decoded.len = len;
}

static void quoted_run(struct multipart *m, char *out, const char *stop, const char *end)
{
    size_t len = m->part.decoded.len;
    const char *p = m->undecoded;

    while (p < stop) {
        if (*p != '=') {
            out[len++] = *p++;
            continue;
        }
        int high = end - p > 2 ? hex_value(p[1]) : -1, low = end - p > 2 ? hex_value(p[2]) : -1;
        if (high >= 0 && low >= 0) {
            out[len++] = (char)(uint8_t)(high << 4 | low);
            p += 3;
        } else if (end - p > 2 && p[1] == '\r' && p[2] == '\n') {
            p += 3; /* a soft line break */
        } else if (end - p > 1 && p[1] == '\n') {
            p += 2;
        } else {
            out[len++] = *p++;
        }
    }
    m->undecoded = p;
    m->part.decoded.len = len;
}

bool multipart_decode(struct multipart *m, size_t bytes)
{
    struct multipart_part *part = &m->part;
    const char *end = span_end(part->content);

    if (part->content.len == 0 || (m->encoding != PART_BASE64 && m->encoding != PART_QUOTED))
        return true;
    if (part->decoded.p == NULL) {
        m->decoding = arena_alloc(m->arena, part->content.len);
        if (m->decoding == NULL) {
            m->err = ERR_MEMORY;
            return true;
        }
        part->decoded = span_of(m->decoding, 0);
        m->undecoded = part->content.p;
        m->bits = m->bit_count = 0;
    }
    const char *stop = (size_t)(end - m->undecoded) > bytes ? m->undecoded + bytes : end;
    if (m->encoding == PART_BASE64)
        base64_run(m, m->decoding, stop);
    else
        quoted_run(m, m->decoding, stop, end);
    return m->undecoded >= end;
}
