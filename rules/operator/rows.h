/*
 * What the operators' table is made of: one file per family.
 */
#ifndef SALLYPORT_RULES_OPERATOR_ROWS_H
#define SALLYPORT_RULES_OPERATOR_ROWS_H

#include "rules/operator.h"

typedef bool operator_compile_fn(const struct operator_source *source, const void **prepared);
typedef uint32_t operator_wants_fn(const void *prepared);
typedef bool operator_eval_fn(const struct operator_call *call, struct operator_match *match);

/* What matched, where the operator captures nothing. */
static inline bool matched(struct operator_match *match, size_t offset, size_t len)
{
    match->offset = offset;
    match->len = len;
    match->captured = span_of(NULL, 0);
    return true;
}

static inline bool matched_all(struct operator_match *match, const struct operator_call *call)
{
    return matched(match, 0, call->value.len);
}

/* A file that an argument names, relative to the folder of the rule's. False: `why` says why.
 */
bool read_operator_file(const struct operator_source *source, struct span path, size_t max,
                        struct span *text);

/* text.c */
operator_eval_fn eval_contains, eval_contains_word, eval_begins_with, eval_ends_with,
    eval_streq, eval_within, eval_always, eval_never;
/* number.c */
operator_eval_fn eval_eq, eval_ge, eval_gt, eval_le, eval_lt;
/* words.c */
operator_compile_fn compile_pm, compile_pm_from_file, compile_strmatch;
operator_eval_fn eval_pm, eval_strmatch;
/* address.c */
operator_compile_fn compile_ip_match, compile_ip_match_from_file;
operator_eval_fn eval_ip_match;
/* valid.c */
operator_compile_fn compile_byte_range;
operator_eval_fn eval_byte_range, eval_url_encoding, eval_utf8_encoding;
operator_wants_fn byte_range_wants, url_encoding_wants, utf8_encoding_wants;
/* digits.c */
operator_compile_fn compile_digits;
operator_eval_fn eval_verify_cc, eval_verify_cpf, eval_verify_ssn, eval_verify_svnr;
void release_digits(const void *prepared);
/* rules/detect.c */
operator_compile_fn compile_detect;
operator_eval_fn eval_detect_sqli, eval_detect_xss;
operator_wants_fn detect_sqli_wants, detect_xss_wants;

#endif
