/*
 * Rules of the configuration to rules of a program. Slow and allocating: at load only.
 */
#ifndef SALLYPORT_RULES_OWN_TRANSLATE_H
#define SALLYPORT_RULES_OWN_TRANSLATE_H

#include "gateway/base/text.h"
#include "rules/own/rule.h"
#include "rules/seclang/program.h"

/*
 * Puts `rules`, in their order, before all rules of the program. On ERR_CONFIG `why` says which
 * of them cannot be, and the reason. Memory is the arena's; what is not, seclang_free releases.
 */
MUST_USE enum err own_translate(struct sec_program *program, const struct rule_source *rules,
                                size_t count, struct own_threshold threshold,
                                struct arena *arena, struct text *why);

/* Whether it looks at answers, and not at requests alone. */
bool own_rule_asks_answers(const struct rule_source *source);

/* Whether `when` asks for arguments, which a body may have more of. */
bool own_condition_is_late(const struct expr *when);

#endif
