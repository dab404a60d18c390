/* The log: one whole line a call, hostile values, levels, the cap of a site; and invariants. */
#include "tests/unit/check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/log.h"

static char output[64 * 1024];

/* What `fn` writes to standard error. */
static struct span captured(void (*fn)(void))
{
    int saved = dup(STDERR_FILENO);
    FILE *file = tmpfile();
    assert_non_null(file);
    dup2(fileno(file), STDERR_FILENO);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t len = pread(fileno(file), output, sizeof(output), 0);
    fclose(file);
    assert_true(len >= 0);
    return span_of(output, (size_t)len);
}

static bool holds(struct span lines, struct span part)
{
    return span_find(lines, part) >= 0;
}

static size_t count_lines(struct span lines)
{
    size_t count = 0;
    for (size_t i = 0; i < lines.len; i++)
        count += lines.p[i] == '\n';
    return count;
}

static void print_fields(void)
{
    log_open("tester", LOG_INFO);
    log_warn("something is wrong", F_SPAN("path", SPAN("%s%n\"\n{\"level\":\"info\"}")),
             F_TEXT("name", "upstream"), F_INT("count", -3), F_ERR(ERR_TIMEOUT),
             F_ERRNO(ECONNREFUSED));
    log_info("nothing more");
}

static void fields_and_levels(void **state)
{
    (void)state;
    struct span lines = captured(print_fields);
    assert_int_equal(count_lines(lines), 2);
    assert_true(holds(lines, SPAN("\"level\":\"warn\",\"role\":\"tester\",\"pid\":")));
    assert_true(
        holds(lines, SPAN("\"message\":\"something is wrong\",\"path\":\"%s%n\\\"\\n{\\\"")));
    assert_true(
        holds(lines, SPAN("\"name\":\"upstream\",\"count\":-3,\"error\":\"deadline passed\","
                          "\"errno\":\"ECONNREFUSED\"}\n")));
    assert_true(holds(lines, SPAN("\"message\":\"nothing more\"}\n")));
}

static void print_below(void)
{
    log_open("tester", LOG_WARN);
    log_info("not shown");
    log_debug("not shown");
}

static void print_often(void)
{
    for (int i = 0; i < LOG_PER_SITE_PER_MINUTE + 10; i++)
        log_error("again");
    static struct log_site site = { .minute = 1, .printed = 1000, .held = 7 };
    log_write(&site, LOG_ERROR, "another minute", NULL);
}

static void levels_and_the_cap_of_a_site(void **state)
{
    (void)state;
    assert_int_equal(captured(print_below).len, 0);
    struct span lines = captured(print_often);
    /* A minute that turns in between lets through up to ten more. */
    assert_in_range(count_lines(lines), LOG_PER_SITE_PER_MINUTE + 1,
                    LOG_PER_SITE_PER_MINUTE + 11);
    assert_true(holds(lines, SPAN("\"message\":\"another minute\",\"held\":7}")));
}

static void print_long(void)
{
    static char noise[4000];
    memset(noise, 1, sizeof(noise)); /* six bytes each when escaped */
    struct span value = span_of(noise, sizeof(noise));
    log_error("one", F_SPAN("a", value));
    log_error("four", F_SPAN("a", value), F_SPAN("b", value), F_SPAN("c", value));
}

static void long_values_are_cut(void **state)
{
    (void)state;
    struct span lines = captured(print_long);
    assert_int_equal(count_lines(lines), 2);
    assert_true(holds(lines, SPAN("\\u0001\"}\n")));
    assert_true(holds(lines, SPAN("\"message\":\"four\",\"cut\":true}\n")));
}

static void break_invariant(void)
{
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        signal(SIGABRT, SIG_DFL);
        INVARIANT(output[0] == '"' && output[1] == '"');
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void invariants_end_the_process(void **state)
{
    (void)state;
    struct span lines = captured(break_invariant);
    assert_true(holds(lines, SPAN("\"condition\":\"output[0] == '\\\"' &&")));
    assert_true(holds(lines, SPAN("\"file\":\"tests/unit/base/log_test.c\"")));
    assert_int_equal(count_lines(lines), 1);
}

static void every_error_has_its_text(void **state)
{
    (void)state;
    assert_string_equal(err_text(OK), "no error");
    assert_string_equal(err_text(ERR_CONFIG), "configuration refused");
    assert_non_null(err_text((enum err)10000));
    for (int e = OK; e <= (int)ERR_CONFIG; e++)
        assert_true(strlen(err_text((enum err)e)) > 3);
}

int main(void)
{
    return RUN(TEST(fields_and_levels), TEST(levels_and_the_cap_of_a_site),
               TEST(long_values_are_cut), TEST(invariants_end_the_process),
               TEST(every_error_has_its_text));
}
