/* Settings of recorder and steward: whole, sealed and of this version, or not at all. */
#include "gateway/process/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/store/snapshot.h"

static void test_put(void **state)
{
    (void)state;
    char to[8];
    assert_true(settings_put(to, sizeof(to), SPAN("1234567")));
    assert_string_equal(to, "1234567");
    assert_false(settings_put(to, sizeof(to), SPAN("12345678")));
    assert_string_equal(to, "");
    assert_false(settings_put(to, sizeof(to), SPAN("a\0b")));
    assert_true(settings_put(to, sizeof(to), span_of(NULL, 0)));
    assert_string_equal(to, "");
}

static void test_folder(void **state)
{
    (void)state;
    static const struct {
        const char *path, *folder;
    } cases[] = {
        { "/var/log/audit.jsonl", "/var/log" }, { "/audit.jsonl", "/" }, { "audit.jsonl", "." },
        { "log/audit.jsonl", "log" },           { "log/", "log" },
    };
    char to[32];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(settings_folder(to, sizeof(to), cases[i].path));
        assert_string_equal(to, cases[i].folder);
    }
    assert_false(settings_folder(to, 4, "/var/log/audit.jsonl"));
}

static struct recorder_settings recorder;

static enum err open_recorder(const void *bytes, size_t size)
{
    int fd = snapshot_seal(span_of(bytes, size));
    assert_true(fd >= 0);
    const struct recorder_settings *opened = NULL;
    enum err err = recorder_settings_open(fd, &opened);
    if (err == OK) {
        assert_memory_equal(opened, bytes, size);
        assert_int_equal(munmap((void *)opened, size), 0);
    } else {
        (void)close(fd);
    }
    return err;
}

static void test_recorder(void **state)
{
    (void)state;
    recorder = (struct recorder_settings){ .layout = SETTINGS_LAYOUT };
    assert_true(settings_put(recorder.audit_path, sizeof(recorder.audit_path), SPAN("/a")));
    assert_int_equal(open_recorder(&recorder, sizeof(recorder)), OK);
    assert_int_equal(open_recorder(&recorder, sizeof(recorder) - 1), ERR_PROTOCOL);
    recorder.layout++;
    assert_int_equal(open_recorder(&recorder, sizeof(recorder)), ERR_PROTOCOL);
    recorder.layout--;
    memset(recorder.user, 'u', sizeof(recorder.user));
    assert_int_equal(open_recorder(&recorder, sizeof(recorder)), ERR_PROTOCOL);
}

static void test_unsealed(void **state)
{
    (void)state;
    recorder = (struct recorder_settings){ .layout = SETTINGS_LAYOUT };
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, &recorder, sizeof(recorder)), sizeof(recorder));
    const struct recorder_settings *opened = NULL;
    assert_int_equal(recorder_settings_open(fd, &opened), ERR_PROTOCOL);
    (void)close(fd);
}

static enum err open_steward(const struct steward_settings *settings, size_t size)
{
    int fd = snapshot_seal(span_of((const char *)settings, size));
    const struct steward_settings *opened = NULL;
    enum err err = steward_settings_open(fd, &opened);
    if (err == OK)
        assert_int_equal(munmap((void *)opened, size), 0);
    else
        (void)close(fd);
    return err;
}

/* The number of lists must agree with the size: otherwise a list would be read behind the end.
 */
static void test_steward(void **state)
{
    (void)state;
    size_t one = sizeof(struct watched_list), base = sizeof(struct steward_settings);
    struct steward_settings *settings = calloc(1, base + 2 * one);
    assert_non_null(settings);
    settings->layout = SETTINGS_LAYOUT;
    assert_int_equal(open_steward(settings, base), OK);
    settings->list_count = 2;
    assert_int_equal(open_steward(settings, base + 2 * one), OK);
    assert_int_equal(open_steward(settings, base + one), ERR_PROTOCOL);
    assert_int_equal(open_steward(settings, base), ERR_PROTOCOL);
    settings->list_count = 1;
    assert_int_equal(open_steward(settings, base + 2 * one), ERR_PROTOCOL);
    settings->list_count = UINT32_MAX;
    assert_int_equal(open_steward(settings, base), ERR_PROTOCOL);
    settings->list_count = 2;
    memset(settings->lists[1].path, 'p', sizeof(settings->lists[1].path));
    assert_int_equal(open_steward(settings, base + 2 * one), ERR_PROTOCOL);
    settings->lists[1].path[0] = settings->lists[1].path[sizeof(settings->lists[1].path) - 1] =
        '\0';
    assert_int_equal(open_steward(settings, base + 2 * one), OK);
    memset(settings->lists[1].url, 'u', sizeof(settings->lists[1].url));
    assert_int_equal(open_steward(settings, base + 2 * one), ERR_PROTOCOL);
    memset(settings, 0, base + 2 * one);
    settings->layout = SETTINGS_LAYOUT;
    settings->provider_count = PROVIDERS_MAX;
    assert_int_equal(open_steward(settings, base), OK);
    settings->provider_count++;
    assert_int_equal(open_steward(settings, base), ERR_PROTOCOL);
    settings->provider_count = 1;
    settings->providers[0].addr_count = PROVIDER_ADDRESSES_MAX + 1;
    assert_int_equal(open_steward(settings, base), ERR_PROTOCOL);
    settings->providers[0].addr_count = 0;
    memset(settings->providers[0].url, 'u', sizeof(settings->providers[0].url));
    assert_int_equal(open_steward(settings, base), ERR_PROTOCOL);
    free(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put),      cmocka_unit_test(test_folder),
        cmocka_unit_test(test_recorder), cmocka_unit_test(test_unsealed),
        cmocka_unit_test(test_steward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
