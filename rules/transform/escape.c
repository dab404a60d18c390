/*
 * SecLang's decoders of backslashes: JavaScript, CSS, and C as a shell's $'...' has it.
 */
#include "rules/transform/drive.h"
#include "rules/transform/rows.h"

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* The octal digits at `p`, at most three. */
static size_t octal_digits(const char *p, const char *end, unsigned *value)
{
    size_t count = 0;
    *value = 0;
    for (; count < 3 && (size_t)(end - p) > count && is_octal(p[count]); count++)
        *value = *value << 3 | (unsigned)(p[count] - '0');
    return count;
}

/* \a \b \f \n \r \t \v; any other character stands for itself. */
static char control_of(char c)
{
    static const char letters[] = "abfnrtv", controls[] = "\a\b\f\n\r\t\v";
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    return letter != NULL ? controls[letter - letters] : c;
}

/* ---- jsDecode -------------------------------------------------------------------------------
 */

static size_t js_step(const char *p, const char *end, char **out)
{
    int32_t value = -1;
    unsigned octal;
    if (end - p < 2)
        return 0;
    if (p[1] == 'u' && (value = fixed_hex(p + 2, end, 4)) >= 0) {
        *(*out)++ = low_byte(value);
        return 6;
    }
    if (p[1] == 'x' && (value = fixed_hex(p + 2, end, 2)) >= 0) {
        *(*out)++ = (char)value;
        return 4;
    }
    size_t digits = octal_digits(p + 1, end, &octal);
    if (digits == 3 && octal > 0xff) {
        digits = 2;
        octal >>= 3;
    }
    *(*out)++ = digits > 0 ? (char)octal : control_of(p[1]);
    return 1 + (digits > 0 ? digits : 1);
}

struct span sec_js_decode(struct span in, char *room)
{
    return drive_from(in, room, '\\', js_step);
}

/* ---- escapeSeqDecode ------------------------------------------------------------------------
 */

static size_t escape_step(const char *p, const char *end, char **out)
{
    int32_t value = -1;
    unsigned octal;
    if (end - p < 2)
        return 0;
    if ((p[1] == 'x' || p[1] == 'X') && (value = fixed_hex(p + 2, end, 2)) >= 0) {
        *(*out)++ = (char)value;
        return 4;
    }
    size_t digits = octal_digits(p + 1, end, &octal);
    *(*out)++ = digits > 0 ? (char)(octal & 0xff) : control_of(p[1]);
    return 1 + (digits > 0 ? digits : 1);
}

struct span sec_escape_seq_decode(struct span in, char *room)
{
    return drive_from(in, room, '\\', escape_step);
}

/* ---- cssDecode ------------------------------------------------------------------------------
 */

/*
 * CSS 2.1, 4.1.3: up to six digits, then one white space. Only the low byte is kept; U+FF01 to
 * U+FF5E become ASCII, with leading zeros or without.
 */
static size_t css_step(const char *p, const char *end, char **out)
{
    int32_t value = 0;
    const char *at = p + 1;
    for (; at < end && at - p <= 6 && hex_value(*at) >= 0; at++)
        value = value << 4 | hex_value(*at);
    size_t digits = (size_t)(at - p) - 1;
    if (digits > 0) {
        *(*out)++ = low_byte(value);
        return 1 + digits + (at < end && is_white(*at));
    }
    if (at == end) /* a backslash at the end goes */
        return 1;
    if (*at != '\n') /* so does a line that is continued */
        *(*out)++ = *at;
    return 2;
}

struct span sec_css_decode(struct span in, char *room)
{
    return drive_from(in, room, '\\', css_step);
}
