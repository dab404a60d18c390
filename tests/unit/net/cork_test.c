/* The cork: what is written is sent behind events, each channel's bytes in order. */
#include "gateway/net/channel.h"

#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

enum { MUCH = 6 << 20 };

static struct plane plane;
static char much[MUCH];
static struct channel a, b, c;
static int far_a, far_b, far_c;
static unsigned drained, broken;

static void on_readable(struct channel *channel)
{
    while (channel_read(channel, plane.worker.scratch, SCRATCH_BYTES) > 0)
        ;
}

static void on_drained(struct channel *channel)
{
    (void)channel;
    drained++;
}

static void on_broken(struct channel *channel)
{
    broken++;
    channel_close(channel);
}

static const struct channel_events events = { on_readable, on_drained, on_broken };

static int open_one(struct channel *channel)
{
    int ends[2];

    plane_tcp(ends);
    assert_int_equal(channel_open(channel, &plane.worker, ends[1], NULL, &events), OK);
    return ends[0];
}

static int open_plane(void **state)
{
    (void)state;
    plane_open(&plane, NULL);
    far_a = open_one(&a);
    far_b = open_one(&b);
    far_c = open_one(&c);
    drained = broken = 0;
    for (size_t i = 0; i < MUCH; i++)
        much[i] = (char)(i * 2654435761u >> 13);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    channel_close(&a);
    channel_close(&b);
    channel_close(&c);
    int *const ends[] = { &far_a, &far_b, &far_c };
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (*ends[i] >= 0)
            plane_hang_up(ends[i]);
    }
    assert_int_equal(plane.worker.slabs.in_use, 0);
    plane_close(&plane);
    return 0;
}

/* Its time is not over soon, however slow the machine is. */
static void begin_turn(void)
{
    plane.worker.loop.clock.mono_ns = clock_mono_ns() + 60 * (uint64_t)1000000000;
}

static void no_pause(void)
{
    begin_turn();
    worker_flush(&plane.worker);
}

static void expect_heard(int far, struct span want)
{
    size_t heard = 0;

    while (heard < want.len) {
        struct span part = plane_hear(&plane, far, NULL);
        assert_true(part.len > 0 && part.len <= want.len - heard);
        assert_memory_equal(part.p, want.p + heard, part.len);
        heard += part.len;
    }
}

/* ---- turns ---- */

static void what_a_turn_writes_goes_out_behind_its_events(void **state)
{
    (void)state;
    begin_turn();
    channel_write(&a, SPAN("one "));
    memcpy(channel_room(&a, 100), "two ", 4);
    channel_wrote(&a, 4);
    no_pause();
    channel_write(&b, SPAN("other"));
    no_pause();
    channel_write(&a, SPAN("three"));
    no_pause();
    assert_int_equal(a.sent + b.sent, 0); /* nothing yet, whoever has the cork */
    assert_int_equal(a.unsent + b.unsent, 0);
    plane_turns(&plane, 1);
    assert_int_equal(a.sent, 13);
    assert_int_equal(b.sent, 5);
    assert_int_equal(a.corked + b.corked + plane.worker.corked_count, 0);
    assert_false(plane.worker.loop.gathered);
    expect_heard(far_a, SPAN("one two three"));
    expect_heard(far_b, SPAN("other"));
}

static void what_is_taken_back_is_not_sent(void **state)
{
    (void)state;
    begin_turn();
    channel_write(&b, SPAN("first"));
    channel_write(&a, SPAN("never"));
    channel_write(&b, SPAN("last"));
    channel_write(&a, SPAN("nor this"));
    channel_take_back(&a);
    assert_int_equal(a.corked, 0);
    plane_turns(&plane, 1);
    assert_int_equal(a.sent, 0);
    expect_heard(far_b, SPAN("firstlast"));
    channel_write(&a, SPAN("then"));
    channel_take_back(&a);
    assert_false(plane.worker.loop.gathered); /* there is nothing else */
    channel_write(&a, SPAN("at last"));
    plane_turns(&plane, 1);
    expect_heard(far_a, SPAN("at last"));
}

static struct task writer, looker;
static uint64_t sent_then;

static void write_b(struct task *task)
{
    (void)task;
    channel_write(&b, SPAN("from a task"));
    no_pause();
}

static void look(struct task *task)
{
    (void)task;
    sent_then = a.sent;
}

static void tasks_find_gone_what_events_wrote(void **state)
{
    (void)state;
    writer.run = write_b;
    looker.run = look;
    loop_post(&plane.worker.loop, &looker);
    loop_post(&plane.worker.loop, &writer);
    channel_write(&a, SPAN("from an event"));
    no_pause();
    plane_turns(&plane, 1);
    assert_int_equal(sent_then, 13);
    assert_int_equal(b.sent, 0); /* it goes with what the next events write */
    plane_turns(&plane, 1);
    assert_int_equal(b.sent, 11);
}

static void a_long_turn_lets_nobody_wait(void **state)
{
    struct loop *loop = &plane.worker.loop;

    (void)state;
    begin_turn();
    channel_write(&a, SPAN("first"));
    worker_flush(&plane.worker);
    assert_int_equal(a.sent, 0);
    channel_flush(&a);
    assert_int_equal(a.sent, 5);
    /* Time counts from the turn in which the first of it was written. */
    loop->clock.mono_ns = clock_mono_ns() - GATHER_NS;
    channel_write(&a, SPAN("next"));
    begin_turn();
    channel_write(&a, SPAN("."));
    worker_flush(&plane.worker);
    assert_int_equal(a.sent, 10);
    /* From then on it is time from there that counts. */
    loop->clock.mono_ns = clock_mono_ns() - GATHER_NS;
    channel_write(&a, SPAN("second"));
    plane.worker.flushed_ns = clock_mono_ns() + 60 * (uint64_t)1000000000;
    worker_flush(&plane.worker);
    assert_int_equal(a.sent, 10);
    plane.worker.flushed_ns = clock_mono_ns() - GATHER_NS;
    worker_flush(&plane.worker);
    assert_int_equal(a.sent, 16);
}

static void who_does_not_gather_sends_at_once(void **state)
{
    (void)state;
    plane.worker.loop.flush = NULL;
    channel_write(&a, SPAN("at once"));
    assert_int_equal(a.sent, 0);
    no_pause();
    assert_int_equal(a.sent, 7);
}

/* ---- bounds ---- */

static void a_full_cork_is_emptied(void **state)
{
    (void)state;
    begin_turn();
    for (unsigned i = 0; i < CORKED_MAX; i++)
        channel_write(i % 2 == 0 ? &a : &b, SPAN("x"));
    assert_int_equal(a.sent + b.sent, 0);
    assert_int_equal(plane.worker.corked_count, CORKED_MAX);
    channel_write(&b, SPAN("y")); /* goes on with the last piece */
    assert_int_equal(a.sent + b.sent, 0);
    channel_write(&a, SPAN("z")); /* one piece more */
    assert_int_equal(a.sent, CORKED_MAX / 2);
    assert_int_equal(b.sent, CORKED_MAX / 2 + 1);
    assert_int_equal(plane.worker.corked_count, 1);

    channel_flush(&a);
    assert_null(channel_room(&a, CORK_BYTES + 1));
    memset(channel_room(&a, CORK_BYTES), 'x', CORK_BYTES);
    channel_wrote(&a, CORK_BYTES);
    assert_int_equal(a.sent, CORKED_MAX / 2 + 1);
    channel_write(&b, SPAN("!"));
    assert_int_equal(a.sent + a.unsent, CORKED_MAX / 2 + 1 + CORK_BYTES);
}

static void order_is_kept_across_all_ways_to_write(void **state)
{
    static const size_t sizes[] = { 1, 100, 16384, 16385, 40000, 65536, 65537, 200000, 3 };
    size_t at = 0;

    (void)state;
    begin_turn();
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            channel_write(&a, span_of(much + at, sizes[i]));
            at += sizes[i];
            channel_write(&b, span_of(much, sizes[i] % 100));
            memcpy(channel_room(&a, 6000), much + at, 6000);
            channel_wrote(&a, 6000);
            at += 6000;
            if (i % 4 == round)
                channel_flush(&a);
        }
    }
    no_pause();
    expect_heard(far_a, span_of(much, at));
}

/* ---- one channel's own ---- */

static void a_flush_sends_its_own_only(void **state)
{
    (void)state;
    begin_turn();
    channel_write(&a, SPAN("a1 "));
    channel_write(&b, SPAN("b1 "));
    channel_write(&a, SPAN("a2 "));
    channel_write(&c, SPAN("c1"));
    channel_flush(&a);
    assert_int_equal(a.sent, 6);
    assert_int_equal(b.sent + c.sent, 0);
    channel_flush(&c);
    assert_int_equal(plane.worker.cork_len, 6); /* what was behind b's is free again */
    channel_write(&a, SPAN("a3"));
    channel_write(&b, SPAN("b2"));
    plane_turns(&plane, 1);
    expect_heard(far_a, SPAN("a1 a2 a3"));
    expect_heard(far_b, SPAN("b1 b2"));
    expect_heard(far_c, SPAN("c1"));
}

static void what_is_large_goes_behind_what_is_corked(void **state)
{
    (void)state;
    begin_turn();
    channel_write(&a, span_of(much, 10));
    channel_write(&b, SPAN("other"));
    channel_write(&a, span_of(much + 10, 90));
    channel_write(&a, span_of(much + 100, 20000));
    assert_int_equal(a.sent, 20100);
    assert_int_equal(b.sent, 0);
    expect_heard(far_a, span_of(much, 20100));
}

static void what_is_corked_goes_behind_what_waits(void **state)
{
    (void)state;
    begin_turn();
    channel_write(&a, span_of(much, MUCH - 100));
    assert_true(a.unsent > 0);
    channel_write(&a, span_of(much + MUCH - 100, 100));
    no_pause();
    size_t before = a.unsent;
    plane_turns(&plane, 1);
    assert_int_equal(a.unsent + a.sent, MUCH);
    assert_true(a.unsent <= before + 100);
    assert_int_equal(drained, 0);
    expect_heard(far_a, span_of(much, MUCH));
    plane_turns(&plane, 2);
    assert_int_equal(a.unsent, 0);
    assert_int_equal(drained, 1);
}

/* ---- ends ---- */

static void a_closed_channel_leaves_nothing_behind(void **state)
{
    enum plane_over over;

    (void)state;
    begin_turn();
    channel_write(&b, SPAN("still here"));
    channel_write(&a, SPAN("last "));
    channel_write(&c, SPAN("me too"));
    channel_write(&a, SPAN("words"));
    channel_close(&a);
    memset(&a, 0xa5, sizeof a); /* its memory is another's now */
    plane_turns(&plane, 1);
    assert_text(plane_hear(&plane, far_a, &over), "last words");
    assert_int_equal(over, PLANE_ENDED);
    expect_heard(far_b, SPAN("still here"));
    expect_heard(far_c, SPAN("me too"));
    memset(&a, 0, sizeof a);
    a.watch.fd = -1;
}

/* Who writes on to a channel that is gone has its memory for the while only. */
static void who_has_failed_corks_nothing(void **state)
{
    (void)state;
    begin_turn();
    channel_close(&a);
    channel_write(&a, SPAN("nobody hears this"));
    memcpy(channel_room(&a, 6), "nor it", 6);
    channel_wrote(&a, 6);
    assert_int_equal(plane.worker.corked_count + a.corked, 0);
    channel_write(&b, SPAN("heard"));
    plane_turns(&plane, 1);
    expect_heard(far_b, SPAN("heard"));
}

static void an_end_comes_behind_what_is_corked(void **state)
{
    enum plane_over over;

    (void)state;
    begin_turn();
    channel_write(&a, SPAN("good"));
    channel_write(&b, SPAN("other"));
    channel_write(&a, SPAN("bye"));
    channel_shut(&a);
    channel_write(&a, SPAN("too late"));
    assert_text(plane_hear(&plane, far_a, &over), "goodbye");
    assert_int_equal(over, PLANE_ENDED);
}

static void one_that_is_gone_keeps_nobody_waiting(void **state)
{
    (void)state;
    plane_reset(&far_b);
    begin_turn();
    for (unsigned i = 0; i < 3; i++) {
        channel_write(&a, SPAN("a"));
        channel_write(&b, SPAN("b"));
        channel_write(&c, SPAN("c"));
    }
    plane_turns(&plane, 3);
    expect_heard(far_a, SPAN("aaa"));
    expect_heard(far_c, SPAN("ccc"));
    assert_true(b.failed);
}

static void a_moved_channel_takes_nothing_of_it_along(void **state)
{
    struct channel to;

    (void)state;
    begin_turn();
    channel_write(&b, SPAN("other"));
    channel_write(&a, SPAN("old "));
    assert_int_equal(channel_move(&to, &a, &events), OK);
    channel_write(&to, SPAN("new"));
    plane_turns(&plane, 1);
    expect_heard(far_a, SPAN("old new"));
    channel_close(&to);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_a_turn_writes_goes_out_behind_its_events),
        CASE(what_is_taken_back_is_not_sent),
        CASE(tasks_find_gone_what_events_wrote),
        CASE(a_long_turn_lets_nobody_wait),
        CASE(who_does_not_gather_sends_at_once),
        CASE(a_full_cork_is_emptied),
        CASE(order_is_kept_across_all_ways_to_write),
        CASE(a_flush_sends_its_own_only),
        CASE(what_is_large_goes_behind_what_is_corked),
        CASE(what_is_corked_goes_behind_what_waits),
        CASE(a_closed_channel_leaves_nothing_behind),
        CASE(who_has_failed_corks_nothing),
        CASE(an_end_comes_behind_what_is_corked),
        CASE(one_that_is_gone_keeps_nobody_waiting),
        CASE(a_moved_channel_takes_nothing_of_it_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
