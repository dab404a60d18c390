/*
 * One scalar of the file as a C value, and back. Private to conf.
 */
#ifndef SALLYPORT_SCALAR_H
#define SALLYPORT_SCALAR_H

#include "conf/schema.h"
#include "gateway/base/text.h"

/* A value and the row it is for: what every parser of a kind gets. */
struct given {
    struct schema *schema;
    const struct option *row;
    const struct node *node;
};

/* Complains at the value; answers false, so that parsers can return it. */
bool refuse_value(const struct given *given, enum diag_code code, struct span hint,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
bool refuse_memory(const struct given *given);
/* "the text", shortened; or the words for a value that may be a secret. */
const char *shown_value(const struct given *given);

/* The kinds that one scalar makes; false for the others and after an error. */
bool scalar_parse(const struct given *given, void *field);
bool kind_is_scalar(enum option_kind kind);
/* Of the C type. */
size_t kind_size(enum option_kind kind);

bool parse_cidr(const struct given *given, struct cidr *cidr);
bool parse_url(const struct given *given, struct url *url);
/* The name stands in the map named by the row's `refers`. */
bool check_reference(const struct given *given);

/* In the largest unit that divides them. */
void write_size(struct text *out, uint64_t bytes);
void write_duration(struct text *out, uint64_t ms);
void write_rate(struct text *out, const struct rate *rate);

#endif
