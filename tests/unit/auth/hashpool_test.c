/* The pool: answers arrive on the loop, the queue is bounded, what is abandoned costs nothing.
 */
#include "auth/hashpool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/net/worker.h"
#include "tests/unit/auth/hashes.h"
#include "tests/unit/check.h"

static struct worker worker;
static struct hashpool *pool;
static struct addr nobody; /* not a network address: no share */
static struct password_hash cheap, dear;

static int open_pool(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&worker.loop), OK);
    assert_int_equal(hashpool_open(&pool, &worker), OK);
    assert_null(password_hash_read(SPAN(HASH_2B), &cheap));
    assert_null(password_hash_read(SPAN(HASH_2B), &dear));
    memcpy(dear.text + 4, "12", 2); /* the cost: some 200 ms */
    return 0;
}

static int close_pool(void **state)
{
    (void)state;
    hashpool_close(pool);
    loop_close(&worker.loop);
    return 0;
}

static void turn_until_finished(const struct op *op)
{
    for (unsigned i = 0; !op->finished && i < 1000; i++)
        loop_turn(&worker.loop, 50);
    assert_true(op->finished);
}

static void turn_until_idle(void)
{
    for (unsigned i = 0; hashpool_load(pool) > 0 && i < 1000; i++)
        loop_turn(&worker.loop, 50);
    assert_int_equal(hashpool_load(pool), 0);
}

/* What the chain does with an op that it has the answer of. */
static bool take_answer(struct op *op)
{
    assert_int_equal(op->error, OK);
    bool right = *(const bool *)op->value;
    op->release(op);
    return right;
}

static void abandon(struct op *op)
{
    if (op->finished) {
        op->release(op);
        return;
    }
    op->abandoned = true;
    op->abandon(op);
}

static void answers_on_the_loop(void **state)
{
    (void)state;
    struct op *right = hashpool_verify(pool, &cheap, SPAN("open sesame"), &nobody);
    struct op *wrong = hashpool_verify(pool, &cheap, SPAN("close sesame"), &nobody);
    assert_non_null(right);
    assert_non_null(wrong);
    assert_int_equal(hashpool_load(pool), 2);
    turn_until_finished(right);
    turn_until_finished(wrong);
    assert_true(take_answer(right));
    assert_false(take_answer(wrong));
    assert_int_equal(hashpool_load(pool), 0);
}

/* 64 are taken, the next is not; each one answered makes room for one. */
static void the_queue_is_bounded(void **state)
{
    (void)state;
    struct op *ops[HASHPOOL_JOBS];
    for (unsigned i = 0; i < HASHPOOL_JOBS; i++) {
        ops[i] = hashpool_verify(
            pool, &cheap, i % 2 == 0 ? SPAN("open sesame") : SPAN("close sesame"), &nobody);
        assert_non_null(ops[i]);
    }
    assert_null(hashpool_verify(pool, &cheap, SPAN("open sesame"), &nobody));
    for (unsigned i = 0; i < HASHPOOL_JOBS; i++) {
        turn_until_finished(ops[i]);
        assert_int_equal(take_answer(ops[i]), i % 2 == 0);
    }
    assert_int_equal(hashpool_load(pool), 0);
}

/* A quarter is one client's; an IPv6 client is its /64. Others still get in. */
static void one_client_has_a_share(void **state)
{
    static const char *const own[] = { "2001:db8::1", "2001:db8::2:1" };
    struct op *ops[HASHPOOL_SHARE + 1];
    struct addr addrs[2], other;

    (void)state;
    assert_true(addr_parse(SPAN("2001:db8:0:1::1"), &other));
    for (unsigned i = 0; i < 2; i++)
        assert_true(addr_parse(span_text(own[i]), &addrs[i]));
    for (unsigned i = 0; i < HASHPOOL_SHARE; i++) {
        ops[i] = hashpool_verify(pool, &cheap, SPAN("x"), &addrs[i % 2]);
        assert_non_null(ops[i]);
    }
    assert_null(hashpool_verify(pool, &cheap, SPAN("x"), &addrs[0]));
    ops[HASHPOOL_SHARE] = hashpool_verify(pool, &cheap, SPAN("x"), &other);
    assert_non_null(ops[HASHPOOL_SHARE]);
    for (unsigned i = 0; i <= HASHPOOL_SHARE; i++) {
        turn_until_finished(ops[i]);
        assert_false(take_answer(ops[i]));
    }
    ops[0] = hashpool_verify(pool, &cheap, SPAN("x"), &addrs[0]);
    assert_non_null(ops[0]);
    abandon(ops[0]);
    turn_until_idle();
}

static void a_long_password_is_refused(void **state)
{
    (void)state;
    char password[PASSWORD_BYTES_MAX + 1];
    memset(password, 'a', sizeof(password));
    assert_null(hashpool_verify(pool, &cheap, span_of(password, sizeof(password)), &nobody));
    struct op *op =
        hashpool_verify(pool, &cheap, span_of(password, sizeof(password) - 1), &nobody);
    assert_non_null(op);
    turn_until_finished(op);
    assert_false(take_answer(op));
}

/* 64 such hashes on two threads would be more than 6 s; abandoned, they are passed over. */
static void what_is_abandoned_is_passed_over(void **state)
{
    (void)state;
    struct op *ops[HASHPOOL_JOBS];
    for (unsigned i = 0; i < HASHPOOL_JOBS; i++)
        ops[i] = hashpool_verify(pool, &dear, SPAN("open sesame"), &nobody);
    for (unsigned i = 0; i < HASHPOOL_JOBS; i++)
        abandon(ops[i]);
    uint64_t before = clock_mono_ns();
    turn_until_idle();
    assert_true(clock_mono_ns() - before < UINT64_C(3) * 1000 * 1000 * 1000);
}

static void an_op_that_is_done_may_be_abandoned(void **state)
{
    (void)state;
    struct op *op = hashpool_verify(pool, &cheap, SPAN("open sesame"), &nobody);
    turn_until_finished(op);
    abandon(op);
    assert_int_equal(hashpool_load(pool), 0);
}

/* Closing waits for the hash at hand, and forgets the rest. */
static void closes_with_work_at_hand(void **state)
{
    (void)state;
    struct worker other = { .index = 1 };
    struct hashpool *closing;
    assert_int_equal(loop_init(&other.loop), OK);
    assert_int_equal(hashpool_open(&closing, &other), OK);
    for (unsigned i = 0; i < HASHPOOL_JOBS; i++)
        assert_non_null(hashpool_verify(closing, &dear, SPAN("open sesame"), &nobody));
    hashpool_close(closing);
    loop_close(&other.loop);
}

/* In KiB; `name` with its colon. */
static unsigned long own_status(const char *name)
{
    char line[128];
    unsigned long value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoul(line + strlen(name), NULL, 10);
    fclose(file);
    assert_true(value > 0);
    return value;
}

static void memory_is_mapped_one_at_a_time(void **state)
{
    (void)state;
    enum { HASH_KIB = 65536, COUNT = 4 };
    static struct password_hash large;
    struct op *ops[COUNT];
    assert_null(password_hash_read(SPAN("$argon2id$v=19$m=65536,t=1,p=1$9QrNBZlD54ArkRVUj6wGeg$"
                                        "RChYkMldY0XiqAcoW75956W+LnUASm3P+uaF/sME3u8"),
                                   &large));
    FILE *forget = fopen("/proc/self/clear_refs", "w"); /* 5: the peak is what it is now */
    assert_non_null(forget);
    assert_true(fputs("5", forget) >= 0 && fclose(forget) == 0);
    unsigned long before = own_status("VmRSS:");
    for (unsigned i = 0; i < COUNT; i++) {
        ops[i] = hashpool_verify(pool, &large, SPAN("open sesame"), &nobody);
        assert_non_null(ops[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        turn_until_finished(ops[i]);
        assert_false(take_answer(ops[i]));
    }
    unsigned long grown = own_status("VmHWM:") - before;
    assert_in_range(grown, HASH_KIB / 2, HASH_KIB + HASH_KIB / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_on_the_loop),
        TEST(one_client_has_a_share),
        TEST(the_queue_is_bounded),
        TEST(a_long_password_is_refused),
        TEST(what_is_abandoned_is_passed_over),
        TEST(an_op_that_is_done_may_be_abandoned),
        TEST(memory_is_mapped_one_at_a_time),
        TEST(closes_with_work_at_hand),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
