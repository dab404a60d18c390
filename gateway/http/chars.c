/* The class of each byte; see chars.h. Written by hand from RFC 9110 and RFC 3986. */
#include "gateway/http/chars.h"

#define NAME (CHAR_TOKEN | CHAR_VALUE | CHAR_PATH | CHAR_QUERY | CHAR_UNRESERVED | CHAR_HOST)
#define TOKEN_SUB (CHAR_TOKEN | CHAR_VALUE | CHAR_PATH | CHAR_QUERY)
#define SUB (CHAR_VALUE | CHAR_PATH | CHAR_QUERY)
#define RAW (CHAR_VALUE | CHAR_QUERY)

const uint8_t char_classes[256] = {
    ['\t'] = CHAR_VALUE,
    [' '] = CHAR_VALUE,
    ['!'] = TOKEN_SUB,
    ['"'] = RAW,
    ['#'] = CHAR_TOKEN | CHAR_VALUE,
    ['$'] = TOKEN_SUB,
    ['%'] = CHAR_TOKEN | RAW,
    ['&'] = TOKEN_SUB,
    ['\''] = TOKEN_SUB,
    ['('] = SUB,
    [')'] = SUB,
    ['*'] = TOKEN_SUB,
    ['+'] = TOKEN_SUB,
    [','] = SUB,
    ['-'] = NAME,
    ['.'] = NAME,
    ['/'] = SUB,
    ['0' ... '9'] = NAME,
    [':'] = SUB,
    [';'] = SUB,
    ['<'] = CHAR_VALUE,
    ['='] = SUB,
    ['>'] = CHAR_VALUE,
    ['?'] = RAW,
    ['@'] = SUB,
    ['A' ... 'Z'] = NAME,
    ['['] = RAW,
    ['\\'] = CHAR_VALUE,
    [']'] = RAW,
    ['^'] = CHAR_TOKEN | RAW,
    ['_'] = NAME,
    ['`'] = CHAR_TOKEN | RAW,
    ['a' ... 'z'] = NAME,
    ['{'] = RAW,
    ['|'] = CHAR_TOKEN | RAW,
    ['}'] = RAW,
    ['~'] = NAME,
    [0x80 ... 0xff] = CHAR_VALUE,
};
