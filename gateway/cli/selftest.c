/* `sallyport selftest auth`: the corpus of tricks against sign-in, against this very binary. */
#include <stdio.h>

#include "auth/selftest.h"
#include "gateway/base/json.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/selftest_requests.h"

struct telling {
    struct text *out;
    struct json json;
    bool as_json;
};

static void tell(void *ctx, const char *name, const char *trouble)
{
    struct telling *telling = ctx;
    if (telling->as_json) {
        json_begin_object(&telling->json, NULL);
        json_text(&telling->json, "name", span_text(name));
        json_bool(&telling->json, "passed", trouble == NULL);
        if (trouble != NULL)
            json_text(&telling->json, "trouble", span_text(trouble));
        json_end_object(&telling->json);
        return;
    }
    text_add(telling->out, trouble == NULL ? SPAN("ok    ") : SPAN("FAIL  "));
    text_add(telling->out, span_text(name));
    if (trouble != NULL) {
        text_lit(telling->out, ": ");
        text_add(telling->out, span_text(trouble));
    }
    text_lit(telling->out, "\n");
}

int verb_selftest(const struct arguments *arguments)
{
    struct arena arena;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 1 || strcmp(arguments->operands[0], "auth") != 0)
        return usage_error("selftest auth");
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    struct text out = text_growing(&arena, OUTPUT_BYTES);
    struct telling telling = { .out = &out, .json = json_writer(&out), .as_json = json };
    if (json) {
        json_begin_object(&telling.json, NULL);
        json_begin_array(&telling.json, "cases");
    }
    struct selftest_result result = selftest_tokens(tell, &telling),
                           signin = selftest_signin(tell, &telling),
                           requests = selftest_requests(tell, &telling);
    result.passed += signin.passed + requests.passed;
    result.failed += signin.failed + requests.failed;
    if (json) {
        json_end_array(&telling.json);
        json_uint(&telling.json, "passed", result.passed);
        json_uint(&telling.json, "failed", result.failed);
        json_end_object(&telling.json);
        text_lit(&out, "\n");
    } else {
        text_format(&out, "%u passed, %u failed\n", result.passed, result.failed);
    }
    bool printed = print_all(1, text_span(&out)) && !out.overflow;
    arena_reset(&arena);
    return printed && result.failed == 0 ? EXIT_GOOD : EXIT_TROUBLE;
}
