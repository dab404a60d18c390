/*
 * The JSON writer under any bytes. The line is one line of valid UTF-8 without a control or
 * hidden character; jansson reads it; and what it reads is what went in, with each byte that
 * was not UTF-8 as the code point of its value. Input: the first byte picks the room for the
 * line.
 */
#include <jansson.h>
#include <stdlib.h>

#include "gateway/base/json.h"

static void check_line(struct span line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.p[i];
        INVARIANT(c >= 0x20 && c != 0x7f);
        /* U+0080-9F, U+2028-202E and U+FEFF, as they would stand raw */
        INVARIANT(c != 0xc2 || (unsigned char)line.p[i + 1] >= 0xa0);
        INVARIANT(c != 0xe2 || (unsigned char)line.p[i + 1] != 0x80 ||
                  (unsigned char)line.p[i + 2] < 0xa8 || (unsigned char)line.p[i + 2] > 0xae);
        INVARIANT(span_find(span_sub(line, i, 3), SPAN("\xef\xbb\xbf")) < 0);
    }
}

/* A plain second reading of RFC 3629, one code point at a time. */
static size_t decode(const uint8_t *p, size_t left, uint32_t *point)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = p[0] < 0x80       ? 1
                 : p[0] >> 5 == 6  ? 2
                 : p[0] >> 4 == 14 ? 3
                 : p[0] >> 3 == 30 ? 4
                                   : 0;
    *point = len < 2 ? p[0] : p[0] & (0xffu >> (len + 1));
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        *point = *point << 6 | (p[i] & 0x3fu);
    }
    bool good =
        *point >= least[len] && *point <= 0x10ffff && (*point < 0xd800 || *point > 0xdfff);
    return good ? len : 0;
}

static void check_value(const json_t *string, const uint8_t *data, size_t size)
{
    INVARIANT(json_is_string(string));
    const uint8_t *got = (const uint8_t *)json_string_value(string);
    size_t left = json_string_length(string);
    while (size > 0) {
        uint32_t sent, seen;
        size_t len = decode(data, size, &sent);
        if (len == 0) {
            sent = *data;
            len = 1;
        }
        size_t seen_len = decode(got, left, &seen);
        INVARIANT(seen_len > 0 && seen == sent);
        data += len;
        size -= len;
        got += seen_len;
        left -= seen_len;
    }
    INVARIANT(left == 0);
}

static void write_line(struct text *out, struct span value)
{
    struct json j = json_writer(out);
    json_begin_object(&j, NULL);
    json_text(&j, "value", value);
    json_begin_array(&j, "list");
    json_text(&j, NULL, value);
    json_int(&j, NULL, -1);
    json_end_array(&j);
    json_key(&j, value);
    json_bool(&j, NULL, true);
    json_end_object(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1024)
        return 0;
    size_t room = (size_t)data[0] * 8;
    data++;
    size--;
    struct span value = span_of((const char *)data, size);

    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    struct text whole = text_growing(&arena, 0);
    write_line(&whole, value);
    INVARIANT(!whole.overflow);
    check_line(text_span(&whole));

    json_error_t error;
    json_t *root = json_loadb(whole.p, whole.len, JSON_ALLOW_NUL, &error);
    /* jansson takes no NUL in a key, which is its limit and not the format's. */
    INVARIANT(root != NULL || memchr(data, 0, size) != NULL);
    if (root != NULL) {
        check_value(json_object_get(root, "value"), data, size);
        check_value(json_array_get(json_object_get(root, "list"), 0), data, size);
        json_decref(root);
    }

    /* In less room: the same bytes up to where it stopped, and the overflow is known. */
    char *buffer = malloc(room + 1);
    INVARIANT(buffer != NULL);
    struct text part = text_fixed(buffer, room);
    write_line(&part, value);
    INVARIANT(part.overflow == (whole.len > room));
    INVARIANT(span_starts(text_span(&whole), text_span(&part)));
    free(buffer);
    arena_reset(&arena);
    return 0;
}
