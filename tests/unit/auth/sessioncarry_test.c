/* Copies of sessions in cookies: whole or nothing, for their ticket, site and time. */
#include "auth/sessioncarry.h"

#include <sodium.h>
#include <stdlib.h>

#include "tests/unit/check.h"

enum { NOW = 1800000000 };

static struct arena arena;
static struct carry carry;
static struct ticket ticket;

static struct secret secret_of(char *text)
{
    return (struct secret){ .p = text, .len = strlen(text) };
}

static int set_up(void **state)
{
    (void)state;
    static char text[] = "a secret of thirty-two bytes, or more";
    struct secret secret = secret_of(text);
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    carry = (struct carry){ .count = 0 };
    carry_add(&carry, &secret);
    ticket_make(&ticket);
    return sodium_init() >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static struct span sealed(struct span content)
{
    struct text out = text_growing(&arena, 64);
    struct carried what = { .issued_s = NOW,
                            .began_s = NOW - 100,
                            .until_s = NOW + 1000,
                            .idle_s = 600,
                            .content = content };
    return carry_write(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, &what, &out)
               ? text_span(&out)
               : span_of(NULL, 0);
}

static bool opens(struct span cookie, uint64_t now_s)
{
    struct carried carried;
    return carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, cookie, now_s,
                      &arena, &carried);
}

static void what_was_sealed_is_opened(void **state)
{
    (void)state;
    struct carried carried;
    struct span cookie = sealed(SPAN("who it is"));
    assert_true(carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, cookie, NOW,
                           &arena, &carried));
    assert_span(carried.content, SPAN("who it is"));
    assert_int_equal(carried.issued_s, NOW);
    assert_int_equal(carried.began_s, NOW - 100);
    assert_int_equal(carried.until_s, NOW + 1000);
    assert_int_equal(carried.idle_s, 600);
    assert_false(carried.old_key);
    assert_null(memmem(cookie.p, cookie.len, "who", 3));
}

static void its_time_has_an_end(void **state)
{
    (void)state;
    struct span cookie = sealed(SPAN("x"));
    assert_true(opens(cookie, NOW + 600));
    assert_false(opens(cookie, NOW + 601));
    assert_true(opens(cookie, NOW - CARRY_AHEAD_S));
    assert_false(opens(cookie, NOW - CARRY_AHEAD_S - 1));
    struct text out = text_growing(&arena, 64);
    struct carried what = { .issued_s = NOW,
                            .began_s = NOW,
                            .until_s = NOW + 10,
                            .idle_s = 600,
                            .content = SPAN("x") };
    assert_true(
        carry_write(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, &what, &out));
    assert_true(opens(text_span(&out), NOW + 9));
    assert_false(opens(text_span(&out), NOW + 10));
}

static void it_is_its_tickets_and_sites(void **state)
{
    (void)state;
    struct carried carried;
    struct ticket other = ticket;
    struct span cookie = sealed(SPAN("x"));
    assert_false(carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("bank") }, cookie, NOW,
                            &arena, &carried));
    assert_false(carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("") }, cookie, NOW,
                            &arena, &carried));
    for (size_t i = 0; i < sizeof(other); i++) {
        ((uint8_t *)&other)[i] ^= 1;
        assert_false(carry_read(&carry, &(struct carry_owner){ &other, SPAN("shop") }, cookie,
                                NOW, &arena, &carried));
        ((uint8_t *)&other)[i] ^= 1;
    }
}

static void nothing_else_opens(void **state)
{
    (void)state;
    struct span cookie = sealed(SPAN("x"));
    char *bytes = arena_alloc(&arena, cookie.len + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < cookie.len; i++) {
        memcpy(bytes, cookie.p, cookie.len);
        bytes[i] = bytes[i] == 'A' ? 'B' : 'A';
        assert_false(opens(span_of(bytes, cookie.len), NOW));
        assert_false(opens(span_of(cookie.p, i), NOW));
    }
    memcpy(bytes, cookie.p, cookie.len);
    bytes[cookie.len] = 'A';
    assert_false(opens(span_of(bytes, cookie.len + 1), NOW));
}

static void keys_change(void **state)
{
    (void)state;
    static char newer[] = "another secret of more than 32 bytes.";
    static char older[] = "a secret of thirty-two bytes, or more";
    struct secret one = secret_of(newer), two = secret_of(older);
    struct span cookie = sealed(SPAN("x"));
    struct carried carried;
    carry = (struct carry){ .count = 0 };
    assert_false(opens(cookie, NOW)); /* no key at all */
    carry_add(&carry, &one);
    assert_false(opens(cookie, NOW));
    carry_add(&carry, &two);
    assert_true(carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, cookie, NOW,
                           &arena, &carried));
    assert_true(carried.old_key);
    cookie = sealed(SPAN("x"));
    assert_true(carry_read(&carry, &(struct carry_owner){ &ticket, SPAN("shop") }, cookie, NOW,
                           &arena, &carried));
    assert_false(carried.old_key); /* the first one seals */
}

static void it_has_room_up_to_a_limit(void **state)
{
    (void)state;
    static char longest[CARRY_CONTENT_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    struct span cookie = sealed(span_of(longest, CARRY_CONTENT_MAX));
    assert_true(cookie.len > CARRY_CONTENT_MAX && cookie.len <= CARRY_TEXT_MAX);
    assert_true(opens(cookie, NOW));
    assert_null(sealed(span_of(longest, CARRY_CONTENT_MAX + 1)).p);
    static char text[CARRY_TEXT_MAX + 1];
    memset(text, 'A', sizeof(text));
    assert_false(opens(span_of(text, CARRY_TEXT_MAX), NOW));
    assert_false(opens(span_of(text, CARRY_TEXT_MAX + 1), NOW));
}

static void ends_are_marked(void **state)
{
    (void)state;
    static const uint8_t key[32] = "a key of this boot, for tests ..";
    struct vault vault;
    struct cells ended;
    struct ticket other;
    void *memory = aligned_alloc(128, (cells_bytes(ENDED_CELLS) + 127) & ~(size_t)127);
    assert_non_null(memory);
    memset(memory, 0, cells_bytes(ENDED_CELLS));
    vault_over(&vault, NULL, 64, 256, "test", key);
    cells_over(&ended, memory, ENDED_CELLS);
    ticket_make(&other);
    uint64_t mine = ended_handle(&vault, &ticket), theirs = ended_handle(&vault, &other);
    assert_true(mine != theirs);
    ended_mark(&ended, &vault, ENDED_HANDLE, mine, NOW);
    assert_int_equal(ended_when(&ended, &vault, ENDED_HANDLE, mine), NOW);
    assert_int_equal(ended_when(&ended, &vault, ENDED_HANDLE, theirs), 0);
    assert_int_equal(ended_when(&ended, &vault, 0, mine), 0);
    ended_mark(&ended, &vault, 0, 0, NOW); /* no tag is nobody's */
    assert_int_equal(ended_when(&ended, &vault, 0, 0), 0);
    free(memory);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(what_was_sealed_is_opened),
        CASE(its_time_has_an_end),
        CASE(it_is_its_tickets_and_sites),
        CASE(nothing_else_opens),
        CASE(keys_change),
        CASE(it_has_room_up_to_a_limit),
        CASE(ends_are_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
