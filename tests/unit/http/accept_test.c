/* Which coding a client takes. */
#include "gateway/http/accept.h"

#include "tests/unit/http/http.h"

static enum coding accepted(const char *const *lines)
{
    static const enum coding ours[] = { CODING_BR, CODING_ZSTD, CODING_GZIP };
    struct arena *arena = fresh_arena();
    struct fields fields = { 0 };

    for (; *lines != NULL; lines++)
        assert_int_equal(fields_add(&fields, arena, SPAN("Accept-Encoding"), span_text(*lines)),
                         OK);
    return coding_accepted(&fields, ours, ARRAY_LEN(ours));
}

static void weights_decide_and_then_our_order(void **state)
{
    static const struct {
        const char *lines[3];
        enum coding coding;
    } rows[] = {
        { { NULL }, CODING_IDENTITY },
        { { "" }, CODING_IDENTITY },
        { { "gzip, deflate, br, zstd" }, CODING_BR },
        { { "gzip", "zstd" }, CODING_ZSTD },
        { { "GZIP" }, CODING_GZIP },
        { { "x-gzip" }, CODING_GZIP },
        { { "*" }, CODING_BR },
        { { "*;q=0.1, br;q=0" }, CODING_ZSTD },
        { { "br;q=0.5, gzip;q=0.501" }, CODING_GZIP },
        { { "br ; Q=0.5 , gzip; q=1.0" }, CODING_GZIP },
        { { "br;q=0, gzip;q=0.000, zstd;q=0." }, CODING_IDENTITY },
        { { "gzip;q=1.001" }, CODING_IDENTITY },
        { { "gzip;q=2" }, CODING_IDENTITY },
        { { "gzip;q=-1" }, CODING_IDENTITY },
        { { "gzip;q=0.0001" }, CODING_IDENTITY },
        { { "gzip;q=" }, CODING_IDENTITY },
        { { "gzip;q" }, CODING_IDENTITY },
        { { "gzip;q=0.5x" }, CODING_IDENTITY },
        { { "gzip;x=1;q=0.5" }, CODING_GZIP },
        { { "identity" }, CODING_IDENTITY },
        { { "identity;q=0.5, gzip" }, CODING_GZIP },
        { { "gzip;q=0.5, identity" }, CODING_IDENTITY },
        { { "gzip;q=0.5, identity;q=0.5" }, CODING_GZIP },
        { { "identity;q=0" }, CODING_IDENTITY }, /* nothing of ours was asked for */
        { { "compress, dcb" }, CODING_IDENTITY },
        { { "gzipped" }, CODING_IDENTITY },
        { { "gzip;q=0", "gzip" }, CODING_IDENTITY }, /* the first word counts */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (accepted(rows[i].lines) != rows[i].coding)
            fail_msg("row %zu: %s", i, rows[i].lines[0]);
    }
}

static void names_go_both_ways(void **state)
{
    static const enum coding ours[] = { CODING_BR, CODING_ZSTD, CODING_GZIP };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        assert_int_equal(coding_named(coding_name(ours[i])), ours[i]);
    assert_text(coding_name(CODING_GZIP), "gzip");
    assert_int_equal(coding_named(SPAN("deflate")), CODING_IDENTITY);
}

int main(void)
{
    return finish(RUN(TEST(weights_decide_and_then_our_order), TEST(names_go_both_ways)));
}
