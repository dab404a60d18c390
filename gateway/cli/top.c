/*
 * `sallyport top`: rates between two looks at the metrics, which come through the control
 * socket. Names are of the configuration; they are printed clean all the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/table.h"
#include "gateway/cli/control.h"
#include "gateway/cli/explain.h"
#include "gateway/cli/loaded.h"

enum { SERIES_MAX = 65536, ROWS_DEFAULT = 40, EVERY_S = 2, TEXT_MAX = 8 * 1024 * 1024 };

struct look {
    struct arena arena;
    json_t *answer;
    struct table values; /* name and labels -> uint64_t, as the text has them */
    struct span text;
    uint64_t at_ns;
};

struct row {
    struct span name;
    double rate;
    uint64_t total;
};

/* ---- looking ---- */

/* name{labels} value */
static bool take_sample(struct span line, struct span *name, uint64_t *value)
{
    size_t at = line.len;
    while (at > 0 && line.p[at - 1] != ' ')
        at--;
    *name = span_sub(line, 0, at > 0 ? at - 1 : 0);
    return line.len > 0 && line.p[0] != '#' && at > 1 &&
           span_uint(span_sub(line, at, line.len), value);
}

static int look(const struct arguments *arguments, struct look *look)
{
    struct span rest, line, name;
    *look = (struct look){ .answer = NULL };
    int code = control_ask(arguments, json_pack("{s:s}", "command", "metrics"), &look->answer);
    if (code != EXIT_GOOD)
        return code;
    look->at_ns = clock_mono_ns();
    arena_init(&look->arena, NULL, 0, NULL, (size_t)64 << 20);
    look->text = span_text(json_string_value(json_object_get(look->answer, "metrics")));
    if (look->text.len == 0 || look->text.len > TEXT_MAX ||
        table_init(&look->values, &look->arena, SERIES_MAX) != OK)
        return EXIT_TROUBLE;
    rest = look->text;
    while (rest.p != NULL && span_cut(&rest, '\n', &line)) {
        uint64_t value, *kept;
        if (!take_sample(line, &name, &value))
            continue;
        kept = arena_new(&look->arena, uint64_t);
        if (kept == NULL || table_put(&look->values, name, kept) == ERR_LIMIT)
            return EXIT_TROUBLE;
        *kept = value;
    }
    return EXIT_GOOD;
}

static void forget(struct look *look)
{
    json_decref(look->answer);
    if (look->at_ns != 0)
        arena_reset(&look->arena);
    *look = (struct look){ .answer = NULL };
}

static uint64_t value_of(const struct look *look, struct span name)
{
    const uint64_t *value = table_get(&look->values, name);
    return value != NULL ? *value : 0;
}

static double rate_of(const struct look *before, const struct look *now, struct span name)
{
    uint64_t then = value_of(before, name), here = value_of(now, name);
    double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    return here > then && seconds > 0 ? (double)(here - then) / seconds : 0;
}

/* ---- telling ---- */

static int by_rate(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->rate != y->rate)
        return x->rate < y->rate ? 1 : -1;
    return (x->total < y->total) - (x->total > y->total);
}

/* All series of one family, fastest first. */
static size_t rows_of(const struct look *before, struct look *now, struct span family,
                      struct row **rows)
{
    struct span rest = now->text, line, name;
    size_t count = 0;
    uint64_t value;
    *rows = arena_array(&now->arena, struct row, SERIES_MAX);
    while (*rows != NULL && rest.p != NULL && span_cut(&rest, '\n', &line)) {
        if (count == SERIES_MAX || !take_sample(line, &name, &value) ||
            !span_starts(name, family) || name.len <= family.len || name.p[family.len] != '{')
            continue;
        (*rows)[count++] = (struct row){ .name = span_sub(name, family.len, name.len),
                                         .rate = rate_of(before, now, name),
                                         .total = value };
    }
    if (*rows != NULL)
        qsort(*rows, count, sizeof(**rows), by_rate);
    return *rows != NULL ? count : 0;
}

static void print_family(const struct look *before, struct look *now, const char *title,
                         struct span family, size_t room)
{
    struct row *rows;
    size_t count = rows_of(before, now, family, &rows), shown = 0;
    (void)printf("\n%12s %12s  %s\n", "per second", "in all", title);
    for (size_t i = 0; i < count && shown < room; i++) {
        if (rows[i].total == 0)
            continue;
        (void)printf("%12.1f %12llu  ", rows[i].rate, (unsigned long long)rows[i].total);
        print_clean(arena_cstring(&now->arena, rows[i].name), 120);
        (void)putchar('\n');
        shown++;
    }
}

static size_t rows_of_terminal(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 16)
        return ROWS_DEFAULT;
    return size.ws_row;
}

static const struct {
    const char *title, *name;
} sums[] = {
    { "requests", "sallyport_requests_total" },
    { "denied", "sallyport_requests_denied_total" },
    { "refused heads", "sallyport_requests_refused_total" },
    { "forwarded", "sallyport_requests_forwarded_total" },
    { "upstream failures", "sallyport_upstream_failures_total" },
    { "records lost", "sallyport_audit_ring_full_total" },
};

static void print_human(const struct look *before, struct look *now, bool clear)
{
    size_t rows = rows_of_terminal(), room = (rows - 8 - ARRAY_LEN(sums)) / 2;
    if (clear)
        (void)printf("\033[H\033[J");
    (void)printf("%12s %12s\n", "per second", "in all");
    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        (void)printf("%12.1f %12llu  %s\n", rate_of(before, now, span_text(sums[i].name)),
                     (unsigned long long)value_of(now, span_text(sums[i].name)), sums[i].title);
    print_family(before, now, "what stages decided", SPAN("sallyport_decisions_total"), room);
    print_family(before, now, "answers", SPAN("sallyport_http_requests_total"), room);
}

static void print_json(const struct look *before, struct look *now)
{
    json_t *all = json_object();
    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        (void)json_object_set_new(
            all, sums[i].name,
            json_pack("{s:f, s:I}", "rate", rate_of(before, now, span_text(sums[i].name)),
                      "total", (json_int_t)value_of(now, span_text(sums[i].name))));
    (void)json_dumpf(all, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(all);
}

/* ---- the verb ---- */

static int watch(const struct arguments *arguments, int64_t every_s, uint64_t count, bool json)
{
    struct look before, now;
    bool clear = !json && isatty(STDOUT_FILENO);
    int code = look(arguments, &before);
    for (uint64_t i = 0; code == EXIT_GOOD && (count == 0 || i < count); i++) {
        struct timespec pause = { .tv_sec = (time_t)every_s };
        (void)nanosleep(&pause, NULL);
        code = look(arguments, &now);
        if (code == EXIT_GOOD && json)
            print_json(&before, &now);
        else if (code == EXIT_GOOD)
            print_human(&before, &now, clear);
        if (fflush(stdout) != 0)
            code = EXIT_TROUBLE;
        forget(&before);
        before = now;
    }
    forget(&before);
    return code;
}

int verb_top(const struct arguments *arguments)
{
    struct arguments asked = *arguments;
    struct loaded loaded = { .config = NULL };
    const char *every = arguments->values[FLAG_EVERY],
               *times = arguments->values[FLAG_COUNT_OF];
    int64_t every_s = EVERY_S;
    uint64_t count = 0;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (every != NULL && (!length_read(span_text(every), &every_s) || every_s < 1))
        return usage_error("--every takes a time: 1s, 5s, 1m");
    if (times != NULL && !span_uint(span_text(times), &count))
        return usage_error("--count takes a number");
    /* The configuration is read once, and not at each look. */
    if (asked.values[FLAG_CONTROL] == NULL && asked.values[FLAG_CONFIG] != NULL) {
        loaded_outline(&loaded, asked.values[FLAG_CONFIG]);
        if (loaded.config == NULL) {
            loaded_print(&loaded, STDERR_FILENO, false);
            return EXIT_BAD;
        }
        asked.values[FLAG_CONTROL] =
            arena_cstring(&loaded.arena, loaded.config->server.control.text);
    }
    return watch(&asked, every_s, count, json);
}
