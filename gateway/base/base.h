/*
 * What every file needs: the operating errors, the two assertion words, and a few attributes.
 *
 * Three kinds of trouble are never mixed. An operating error is an `enum err` and must be used.
 * A programmer's error is an INVARIANT, on in release, and ends the process. A client's error
 * is neither: it is a verdict with a reason (gateway/chain/reason.def).
 */
#ifndef SALLYPORT_BASE_H
#define SALLYPORT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum err {
#define ERR(name, text) name,
#include "gateway/base/err.def"
#undef ERR
};

/* A constant sentence without a full stop; never NULL. */
const char *err_text(enum err err);

#define MUST_USE __attribute__((warn_unused_result))
/* For a large local that is filled in before it is read, and whose clearing a release build
 * (-ftrivial-auto-var-init) would pay for with each call. */
#define UNCLEARED __attribute__((uninitialized))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds `member` at `ptr`. */
#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define INVARIANT(condition)                                                                   \
    do {                                                                                       \
        if (__builtin_expect(!(condition), 0))                                                 \
            invariant_failed(#condition, __FILE__, __LINE__);                                  \
    } while (0)

void invariant_failed(const char *condition, const char *file, int line) NORETURN;

/* Returns the error of `expression` from a function that owns nothing. */
#define TRY(expression)                                                                        \
    do {                                                                                       \
        enum err try_err = (expression);                                                       \
        if (try_err != OK)                                                                     \
            return try_err;                                                                    \
    } while (0)

#endif
