/* See the header. */
#include "gateway/http/fieldorder.h"

#include <sodium.h>

#include "gateway/base/text.h"

enum { COUNT_SHOWN_MAX = 99, HASH_SHOWN_BYTES = 6 };

/* Of these the beginning counts where it ends in `-`. */
static const struct span passing[] = {
    SPAN_INIT("authorization"), SPAN_INIT("content-"),     SPAN_INIT("cookie"),
    SPAN_INIT("expect"),        SPAN_INIT("forwarded"),    SPAN_INIT("if-"),
    SPAN_INIT("origin"),        SPAN_INIT("range"),        SPAN_INIT("referer"),
    SPAN_INIT("traceparent"),   SPAN_INIT("tracestate"),   SPAN_INIT("transfer-encoding"),
    SPAN_INIT("via"),           SPAN_INIT("x-forwarded-"), SPAN_INIT("x-real-ip"),
    SPAN_INIT("x-request-id"),
};

static bool counts(struct span name, bool http2)
{
    if (http2 && span_equal_nocase(name, SPAN("host")))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
        bool beginning = passing[i].p[passing[i].len - 1] == '-';
        if (beginning ? span_starts_nocase(name, passing[i])
                      : span_equal_nocase(name, passing[i]))
            return false;
    }
    return true;
}

void fields_order(const struct fields *fields, bool http2, char out[static FIELD_ORDER_BYTES])
{
    struct text text = text_fixed(out, FIELD_ORDER_BYTES);
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    unsigned count = 0;

    (void)crypto_hash_sha256_init(&state);
    for (unsigned i = 0; i < fields->count; i++) {
        struct span name = fields->items[i].name;
        if (!counts(name, http2))
            continue;
        for (size_t k = 0; k < name.len; k++) {
            unsigned char c = (unsigned char)ascii_lower(name.p[k]);
            (void)crypto_hash_sha256_update(&state, &c, 1);
        }
        (void)crypto_hash_sha256_update(&state, (const unsigned char *)",", 1);
        count++;
    }
    (void)crypto_hash_sha256_final(&state, hash);
    count = count < COUNT_SHOWN_MAX ? count : COUNT_SHOWN_MAX;
    text_add(&text, http2 ? SPAN("h2-") : SPAN("h1-"));
    text_char(&text, (char)('0' + count / 10));
    text_char(&text, (char)('0' + count % 10));
    text_char(&text, '-');
    text_hex(&text, hash, HASH_SHOWN_BYTES);
    INVARIANT(text.len == FIELD_ORDER_BYTES);
}
