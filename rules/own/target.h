/*
 * The targets of `waf.rules`: what they are called, and which of the program's variables they
 * are. Some of these no SecLang rule can name; rules/own/values fills them in.
 */
#ifndef SALLYPORT_RULES_OWN_TARGET_H
#define SALLYPORT_RULES_OWN_TARGET_H

#include "gateway/base/text.h"
#include "rules/seclang/program.h"

enum { OWN_VARIABLES_MAX = 20 }; /* that one target stands for */

/*
 * Writes what `text` names behind `*count` targets at `out`, which has room for
 * OWN_VARIABLES_MAX more. ERR_UNKNOWN: no such target; ERR_SYNTAX: a name is missing or too
 * long. `text` must live as long as the targets.
 */
MUST_USE enum err own_targets_add(struct sec_target *out, unsigned *count, struct span text);

/* Whether values of the variable may come with a body, and whether only its own do: trailer
 * fields alone are no reason to hold it back. */
bool own_variable_late(enum variable var);
bool own_variable_in_body(enum variable var);
/* Whether it is the answer's; the two above then are about the answer's body. */
bool own_variable_of_answer(enum variable var);

/* "args:q", "path": what findings call the value that a match was found in. `name` is
 * SecLang's: "ARGS:q". An empty span: out of memory. */
struct span own_field(enum variable var, struct span name, struct arena *arena);

#endif
