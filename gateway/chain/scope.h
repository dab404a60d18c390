/*
 * What the names of the expression language mean: one row per name, from the request to a
 * value. Used by `unless:`, `when:` and everything else that asks about a request in
 * configuration.
 */
#ifndef SALLYPORT_SCOPE_H
#define SALLYPORT_SCOPE_H

#include "gateway/chain/txn.h"

/*
 * Names: method path query host scheme user_agent referer client.ip client.user site tls.sni
 * tls.version (as available), size (Content-Length), header("x"), cookie("x"), arg("x") (query,
 * then form once the body is known), user, authenticated, and of an answer response.status,
 * response.header("x").
 */
extern const struct expr_name scope_names[];
/* Whether the name with this id is one of the answer. */
bool scope_of_answer(int id);

enum { SCOPE_PARAMS_MAX = 1024, SCOPE_COOKIES_MAX = 256 };

/* A scope for this configuration: lists by name, patterns by PCRE2 (compiled at load, match
 * limits set). */
struct expr_scope scope_make(struct config *config);
/*
 * How an expression reaches `txn`. Of several arguments or cookies of one name the first
 * counts; several lines of a field are one, joined as RFC 9110 section 5.3 has it. Where a
 * request has more of them than is looked at, where memory ran out, or where a pattern met its
 * limit, txn->undecided is set: whoever asked must not rely on the answer. It is not cleared
 * here.
 */
struct expr_source scope_source(struct txn *txn);

/*
 * All arguments or cookies at once, for those who must see repeats; parsed at most once in a
 * transaction. NULL when memory ran out, or when there are more than are read. Of a form there
 * is none outside PHASE_REQUEST_BODY, and none where the body is something else.
 */
enum scope_params { SCOPE_QUERY, SCOPE_FORM, SCOPE_COOKIES };
struct params;
const struct params *scope_params(struct txn *txn, enum scope_params which);

#endif
