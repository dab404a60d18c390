/* Sealed values in shared memory: found and opened by their ticket, ended at once. */
#include "auth/vault.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/siphash.h"
#include "tests/unit/check.h"

enum { ENTRIES = 64, VALUE = 256, NOW = 1800000000 };

static const uint8_t boot_key[32] = "a key of this boot, for tests ..";
static struct vault vault;
static void *memory;

static int set_up(void **state)
{
    (void)state;
    size_t size = vault_bytes(ENTRIES, VALUE);
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || sodium_init() < 0)
        return -1;
    vault_over(&vault, memory, ENTRIES, VALUE, "test", boot_key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap(memory, vault_bytes(ENTRIES, VALUE));
}

static struct vault_facts facts_of(const char *whose, uint64_t until_s, uint64_t idle_s)
{
    struct vault_facts facts = { .began_s = NOW, .until_s = until_s, .idle_s = idle_s };
    facts.tags[0] = vault_tag(&vault, "user", span_text(whose));
    memcpy(facts.label, whose, strlen(whose));
    return facts;
}

static struct ticket put(const char *whose, const char *value)
{
    struct ticket ticket;
    struct vault_facts facts = facts_of(whose, NOW + 1000, 100);
    ticket_make(&ticket);
    assert_true(vault_put(&vault, &ticket, &facts, span_text(value), NOW));
    return ticket;
}

static bool reads(const struct ticket *ticket, uint64_t now_s, bool visit, const char *expected)
{
    struct vault_value value;
    if (!vault_get(&vault, ticket, now_s, visit, &value))
        return false;
    assert_true(span_equal(span_of(value.bytes, value.len), span_text(expected)));
    return true;
}

static void tickets_have_one_spelling(void **state)
{
    (void)state;
    struct ticket ticket, again;
    char text[TICKET_TEXT_BYTES], bad[TICKET_TEXT_BYTES + 1];
    ticket_make(&ticket);
    ticket_write(&ticket, text);
    assert_true(ticket_read(&again, span_of(text, sizeof(text))));
    assert_memory_equal(&ticket, &again, sizeof(ticket));
    assert_false(ticket_read(&again, span_of(text, sizeof(text) - 1)));
    memcpy(bad, text, sizeof(text));
    bad[TICKET_TEXT_BYTES] = '=';
    assert_false(ticket_read(&again, span_of(bad, sizeof(bad))));
    bad[3] = '+';
    assert_false(ticket_read(&again, span_of(bad, TICKET_TEXT_BYTES)));
    unsigned others =
        0; /* of the last letter's bits some have no meaning: all but one refused */
    for (const char *p = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; *p;
         p++) {
        memcpy(bad, text, sizeof(text));
        bad[TICKET_TEXT_BYTES - 1] = *p;
        if (ticket_read(&again, span_of(bad, TICKET_TEXT_BYTES)) &&
            memcmp(&again, &ticket, sizeof(ticket)) == 0)
            others++;
    }
    assert_int_equal(others, 1);
}

static void only_the_ticket_finds_and_opens(void **state)
{
    (void)state;
    struct ticket ticket = put("ann", "secret value"), wrong = ticket;
    assert_true(reads(&ticket, NOW, false, "secret value"));
    wrong.secret[0] ^= 1;
    assert_false(reads(&wrong, NOW, false, ""));
    wrong = ticket;
    wrong.id[31] ^= 1;
    assert_false(reads(&wrong, NOW, false, ""));
    /* Neither the value nor any part of the ticket stands in the memory. */
    size_t size = vault_bytes(ENTRIES, VALUE);
    assert_null(memmem(memory, size, "secret value", 12));
    assert_null(memmem(memory, size, ticket.id, 16));
    assert_null(memmem(memory, size, ticket.secret, 16));
}

static void another_boot_or_use_opens_nothing(void **state)
{
    (void)state;
    static const uint8_t other_key[32] = "a key of the next boot, for them";
    struct ticket ticket = put("ann", "v");
    struct vault right = vault;
    vault_over(&vault, memory, ENTRIES, VALUE, "test", other_key);
    assert_false(reads(&ticket, NOW, false, ""));
    vault_over(&vault, memory, ENTRIES, VALUE, "other", boot_key);
    assert_false(reads(&ticket, NOW, false, ""));
    vault = right;
    assert_true(reads(&ticket, NOW, false, "v"));
}

static void it_ends_when_unused_and_in_any_case(void **state)
{
    (void)state;
    struct ticket ticket = put("ann", "v"); /* idle 100 s, at most 1000 s */
    assert_true(reads(&ticket, NOW + 100, false, "v"));
    assert_false(reads(&ticket, NOW + 101, false, ""));
    for (uint64_t at = NOW; at < NOW + 1000; at += 90)
        assert_true(reads(&ticket, at, true, "v"));
    assert_false(reads(&ticket, NOW + 1000, true, ""));
}

static void what_is_changed_in_memory_is_refused(void **state)
{
    (void)state;
    struct ticket ticket = put("ann", "value");
    size_t size = vault_bytes(ENTRIES, VALUE), refused = 0, changed = 0;
    char *bytes = memory;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == 0)
            continue; /* of the one entry, most bytes are not */
        changed++;
        bytes[i] ^= 0x40;
        refused += !reads(&ticket, NOW, false, "value");
        bytes[i] ^= 0x40;
    }
    assert_true(changed > 100);
    /* The word and the time of the last visit may change; nothing else. */
    assert_true(refused >= changed - 12);
    assert_true(reads(&ticket, NOW, false, "value"));
}

static void a_new_value_takes_the_old_ones_place(void **state)
{
    (void)state;
    struct ticket ticket = put("ann", "old");
    struct vault_facts facts = facts_of("ann", NOW + 1000, 100);
    assert_true(vault_put(&vault, &ticket, &facts, SPAN("new"), NOW));
    assert_true(reads(&ticket, NOW, false, "new"));
    assert_true(vault_take(&vault, &ticket, NOW));
    assert_false(reads(&ticket, NOW, false, ""));
    assert_false(vault_take(&vault, &ticket, NOW));
}

static void values_have_a_limit(void **state)
{
    (void)state;
    static char long_value[VALUE + 1];
    struct ticket ticket;
    struct vault_facts facts = facts_of("ann", NOW + 1000, 0);
    ticket_make(&ticket);
    assert_false(
        vault_put(&vault, &ticket, &facts, span_of(long_value, sizeof(long_value)), NOW));
    assert_true(vault_put(&vault, &ticket, &facts, span_of(long_value, VALUE), NOW));
}

static void all_of_one_end_at_once(void **state)
{
    (void)state;
    struct ticket a = put("ann", "1"), b = put("ann", "2"), c = put("bob", "3");
    assert_int_equal(vault_end_tagged(&vault, 0, 0), 0);
    assert_int_equal(vault_end_tagged(&vault, 0, vault_tag(&vault, "user", SPAN("ann"))), 2);
    assert_false(reads(&a, NOW, false, ""));
    assert_false(reads(&b, NOW, false, ""));
    assert_true(reads(&c, NOW, false, "3"));
}

static void lists_name_them_by_a_handle(void **state)
{
    (void)state;
    struct ticket a = put("ann", "1");
    (void)put("bob", "2");
    struct vault_facts facts;
    uint8_t handle[VAULT_HANDLE_BYTES], of_ann[VAULT_HANDLE_BYTES] = { 0 };
    unsigned count = 0;
    for (size_t at = 0; vault_next(&vault, &at, NOW, &facts, handle); count++)
        if (strcmp(facts.label, "ann") == 0)
            memcpy(of_ann, handle, sizeof(handle));
    assert_int_equal(count, 2);
    assert_true(vault_end_handle(&vault, of_ann));
    assert_false(vault_end_handle(&vault, of_ann));
    assert_false(reads(&a, NOW, false, ""));
}

static void who_makes_many_loses_his_own(void **state)
{
    (void)state;
    struct ticket good[8];
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        char name[8] = { 'u', (char)('0' + i), 0 };
        good[i] = put(name, name);
    }
    for (unsigned i = 0; i < 20 * ENTRIES; i++)
        (void)put("flood", "x");
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        char name[8] = { 'u', (char)('0' + i), 0 };
        assert_true(reads(&good[i], NOW, false, name));
    }
}

static void one_at_a_time_may_renew(void **state)
{
    (void)state;
    struct ticket ticket = put("ann", "v");
    struct vault_facts facts = facts_of("ann", NOW + 1000, 100);
    assert_true(vault_lock(&vault, &ticket, NOW));
    assert_false(vault_lock(&vault, &ticket, NOW + VAULT_HALF_DONE_S));
    assert_true(vault_lock(&vault, &ticket, NOW + VAULT_HALF_DONE_S + 1));
    assert_true(vault_put(&vault, &ticket, &facts, SPAN("w"), NOW));
    assert_true(vault_lock(&vault, &ticket, NOW));
}

/* Several processes put, read and end all the time: nobody ever reads what was not put. */
/* ---- elsewhere ---- */

struct other { /* a node with the same key */
    struct vault vault;
    char memory[64 * 1024];
};

static void open_other(struct other *other, const uint8_t key[32])
{
    memset(other, 0, sizeof(*other));
    assert_true(vault_bytes(ENTRIES, VALUE) <= sizeof(other->memory));
    vault_over(&other->vault, other->memory, ENTRIES, VALUE, "test", key);
}

static bool reads_at(const struct vault *there, const struct ticket *ticket,
                     const char *expected)
{
    struct vault_value value;
    return vault_get(there, ticket, NOW, false, &value) &&
           span_equal(span_of(value.bytes, value.len), span_text(expected));
}

static void images_go_to_another_node(void **state)
{
    (void)state;
    static _Alignas(64) struct other other;
    char image[VALUE + VAULT_OVERHEAD_MAX];
    size_t len;
    uint64_t now_ms = UINT64_C(1000) * NOW;
    open_other(&other, boot_key);
    struct ticket ticket = put("ann", "v"), stranger = put("bob", "w");
    assert_true(vault_export(&vault, &ticket, NOW, image, &len));
    /* Nothing of it can be read, not even whose it is. */
    assert_null(memmem(image, len, "ann", 3));
    struct span all = span_of(image, len);
    assert_int_equal(vault_adopt(&other.vault, &stranger, all, now_ms), ADOPT_BAD);
    assert_int_equal(vault_adopt(&other.vault, &ticket, all, now_ms + 1000 * 1000), ADOPT_BAD);
    for (size_t i = 0; i < len; i++) {
        image[i] ^= 1;
        assert_int_equal(vault_adopt(&other.vault, &ticket, all, now_ms), ADOPT_BAD);
        image[i] ^= 1;
    }
    for (size_t i = 0; i < len; i++)
        assert_int_equal(vault_adopt(&other.vault, &ticket, span_of(image, i), now_ms),
                         ADOPT_BAD);
    assert_false(reads_at(&other.vault, &ticket, "v"));
    assert_int_equal(vault_adopt(&other.vault, &ticket, all, now_ms), ADOPT_TAKEN);
    assert_true(reads_at(&other.vault, &ticket, "v"));
    assert_int_equal(vault_end_tagged(&other.vault, 0, vault_tag(&vault, "user", SPAN("ann"))),
                     1);
}

static void images_need_the_key(void **state)
{
    (void)state;
    static _Alignas(64) struct other other;
    static const uint8_t other_key[32] = "another key, for tests too .....";
    char image[VALUE + VAULT_OVERHEAD_MAX], name[VAULT_NAME_BYTES], names[VAULT_NAME_BYTES];
    struct vault_facts facts;
    size_t len;
    open_other(&other, other_key);
    struct ticket ticket = put("ann", "v"), bob = put("bob", "w");
    assert_true(vault_export(&vault, &ticket, NOW, image, &len));
    assert_int_equal(
        vault_adopt(&other.vault, &ticket, span_of(image, len), UINT64_C(1000) * NOW),
        ADOPT_BAD);
    vault_name(&vault, &ticket, name);
    vault_name(&vault, &bob, names);
    struct span called = span_of(name, sizeof(name)), others = span_of(names, sizeof(names));
    assert_true(vault_image_facts(&vault, called, span_of(image, len), &facts));
    assert_string_equal(facts.label, "ann");
    assert_false(vault_image_facts(&vault, others, span_of(image, len), &facts));
    assert_false(vault_image_facts(&other.vault, called, span_of(image, len), &facts));
}

static void the_later_one_stays(void **state)
{
    (void)state;
    static _Alignas(64) struct other other;
    char before[VALUE + VAULT_OVERHEAD_MAX], after[VALUE + VAULT_OVERHEAD_MAX];
    struct vault_facts facts = facts_of("ann", NOW + 1000, 100);
    size_t before_len, after_len;
    uint64_t now_ms = UINT64_C(1000) * NOW;
    open_other(&other, boot_key);
    struct ticket ticket = put("ann", "old");
    assert_true(vault_export(&vault, &ticket, NOW, before, &before_len));
    assert_true(vault_put(&vault, &ticket, &facts, SPAN("new"), NOW));
    assert_true(vault_export(&vault, &ticket, NOW, after, &after_len));
    struct span first = span_of(before, before_len), second = span_of(after, after_len);
    assert_int_equal(vault_adopt(&other.vault, &ticket, first, now_ms), ADOPT_TAKEN);
    assert_int_equal(vault_adopt(&other.vault, &ticket, second, now_ms), ADOPT_TAKEN);
    assert_true(reads_at(&other.vault, &ticket, "new"));
    assert_int_equal(vault_adopt(&other.vault, &ticket, first, now_ms), ADOPT_OLDER);
    assert_true(reads_at(&other.vault, &ticket, "new"));
    assert_int_equal(vault_adopt(&other.vault, &ticket, second, now_ms + 5), ADOPT_TAKEN);
    struct vault_value value;
    assert_true(vault_get(&other.vault, &ticket, NOW, false, &value));
    assert_int_equal(value.facts.confirmed_ms, now_ms + 5);
}

static void images_have_the_values_limit(void **state)
{
    (void)state;
    static _Alignas(64) struct other other;
    char image[VALUE + VAULT_OVERHEAD_MAX], longest[VALUE];
    struct vault_facts facts = facts_of("ann", NOW + 1000, 100);
    struct ticket ticket;
    size_t len;
    open_other(&other, boot_key);
    memset(longest, 'x', sizeof(longest));
    ticket_make(&ticket);
    assert_true(vault_put(&vault, &ticket, &facts, span_of(longest, sizeof(longest)), NOW));
    assert_true(vault_export(&vault, &ticket, NOW, image, &len));
    assert_true(len <= sizeof(image));
    assert_int_equal(
        vault_adopt(&other.vault, &ticket, span_of(image, len), UINT64_C(1000) * NOW),
        ADOPT_TAKEN);
    /* A node with less room takes none that is longer. */
    vault_over(&other.vault, other.memory, ENTRIES, VALUE - 1, "test", boot_key);
    assert_int_equal(
        vault_adopt(&other.vault, &ticket, span_of(image, len), UINT64_C(1000) * NOW),
        ADOPT_BAD);
}

static void processes_do_not_disturb_one_another(void **state)
{
    (void)state;
    pid_t children[3];
    for (unsigned n = 0; n < ARRAY_LEN(children); n++) {
        children[n] = fork();
        assert_true(children[n] >= 0);
        if (children[n] != 0)
            continue;
        char name[8] = { 'c', (char)('0' + n), 0 };
        for (unsigned i = 0; i < 20000; i++) {
            struct ticket ticket;
            struct vault_facts facts = { .began_s = NOW,
                                         .until_s = NOW + 9,
                                         .tags = { n + 1 } };
            struct vault_value got;
            ticket_make(&ticket);
            if (!vault_put(&vault, &ticket, &facts, span_text(name), NOW))
                continue;
            if (vault_get(&vault, &ticket, NOW, true, &got) &&
                (got.len != 2 || memcmp(got.bytes, name, 2) != 0 || got.facts.tags[0] != n + 1))
                _exit(1);
            if (i % 2 == 0)
                (void)vault_take(&vault, &ticket, NOW);
        }
        _exit(0);
    }
    for (unsigned n = 0; n < ARRAY_LEN(children); n++) {
        int status;
        assert_int_equal(waitpid(children[n], &status, 0), children[n]);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(tickets_have_one_spelling),
        CASE(only_the_ticket_finds_and_opens),
        CASE(another_boot_or_use_opens_nothing),
        CASE(it_ends_when_unused_and_in_any_case),
        CASE(what_is_changed_in_memory_is_refused),
        CASE(a_new_value_takes_the_old_ones_place),
        CASE(values_have_a_limit),
        CASE(all_of_one_end_at_once),
        CASE(lists_name_them_by_a_handle),
        CASE(who_makes_many_loses_his_own),
        CASE(one_at_a_time_may_renew),
        CASE(images_go_to_another_node),
        CASE(images_need_the_key),
        CASE(the_later_one_stays),
        CASE(images_have_the_values_limit),
        CASE(processes_do_not_disturb_one_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
