/* What the two halves of transaction.h share: arguments, and which variables are flags. */
#ifndef SALLYPORT_TESTS_PARTS_H
#define SALLYPORT_TESTS_PARTS_H

#include "tests/reference/transaction.h"

/* `var` is ARGS_GET or ARGS_POST: names and values as they are. */
void add_argument(struct transaction *txn, enum variable var, struct span name,
                  struct span value);
/* Reads pairs of an urlencoded text. True when an escape in it was malformed. */
bool add_arguments(struct transaction *txn, enum variable var, struct span text,
                   char separator);

/* A malformed escape stays as it is, and sets `*malformed` where that is not NULL. */
struct span decode_escapes(struct arena *arena, struct span text, bool plus, bool *malformed);

static inline bool is_multipart_flag(enum variable var)
{
    return var >= VAR_MULTIPART_STRICT_ERROR && var <= VAR_MULTIPART_FILE_LIMIT_EXCEEDED;
}

#endif
