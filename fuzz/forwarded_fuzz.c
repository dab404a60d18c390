/*
 * The client's address. It is the peer's or one that stands in a list; nobody is believed when
 * the peer is not trusted; and an address that is not trusted is never passed over: with no
 * trusted hop but the peer, the answer is the peer or the last entry.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/section.h"

enum { TEXT_MAX = 64 };

/* Whether some part of the values reads as this address. */
static bool listed(const struct fields *fields, const struct addr *addr)
{
    for (unsigned i = 0; i < fields->count; i++) {
        struct span value = fields->items[i].value;
        for (size_t from = 0; from < value.len; from++) {
            for (size_t len = 2; len <= TEXT_MAX && from + len <= value.len; len++) {
                struct addr other;
                if (addr_parse_port(span_of(value.p + from, len), &other) &&
                    addr_equal(&other, addr))
                    return true;
            }
        }
    }
    return false;
}

static void check(const struct fields *fields, const struct addr *peer,
                  const struct cidrs *trusted)
{
    struct addr client;
    struct span scheme;

    enum http_error error = forwarded_client(fields, peer, trusted, &client, &scheme);
    INVARIANT(error == HTTP_OK || (error == HTTP_FORWARDED && addr_equal(&client, peer)));
    INVARIANT(scheme.p == NULL || span_equal(scheme, SPAN("http")) ||
              span_equal(scheme, SPAN("https")));
    if (!cidrs_contain(trusted, peer)) {
        INVARIANT(addr_equal(&client, peer) && scheme.p == NULL);
        return;
    }
    INVARIANT(addr_equal(&client, peer) || listed(fields, &client));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of((const char *)data, size);
    struct cidr items[3];
    struct fields fields = { 0 };
    struct addr peer, stranger;
    struct arena arena;

    if (size > 1024)
        return 0;
    INVARIANT(cidr_parse(SPAN("10.0.0.0/8"), false, &items[0]));
    INVARIANT(cidr_parse(SPAN("2001:db8::/32"), false, &items[1]));
    INVARIANT(cidr_parse(SPAN("0.0.0.0/0"), false, &items[2]));
    INVARIANT(addr_parse(SPAN("10.0.0.1"), &peer));
    INVARIANT(addr_parse(SPAN("2001:dead::1"), &stranger));
    fuzz_arena(&arena);
    if (section_parse(&fields, input, fuzz_limits.fields, &arena) == HTTP_OK) {
        check(&fields, &stranger, &(struct cidrs){ items, 3 });
        check(&fields, &peer, &(struct cidrs){ items, 3 });
        check(&fields, &peer, &(struct cidrs){ items, 2 });
    }
    arena_reset(&arena);
    return 0;
}
