/* The snapshot channel: only what is sealed, of the stated size and well-formed replaces what a
 * worker has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/store/snapshot.h"

static struct arena arena;
static struct snapshots snapshots;
static int pair[2];

/* This kind's own check: it begins with "good". */
static bool begins_good(enum snapshot_kind kind, struct span bytes)
{
    return kind == SNAPSHOT_ADDRESS_LIST && span_starts(bytes, SPAN("good"));
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    assert_int_equal(snapshots_init(&snapshots, &arena, 2), OK);
    snapshots.valid = begins_good;
    snapshot_initial(&snapshots, 0, SPAN("good at load"));
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < snapshots.count; i++)
        if (snapshots.items[i].mapped)
            (void)munmap((void *)(uintptr_t)snapshots.items[i].bytes.p,
                         snapshots.items[i].bytes.len);
    arena_reset(&arena);
    (void)close(pair[0]);
    (void)close(pair[1]);
    return 0;
}

static struct snapshot_message head(uint32_t id, uint64_t bytes)
{
    return (struct snapshot_message){
        .magic = SNAPSHOT_MAGIC, .id = id, .version = 2, .bytes = bytes
    };
}

static enum err publish(struct snapshot_message message, int memfd)
{
    assert_int_equal(snapshot_send(pair[0], memfd, &message), OK);
    return snapshots_receive(&snapshots, pair[1]);
}

static void test_swap(void **state)
{
    (void)state;
    int memfd = snapshot_seal(SPAN("good and new"));
    assert_true(memfd >= 0);
    assert_int_equal(publish(head(0, 12), memfd), OK);
    assert_true(span_equal(snapshot_get(&snapshots, 0), SPAN("good and new")));
    assert_int_equal(snapshots.items[0].version, 2);
    assert_int_equal(publish(head(1, 12), memfd), OK); /* an id without a first one */
    assert_int_equal(publish(head(0, 12), memfd), OK); /* and again, over a mapped one */
    (void)close(memfd);
}

static void test_refused(void **state)
{
    (void)state;
    int good = snapshot_seal(SPAN("good and new")), bad = snapshot_seal(SPAN("evil and new"));
    int open_fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int no_seal = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(write(open_fd, "good and new", 12), 12);
    assert_int_equal(write(no_seal, "good and new", 12), 12);
    int partly = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(partly, "good and new", 12), 12);
    assert_int_equal(fcntl(partly, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    struct snapshot_message magic = head(0, 12), kind = head(0, 12);
    magic.magic ^= 1;
    kind.kind = SNAPSHOT_KINDS;
    struct snapshot_message other = head(0, 12); /* of a kind that there is, but not here */
    other.kind = SNAPSHOT_GEO_DATABASE;
    const struct {
        struct snapshot_message message;
        int fd;
        enum err err;
    } cases[] = {
        { magic, good, ERR_PROTOCOL },
        { kind, good, ERR_PROTOCOL },
        { other, good, ERR_PROTOCOL },
        { head(2, 12), good, ERR_PROTOCOL },
        { head(UINT32_MAX, 12), good, ERR_PROTOCOL },
        { head(0, 11), good, ERR_PROTOCOL },
        { head(0, 13), good, ERR_PROTOCOL },
        { head(0, 0), good, ERR_PROTOCOL },
        { head(0, (uint64_t)SNAPSHOT_BYTES_MAX + 1), good, ERR_PROTOCOL },
        { head(0, 12), bad, ERR_SYNTAX },
        { head(0, 12), open_fd, ERR_PROTOCOL },
        { head(0, 12), no_seal, ERR_PROTOCOL },
        { head(0, 12), partly, ERR_PROTOCOL },
        { head(0, 12), null, ERR_PROTOCOL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(publish(cases[i].message, cases[i].fd), cases[i].err);
        assert_true(span_equal(snapshot_get(&snapshots, 0), SPAN("good at load")));
    }
    const int all[] = { good, bad, open_fd, no_seal, partly, null };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)close(all[i]);
}

static void test_no_descriptor(void **state)
{
    (void)state;
    struct snapshot_message message = head(0, 12);
    assert_int_equal(send(pair[0], &message, sizeof(message), 0), sizeof(message));
    assert_int_equal(snapshots_receive(&snapshots, pair[1]), ERR_PROTOCOL);
    assert_int_equal(snapshots_receive(&snapshots, pair[1]), ERR_BUSY);
}

/* Sealed means sealed: the publisher itself cannot change it any more. */
static void test_sealed(void **state)
{
    (void)state;
    int memfd = snapshot_seal(SPAN("good and new"));
    assert_true(write(memfd, "x", 1) < 0);
    assert_true(ftruncate(memfd, 0) != 0);
    assert_ptr_equal(mmap(NULL, 12, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0), MAP_FAILED);
    (void)close(memfd);
}

static void test_loop(void **state)
{
    (void)state;
    static struct loop loop;
    assert_int_equal(loop_init(&loop), OK);
    assert_int_equal(snapshots_listen(&snapshots, &loop, pair[1]), OK);
    int memfd = snapshot_seal(SPAN("good and new"));
    struct snapshot_message message = head(1, 12);
    assert_int_equal(snapshot_send(pair[0], memfd, &message), OK);
    loop_turn(&loop, 1000);
    assert_true(span_equal(snapshot_get(&snapshots, 1), SPAN("good and new")));

    (void)close(pair[0]); /* nobody is left to send */
    pair[0] = -1;
    loop_turn(&loop, 1000);
    assert_int_equal(snapshots.watch.fd, -1);
    assert_true(span_equal(snapshot_get(&snapshots, 1), SPAN("good and new")));
    (void)close(memfd);
    loop_close(&loop);
}

/* A worker that does not read cannot stall the steward. */
static void test_full(void **state)
{
    (void)state;
    int memfd = snapshot_seal(SPAN("good and new"));
    struct snapshot_message message = head(0, 12);
    enum err err = OK;
    for (int i = 0; i < 100000 && err == OK; i++)
        err = snapshot_send(pair[0], memfd, &message);
    assert_int_equal(err, ERR_BUSY);
    (void)close(memfd);
}

static void test_count(void **state)
{
    (void)state;
    struct snapshots many;
    assert_int_equal(snapshots_init(&many, &arena, SNAPSHOT_IDS_MAX), OK);
    assert_int_equal(snapshots_init(&many, &arena, SNAPSHOT_IDS_MAX + 1), ERR_LIMIT);
}

static unsigned came_count;
static uint32_t came_id;

static void on_came(struct snapshot_listener *listener, uint32_t id)
{
    (void)listener;
    came_count++;
    came_id = id;
}

static void a_worker_asks_and_is_told(void **state)
{
    (void)state;
    struct snapshot_listener listener = { .came = on_came }, other = { .came = on_came };
    uint32_t id = 9;
    came_count = 0;
    snapshots.watch.fd = pair[1];
    assert_true(snapshot_ask(&snapshots, 1));
    assert_int_equal(snapshot_asked(pair[0], &id), OK);
    assert_int_equal(id, 1);
    assert_int_equal(snapshot_asked(pair[0], &id), ERR_BUSY);

    snapshots_tell(&snapshots, &listener);
    snapshots_tell(&snapshots, &other);
    snapshots_forget(&snapshots, &listener);
    struct snapshot_message nothing = { .magic = SNAPSHOT_ASK_MAGIC, .id = 1 };
    assert_int_equal(publish(nothing, -1), OK);
    assert_int_equal(came_count, 1);
    assert_int_equal(came_id, 1);
    nothing.id = 77; /* nobody's */
    assert_int_equal(publish(nothing, -1), OK);
    assert_int_equal(came_count, 1);
    nothing.magic++;
    assert_int_equal(publish(nothing, -1), ERR_PROTOCOL);

    /* What a worker that was taken over may send instead. */
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    assert_int_equal(snapshot_asked(pair[0], &id), ERR_PROTOCOL);
    char large[4096] = { 0 };
    assert_int_equal(send(pair[1], large, sizeof large, 0), sizeof large);
    assert_int_equal(snapshot_asked(pair[0], &id), ERR_PROTOCOL);
    snapshots_forget(&snapshots, &other);
    snapshots.watch.fd = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_swap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sealed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_worker_asks_and_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
