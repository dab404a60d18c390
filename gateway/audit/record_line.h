/*
 * How an audit line is written: values with their caps, names, addresses, secrets left out.
 * Private to record*.c.
 */
#ifndef SALLYPORT_RECORD_LINE_H
#define SALLYPORT_RECORD_LINE_H

#include "gateway/audit/record.h"

/* Caps in bytes of output: a name of the configuration; one of a field, or of a place. */
enum { LINE_NAME_MAX = 256, LINE_FIELD_MAX = 256 };

struct line {
    struct text *out;
    size_t start;
    const struct redaction *redaction;
    const char *cut[16]; /* names of values that were cut */
    unsigned cut_count;
};

#define MEMBER(out, name) text_lit((out), "\"" name "\":")
#define OBJECT(out, name) text_lit((out), "\"" name "\":{")

/* A bracket in place of the last member's comma. */
void line_end(struct text *out, char bracket);
void line_uint(struct text *out, uint64_t value);
/* At most `max` bytes of `s`, and no half of a UTF-8 sequence. */
struct span line_cut(struct span s, size_t max);
/* Escapes as much of `s` as fits in `room` bytes; true when that is all. */
bool line_escape(struct text *out, struct span s, size_t room);
void line_note_cut(struct line *line, const char *name);
void line_text(struct line *line, const char *name, struct span value, size_t max);
void line_name(struct text *out, const char *name);
void line_addr(struct text *out, const struct addr *addr);
void line_pairs(struct line *line, const char *name, struct span value, size_t max);

/* record_matches.c. */
void record_put_matches(struct line *line, const struct record *record);

#endif
