/*
 * JSON writer over a text. The caller opens and closes; commas are ours. Strings are escaped so
 * that a line is always one valid, printable UTF-8 line (RFC 8259): control characters, DEL,
 * U+2028/9, invisible and reordering characters and invalid UTF-8 bytes never come out raw (an
 * invalid byte becomes \u00XX of its value).
 *
 * The names keep clear of those of jansson, which both headers and the linker would confuse.
 */
#ifndef SALLYPORT_JSON_H
#define SALLYPORT_JSON_H

#include "gateway/base/text.h"

enum { JSON_DEPTH_MAX = 16 };

struct json {
    struct text *out;
    bool comma[JSON_DEPTH_MAX]; /* something stands at this depth */
    unsigned depth;
};

struct json json_writer(struct text *out);
/* `key` is NULL in an array and at the top. Keys are our own constants. */
void json_begin_object(struct json *j, const char *key);
void json_begin_array(struct json *j, const char *key);
void json_end_object(struct json *j);
void json_end_array(struct json *j);
void json_text(struct json *j, const char *key, struct span value);
void json_uint(struct json *j, const char *key, uint64_t value);
void json_int(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
/* A key that is data: escaped as a string is. The next call passes NULL as key. */
void json_key(struct json *j, struct span key);

/* The string escape alone, without the quotes. */
void json_escape(struct text *out, struct span value);

#endif
