/* What the tests of messages share: an arena for each call, and heads copied to exact size. */
#ifndef SALLYPORT_TESTS_HTTP_H
#define SALLYPORT_TESTS_HTTP_H

#include <stdlib.h>

#include "gateway/http/head.h"
#include "tests/unit/check.h"

static const struct head_limits usual = { .head_bytes = 16384,
                                          .uri_bytes = 8192,
                                          .fields = 100 };

/* One message at a time; what was parsed stands until the next call. */
static struct arena memory;
static char *copied;

static inline struct arena *fresh_arena(void)
{
    static bool begun;

    if (begun)
        arena_reset(&memory);
    begun = true;
    arena_init(&memory, NULL, 0, NULL, 16 * 1024 * 1024);
    return &memory;
}

/* In a block of its own, so that a read past the end is seen. */
static inline struct span exact(struct span text)
{
    free(copied);
    copied = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(copied);
    memcpy(copied, text.p, text.len);
    return span_of(copied, text.len);
}

static inline enum http_error read_request(struct request *req, struct span head)
{
    return request_parse(req, exact(head), fresh_arena(), &usual);
}

static inline int finish(int failed)
{
    arena_reset(fresh_arena());
    free(copied);
    return failed;
}

#define assert_http(got, expected)                                                             \
    do {                                                                                       \
        enum http_error check_got = (got), check_want = (expected);                            \
        if (check_got != check_want)                                                           \
            fail_msg("%s:%d: \"%.*s\" is not \"%.*s\"", __FILE__, __LINE__,                    \
                     (int)http_error_slug(check_got).len, http_error_slug(check_got).p,        \
                     (int)http_error_slug(check_want).len, http_error_slug(check_want).p);     \
    } while (0)

#endif
