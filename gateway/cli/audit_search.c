/*
 * `sallyport audit search`, `show` and `timeline`. Values come out of the log escaped as JSON,
 * so no client's byte reaches a terminal raw.
 */
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/cli/audit.h"

static void print_span(struct span value)
{
    (void)fwrite(value.p, 1, value.len, stdout);
}

/* ---- one line for a record ---- */

static struct span value_of(struct span line, enum block_key key)
{
    struct span value = { NULL, 0 };
    size_t at = 0;
    return line_value(line, key, &at, &value) ? value : span_of("", 0);
}

static struct span member_of(struct span line, struct span name)
{
    struct span value = { NULL, 0 };
    return line_member(line, name, &value) ? value : span_of("", 0);
}

static void print_padded(struct span value, int width)
{
    print_span(value);
    (void)printf("%*s", (int)value.len < width ? width - (int)value.len + 1 : 1, "");
}

static void print_summary(struct span line)
{
    struct span user = value_of(line, KEY_USER), method = member_of(line, SPAN("\"method\":"));
    struct span reason = value_of(line, KEY_REASON), rule = value_of(line, KEY_RULE);
    print_padded(member_of(line, SPAN("{\"@timestamp\":")), 24);
    print_padded(value_of(line, KEY_ACTION), 7);
    print_padded(value_of(line, KEY_STATUS), 3);
    print_padded(value_of(line, KEY_CLIENT), 15);
    if (user.len > 0)
        print_padded(user, 0);
    if (method.len > 0)
        print_padded(method, 0);
    print_span(value_of(line, KEY_HOST));
    print_padded(span_sub(member_of(line, SPAN("\"path\":")), 0, 120), 0);
    if (reason.len > 0)
        print_padded(reason, 0);
    if (rule.len > 0)
        print_padded(rule, 0);
    print_span(value_of(line, KEY_ID));
    (void)putchar('\n');
}

static bool print_hit(void *context, struct span line)
{
    const struct audit_command *command = context;
    if (!command->json) {
        print_summary(line);
    } else {
        print_span(line);
        (void)putchar('\n');
    }
    return ferror(stdout) == 0;
}

static int run(struct audit_command *command, search_hit *hit, void *context,
               struct search_stats *stats)
{
    enum err err = search(command->path, &command->query, command->arena, hit, context, stats);
    if (err == OK)
        return EXIT_GOOD;
    (void)usage_error("cannot search %s: %s", command->path, err_text(err));
    return EXIT_TROUBLE;
}

int audit_search(struct audit_command *command)
{
    struct search_stats stats;
    int code = run(command, print_hit, command, &stats);
    if (code == EXIT_GOOD && !command->json && stats.hits == 0)
        (void)fprintf(stderr, "nothing matches\n");
    return code;
}

/* ---- show ---- */

/* A string from its opening quote on; answers the index of the closing one. */
static size_t print_string(struct span line, size_t i)
{
    (void)putchar(line.p[i]);
    for (i++; i < line.len; i++) {
        (void)putchar(line.p[i]);
        if (line.p[i] == '"')
            break;
        if (line.p[i] == '\\' && i + 1 < line.len)
            (void)putchar(line.p[++i]);
    }
    return i;
}

/* The line again, each member in a row of its own. */
static void print_indented(struct span line)
{
    int depth = 0;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.p[i], next = i + 1 < line.len ? line.p[i + 1] : '\0';
        if (c == '"') {
            i = print_string(line, i);
        } else if ((c == '{' && next == '}') || (c == '[' && next == ']')) {
            (void)printf("%c%c", c, next);
            i++;
        } else if (c == '{' || c == '[') {
            depth++;
            (void)printf("%c\n%*s", c, 2 * depth, "");
        } else if (c == '}' || c == ']') {
            depth--;
            (void)printf("\n%*s%c", 2 * depth, "", c);
        } else if (c == ',') {
            (void)printf(",\n%*s", 2 * depth, "");
        } else {
            (void)putchar(c);
            if (c == ':')
                (void)putchar(' ');
        }
    }
    (void)putchar('\n');
}

static bool show_hit(void *context, struct span line)
{
    const struct audit_command *command = context;
    if (command->json) {
        print_span(line);
        (void)putchar('\n');
    } else {
        print_indented(line);
    }
    return true;
}

int audit_show(struct audit_command *command)
{
    struct search_stats stats;
    if (command->arguments->operand_count != 2)
        return usage_error("`audit show` takes the id of a request, as on the block page");
    command->query.values[KEY_ID] = span_text(command->arguments->operands[1]);
    int code = run(command, show_hit, command, &stats);
    if (code == EXIT_GOOD && stats.hits == 0) {
        (void)usage_error("no record of %s", command->arguments->operands[1]);
        return EXIT_TROUBLE;
    }
    return code;
}

/* ---- timeline ---- */

enum { TIMELINE_MAX = 2000000 };

struct moment {
    uint64_t us;
    struct span line;
};

struct timeline {
    struct arena *arena;
    struct moment *moments;
    size_t count, room;
    bool full;
};

static bool keep_hit(void *context, struct span line)
{
    struct timeline *timeline = context;
    if (timeline->count == timeline->room) {
        size_t room = timeline->room > 0 ? 2 * timeline->room : 1024;
        struct moment *moments = arena_array(timeline->arena, struct moment, room);
        timeline->full = moments == NULL;
        if (moments == NULL)
            return false;
        if (timeline->count > 0)
            memcpy(moments, timeline->moments, timeline->count * sizeof(*moments));
        timeline->moments = moments;
        timeline->room = room;
    }
    struct span kept = arena_copy(timeline->arena, line);
    timeline->full = kept.p == NULL || timeline->count == TIMELINE_MAX;
    if (timeline->full)
        return false;
    timeline->moments[timeline->count++] = (struct moment){ line_time(line), kept };
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->us != y->us)
        return x->us < y->us ? -1 : 1;
    return x->line.p < y->line.p ? -1 : x->line.p > y->line.p;
}

/* How often each action was taken, and how long it all took. */
static void print_sum(const struct timeline *timeline)
{
    static const char *const actions[] = {
        "pass", "detect", "reply", "block", "refuse", "fail"
    };
    uint64_t first = timeline->moments[0].us, last = timeline->moments[timeline->count - 1].us;
    (void)printf("%zu records in %llu s:", timeline->count,
                 (unsigned long long)((last - first) / 1000000u));
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        size_t count = 0;
        for (size_t k = 0; k < timeline->count; k++)
            count += span_equal(value_of(timeline->moments[k].line, KEY_ACTION),
                                span_text(actions[i]));
        if (count > 0)
            (void)printf(" %s %zu", actions[i], count);
    }
    (void)putchar('\n');
}

int audit_timeline(struct audit_command *command)
{
    struct timeline timeline = { .arena = command->arena };
    struct search_stats stats;
    int code = run(command, keep_hit, &timeline, &stats);
    if (code != EXIT_GOOD)
        return code;
    if (timeline.full)
        return usage_error("more than %d records: narrow the terms", TIMELINE_MAX);
    if (timeline.count == 0) {
        (void)fprintf(stderr, "nothing matches\n");
        return EXIT_GOOD;
    }
    qsort(timeline.moments, timeline.count, sizeof(timeline.moments[0]), by_time);
    for (size_t i = 0; i < timeline.count; i++)
        (void)print_hit(command, timeline.moments[i].line);
    if (!command->json)
        print_sum(&timeline);
    return EXIT_GOOD;
}
