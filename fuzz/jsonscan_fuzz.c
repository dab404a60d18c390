/*
 * JSON bodies. Byte by byte is the same as whole; limits hold; and jansson agrees on what is
 * JSON and on each string. Input: the first byte picks the limits and the manner of names.
 */
#include <jansson.h>

#include "fuzz/http_fuzz.h"
#include "gateway/http/jsonscan.h"

enum { TOLD_MAX = 4096 };

struct told {
    struct span names[TOLD_MAX], values[TOLD_MAX];
    enum jsonscan_kind kinds[TOLD_MAX];
    unsigned count;
};

static bool tell(void *ctx, struct span name, struct span value, enum jsonscan_kind kind)
{
    struct told *told = ctx;
    if (told->count == TOLD_MAX)
        return false;
    told->names[told->count] = name;
    told->values[told->count] = value;
    told->kinds[told->count++] = kind;
    return true;
}

static bool utf8_all(struct span s)
{
    json_t *string = json_stringn(s.p, s.len);
    bool valid = string != NULL;
    json_decref(string);
    return valid;
}

/* The values in order, as jansson holds them. */
static void walk(json_t *node, struct told *told, unsigned *at)
{
    size_t index;
    const char *key;
    json_t *child;

    if (json_is_object(node)) {
        json_object_foreach(node, key, child) walk(child, told, at);
    } else if (json_is_array(node)) {
        json_array_foreach(node, index, child) walk(child, told, at);
    } else {
        while (*at < told->count && told->kinds[*at] == JSONSCAN_HOLLOW)
            (*at)++;
        INVARIANT(*at < told->count);
        if (json_is_string(node))
            INVARIANT(span_equal(told->values[*at],
                                 span_of(json_string_value(node), json_string_length(node))));
        (*at)++;
    }
}

/* jansson has limits of its own on depth and numbers, refuses duplicates only when asked, and
 * takes neither NUL in keys nor half pairs. */
static void check_other(struct span text, const struct jsonscan *scan, struct told *told)
{
    json_error_t error;
    unsigned at = 0;
    unsigned differs = JSONSCAN_SURROGATE | JSONSCAN_NUL | JSONSCAN_BOM | JSONSCAN_DUPLICATE;

    /* To jansson a NUL between tokens is the end. */
    if (memchr(text.p, '\0', text.len) != NULL || (scan->findings & differs) != 0)
        return;
    json_t *root = json_loadb(
        text.p, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (root == NULL) {
        INVARIANT(jsonscan_failed(scan) ||
                  json_error_code(&error) == json_error_numeric_overflow ||
                  json_error_code(&error) == json_error_stack_overflow);
        return;
    }
    INVARIANT(!jsonscan_failed(scan) || (scan->findings & JSONSCAN_INVALID) == 0);
    if (!jsonscan_failed(scan)) {
        walk(root, told, &at);
        while (at < told->count && told->kinds[at] == JSONSCAN_HOLLOW)
            at++;
        INVARIANT(at == told->count);
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct told whole, slow;
    if (size == 0)
        return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    struct jsonscan_limits limits = { .depth = 4 + data[0] % 32,
                                      .values = 8 * (data[0] % 64),
                                      .name_bytes = 16 + 4 * (unsigned)data[0],
                                      .names = data[0] & 1,
                                      .seed = { data[0], size } };
    struct jsonscan scan, sliced;
    struct arena arena;

    fuzz_arena(&arena);
    whole.count = slow.count = 0;
    jsonscan_begin(&scan, text, &limits, &arena, tell, &whole);
    INVARIANT(jsonscan_run(&scan, SIZE_MAX));
    jsonscan_begin(&sliced, text, &limits, &arena, tell, &slow);
    while (!jsonscan_run(&sliced, 1))
        ;
    if (scan.err != OK || sliced.err != OK) {
        arena_reset(&arena);
        return 0;
    }
    INVARIANT(scan.findings == sliced.findings && whole.count == slow.count);
    INVARIANT(scan.count == whole.count && scan.count <= limits.values);
    INVARIANT(scan.p >= text.p && scan.p <= span_end(text));
    for (unsigned i = 0; i < whole.count; i++) {
        INVARIANT(span_equal(whole.names[i], slow.names[i]));
        INVARIANT(span_equal(whole.values[i], slow.values[i]));
        INVARIANT(whole.kinds[i] == slow.kinds[i]);
        INVARIANT(whole.names[i].len <= limits.name_bytes);
        INVARIANT(utf8_all(whole.names[i]) && utf8_all(whole.values[i]));
    }
    check_other(text, &scan, &whole);
    arena_reset(&arena);
    return 0;
}
