/* Shared memory in the master: the same name is the same memory, of a size that nobody can
 * change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/process/master.h"

static struct master master;

static int set_up(void **state)
{
    (void)state;
    memset(&master, 0, sizeof(master));
    return memory_open(&master) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < REGIONS_MAX; i++)
        if (master.regions[i].fd >= 0)
            (void)close(master.regions[i].fd);
    return munmap(master.slots, sizeof(*master.slots));
}

static int get(const char *name, uint32_t layout, uint64_t size, int *fd)
{
    struct message message = { .kind = MESSAGE_MEMORY, .layout = layout, .number = size };
    (void)snprintf(message.name, sizeof(message.name), "%s", name);
    *fd = -1;
    return memory_get(&master, &message, fd);
}

static int got(const char *name, uint32_t layout, uint64_t size)
{
    int fd;
    assert_int_equal(get(name, layout, size, &fd), 0);
    assert_true(fd >= 0);
    return fd;
}

static void test_by_name(void **state)
{
    (void)state;
    int a = got("stage.a", 1, 4096);
    assert_int_equal(got("stage.a", 1, 4096), a);
    assert_int_not_equal(got("stage.b", 1, 4096), a);
    assert_int_not_equal(got("stage.a", 2, 4096), a);
    assert_int_not_equal(got("stage.a", 1, 8192), a);
}

static void test_size_is_for_ever(void **state)
{
    (void)state;
    int a = got("stage.a", 1, 4096);
    assert_int_equal(lseek(a, 0, SEEK_END), 4096);
    assert_int_not_equal(ftruncate(a, 0), 0);
    assert_int_not_equal(ftruncate(a, 8192), 0);
    assert_int_not_equal(fcntl(a, F_ADD_SEALS, F_SEAL_WRITE), 0);
}

static void test_bounds(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(get("", 1, 4096, &fd), EINVAL);
    assert_int_equal(get("stage.a", 1, 0, &fd), EINVAL);
    assert_int_equal(get("stage.a", 1, REGION_BYTES_MAX, &fd), 0);
    assert_int_equal(get("stage.a", 1, REGION_BYTES_MAX + 1, &fd), EINVAL);
    char name[32];
    int reason = 0;
    for (unsigned i = 0; i <= REGIONS_MAX && reason == 0; i++) {
        (void)snprintf(name, sizeof(name), "stage.%u", i);
        reason = get(name, 1, 4096, &fd);
    }
    assert_int_equal(reason, ENOSPC);
}

static void test_lifetimes(void **state)
{
    (void)state;
    int a = got("stage.a", 1, 4096), audit = got("audit", 1, 4096);
    memory_commit(&master);
    assert_int_equal(memory_find(&master, "audit"), audit);

    /* Refused: what only it wanted goes. */
    int b = got("stage.b", 1, 4096);
    memory_rollback(&master);
    assert_int_equal(fcntl(b, F_GETFD), -1);
    assert_int_not_equal(fcntl(a, F_GETFD), -1);

    /* The next one wants neither: the stage's goes, the core's stays. */
    memory_commit(&master);
    assert_int_equal(fcntl(a, F_GETFD), -1);
    assert_int_not_equal(fcntl(audit, F_GETFD), -1);
    assert_int_equal(memory_find(&master, "audit"), -1);
    assert_int_equal(got("audit", 1, 4096), audit);
}

static void test_boot_key(void **state)
{
    (void)state;
    static const uint8_t zeros[BOOT_KEY_BYTES];
    assert_memory_not_equal(master.slots->boot_key, zeros, sizeof(zeros));
    assert_int_equal(got("slots", SLOTS_LAYOUT, sizeof(struct slots)), master.slots_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_size_is_for_ever, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lifetimes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_boot_key, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
