/*
 * An expression of any bytes. Either it is refused with a place inside the text, or its
 * evaluation asks for no more values than it has parts, answers the same again and after it was
 * parsed anew, and the opposite under `not`.
 */
#include <stdlib.h>

#include "conf/source.h"
#include "gateway/base/siphash.h"
#include "tests/unit/conf/sample.h"

enum { CEILING = 16 * 1024 * 1024, COLUMN = 11 };

struct request {
    unsigned asked;
    uint8_t salt;
};

static uint64_t hash(const struct request *req, int id, struct span argument)
{
    struct siphash_key key = { req->salt, (uint64_t)id };
    return siphash(&key, argument.p, argument.len);
}

static struct expr_value value(void *ctx, int id, struct span argument)
{
    static const char *const texts[] = { "", "/", "a", "/xmlrpc.php", "POST" };
    struct request *req = ctx;
    uint64_t bits = hash(req, id, argument);
    struct expr_value v = { .missing = bits % 7 == 0 };
    INVARIANT(++req->asked <= EXPR_NODES_MAX);
    v.type = sample_names[id - 1].type;
    v.text = span_text(texts[bits % ARRAY_LEN(texts)]);
    v.number = v.type == EXPR_BOOL ? (int64_t)(bits & 1) : (int64_t)(bits % 5) - 1;
    v.addr = (struct addr){ .family = ADDR_V4, .bytes = { 10, 0, 0, (uint8_t)(bits & 1) } };
    if (bits % 11 == 0)
        v.type = EXPR_TEXT; /* a scope that lies is a missing value */
    return v;
}

static bool in_list(void *ctx, int list, const struct expr_value *v)
{
    (void)ctx;
    INVARIANT(list == 7 && !v->missing);
    return v->number % 2 == 0;
}

static bool matches(void *ctx, int pattern, struct span text)
{
    (void)ctx;
    return (text.len + (size_t)pattern) % 2 == 0;
}

static void count_name(void *ctx, int id, struct span argument)
{
    unsigned *names = ctx;
    INVARIANT(id >= SAMPLE_PATH && id <= SAMPLE_TLS);
    INVARIANT(argument.len <= EXPR_BYTES_MAX);
    ++*names;
}

static bool evaluate(const struct expr *expr, uint8_t salt)
{
    struct request req = { 0, salt };
    struct expr_source source = { value, in_list, matches, &req };
    bool result = expr_eval(expr, &source);
    req.asked = 0;
    INVARIANT(result == expr_eval(expr, &source));
    return result;
}

static void check_refusal(const struct diags *diags, struct span text)
{
    INVARIANT(diags->errors == 1 && diags->count == 1);
    const struct place *place = &diags->items[0].place;
    size_t characters = utf8_count(text);
    INVARIANT(place->column >= COLUMN && place->width > 0);
    INVARIANT(place->column < COLUMN + (characters > 0 ? characters : 1));
}

static struct expr *parse(struct span text, struct arena *arena, struct diags *diags)
{
    struct place place = { .line = 1, .column = COLUMN, .width = 1 };
    diags_init(diags, arena);
    struct expr *expr = expr_parse(text, place, &sample_scope, arena, diags);
    INVARIANT((expr == NULL) == (diags->errors > 0));
    return expr;
}

static void check_opposite(struct span text, bool result, uint8_t salt, struct arena *arena,
                           struct diags *diags)
{
    struct text opposite = text_growing(arena, text.len + 8);
    text_lit(&opposite, "not (");
    text_add(&opposite, text);
    text_lit(&opposite, ")");
    struct expr *expr = parse(text_span(&opposite), arena, diags);
    INVARIANT(expr != NULL || diags->items[0].code == DIAG_EXPR_LIMIT);
    INVARIANT(expr == NULL || evaluate(expr, salt) == !result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct diags diags;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, CEILING);
    struct span text = span_of((const char *)data, size);
    uint8_t salt = size > 0 ? data[size - 1] : 0;

    struct expr *expr = parse(text, &arena, &diags);
    if (expr == NULL) {
        check_refusal(&diags, text);
    } else {
        unsigned names = 0;
        bool result = evaluate(expr, salt);
        expr_each_name(expr, count_name, &names);
        INVARIANT(names <= EXPR_NODES_MAX && span_equal(expr_text(expr), text));
        struct expr *again = parse(expr_text(expr), &arena, &diags);
        INVARIANT(again != NULL && evaluate(again, salt) == result);
        check_opposite(text, result, salt, &arena, &diags);
    }
    arena_reset(&arena);
    return 0;
}
