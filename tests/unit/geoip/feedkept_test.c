/* Sets that outlive their steward: damage is found, the older one steps in, slots are reused.
 */
#include "geoip/feedkept.h"

#include <sodium.h>
#include <stdlib.h>

#include "gateway/base/text.h"
#include "tests/unit/check.h"

enum { NOW = 1000 };

static struct arena arena;
static struct feeds_kept *kept;
static const struct cidrs nothing = { NULL, 0 };

static struct cidr prefix(const char *text)
{
    struct cidr cidr;
    assert_true(cidr_parse(span_text(text), false, &cidr));
    return cidr;
}

static struct feed_known known_of(const char *const *prefixes, size_t count)
{
    struct addrlist_entry entries[8];
    struct feed_known known = { .fetched_s = 77 };

    for (size_t i = 0; i < count; i++)
        entries[i] =
            (struct addrlist_entry){ .cidr = prefix(prefixes[i]), .reason = SPAN("because") };
    assert_int_equal(addrlist_build(entries, count, NOW, &arena, &known.block), OK);
    memcpy(known.facts.etag, "\"1\"", 4);
    return known;
}

static bool all_used(void *ctx, const char *name)
{
    (void)name;
    return ctx == NULL;
}

static bool holds(const char *name, const struct cidrs *without, const char *text)
{
    struct feed_known known;
    struct addr addr;
    uint32_t place;

    assert_true(addr_parse(span_text(text), &addr));
    return feed_recall(kept, name, without, NOW, &arena, &known) &&
           addrlist_find(known.block, &addr, NOW, &place);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, (size_t)1 << 30);
    kept = calloc(1, sizeof *kept);
    return kept != NULL && sodium_init() >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(kept);
    arena_reset(&arena);
    return 0;
}

static const char *const first[] = { "192.0.2.0/24", "2001:db8::/32" };
static const char *const second[] = { "198.51.100.0/24" };

static void kept_and_recalled(void **state)
{
    (void)state;
    struct feed_known one = known_of(first, 2), back;
    struct cidr out[] = { prefix("192.0.0.0/16") };
    struct cidrs without = { out, 1 };

    assert_false(feed_recall(kept, "a", &nothing, NOW, &arena, &back));
    assert_false(feed_recall(kept, "", &nothing, NOW, &arena, &back));
    assert_true(feed_keep(kept, "a", &one, all_used, NULL));
    assert_true(feed_recall(kept, "a", &nothing, NOW, &arena, &back));
    assert_true(span_equal(back.block, one.block));
    assert_memory_equal(&back.facts, &one.facts, sizeof back.facts);
    assert_int_equal(back.fetched_s, 77);
    feed_confirm(kept, "a", 99);
    assert_true(feed_recall(kept, "a", &nothing, NOW, &arena, &back));
    assert_int_equal(back.fetched_s, 99);
    assert_false(feed_recall(kept, "b", &nothing, NOW, &arena, &back));
    assert_true(holds("a", &nothing, "192.0.2.1"));
    assert_false(holds("a", &without, "192.0.2.1"));
    assert_true(holds("a", &without, "2001:db8::1"));
}

/* Whoever is killed in the middle of a write leaves the set before it. */
static void damage(void **state)
{
    (void)state;
    struct feed_known one = known_of(first, 2), two = known_of(second, 1), back;

    assert_true(feed_keep(kept, "a", &one, all_used, NULL));
    assert_true(feed_keep(kept, "a", &two, all_used, NULL));
    assert_true(holds("a", &nothing, "198.51.100.1"));
    struct feed_bank *banks = kept->slots[0].banks;
    struct feed_bank *later = &banks[banks[1].turn > banks[0].turn];
    later->bytes[two.block.len - 1] ^= 1;
    assert_true(holds("a", &nothing, "192.0.2.1"));
    later->bytes[two.block.len - 1] ^= 1;
    assert_true(holds("a", &nothing, "198.51.100.1"));
    later->facts.etag[0] ^= 1;
    assert_true(holds("a", &nothing, "192.0.2.1"));
    later->len = UINT64_MAX;
    assert_true(holds("a", &nothing, "192.0.2.1"));
    later->len = 0;
    assert_true(holds("a", &nothing, "192.0.2.1"));
    banks[0].len = banks[1].len = 0;
    assert_false(feed_recall(kept, "a", &nothing, NOW, &arena, &back));
    /* One list's bytes under another's name. */
    assert_true(feed_keep(kept, "a", &one, all_used, NULL));
    kept->slots[0].name[0] = 'b';
    assert_false(feed_recall(kept, "b", &nothing, NOW, &arena, &back));
}

static void slots(void **state)
{
    (void)state;
    struct feed_known one = known_of(first, 2), two = known_of(second, 1);
    char name[] = "list-a";
    char longest[FEED_NAME_BYTES + 1];
    int some;

    for (int i = 0; i < FEEDS_KEPT; i++, name[5]++)
        assert_true(feed_keep(kept, name, &one, all_used, NULL));
    assert_false(feed_keep(kept, name, &two, all_used, NULL));
    assert_true(feed_keep(kept, name, &two, all_used, &some)); /* of one that is no more */
    assert_true(holds(name, &nothing, "198.51.100.1"));
    assert_false(holds(name, &nothing, "192.0.2.1"));
    assert_false(holds("list-a", &nothing, "192.0.2.1"));
    assert_true(holds("list-b", &nothing, "192.0.2.1"));
    memset(longest, 'x', FEED_NAME_BYTES);
    longest[FEED_NAME_BYTES] = '\0';
    assert_false(feed_keep(kept, longest, &one, all_used, &some));
    longest[FEED_NAME_BYTES - 1] = '\0';
    assert_true(feed_keep(kept, longest, &one, all_used, &some));
    assert_true(holds(longest, &nothing, "192.0.2.1"));
    one.block.len = (size_t)FEED_BYTES_MAX + 1;
    assert_false(feed_keep(kept, longest, &one, all_used, NULL));
    assert_true(holds(longest, &nothing, "192.0.2.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kept_and_recalled, setup, teardown),
        cmocka_unit_test_setup_teardown(damage, setup, teardown),
        cmocka_unit_test_setup_teardown(slots, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
