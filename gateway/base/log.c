/* One JSON line a call, in one write, so that lines of several processes never mix. */
#include "gateway/base/log.h"

#include <errno.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/json.h"

enum {
    LINE_BYTES = 8192,
    VALUE_BYTES = 512, /* of a text field; more is cut */
};

static const struct span level_names[] = {
    [LOG_DEBUG] = SPAN_INIT("debug"),
    [LOG_INFO] = SPAN_INIT("info"),
    [LOG_WARN] = SPAN_INIT("warn"),
    [LOG_ERROR] = SPAN_INIT("error"),
};

/* Set once, before the process has a second thread. */
static struct {
    const char *role;
    enum log_level least;
} log_config = { .role = "sallyport", .least = LOG_INFO };

void log_open(const char *role, enum log_level least)
{
    log_config.role = role;
    log_config.least = least;
}

static void add_field(struct json *j, const struct log_field *field)
{
    const char *name = NULL;
    switch (field->kind) {
    case LOG_FIELD_END:
        return;
    case LOG_FIELD_SPAN:
        json_text(j, field->name, span_sub(field->text, 0, VALUE_BYTES));
        return;
    case LOG_FIELD_INT:
        json_int(j, field->name, field->number);
        return;
    case LOG_FIELD_ERR:
        json_text(j, field->name, span_text(err_text((enum err)field->number)));
        return;
    case LOG_FIELD_ERRNO:
        name = strerrorname_np((int)field->number);
        json_text(j, field->name, span_text(name != NULL ? name : "unknown"));
        return;
    }
}

struct line {
    uint64_t wall_us;
    enum log_level level;
    const char *message;
    unsigned held;
    bool cut; /* the fields were left out */
};

static void compose(struct text *out, const struct line *line, const struct log_field *fields)
{
    struct json j = json_writer(out);
    char time[32];
    struct text stamp = text_fixed(time, sizeof(time));
    clock_write_iso(&stamp, line->wall_us);

    json_begin_object(&j, NULL);
    json_text(&j, "time", text_span(&stamp));
    json_text(&j, "level", level_names[line->level]);
    json_text(&j, "role", span_text(log_config.role));
    json_int(&j, "pid", getpid());
    json_text(&j, "message", span_text(line->message));
    for (; !line->cut && fields != NULL && fields->name != NULL; fields++)
        add_field(&j, fields);
    if (line->held > 0)
        json_uint(&j, "held", line->held);
    if (line->cut)
        json_bool(&j, "cut", true);
    json_end_object(&j);
    text_char(out, '\n');
}

/* Whether the site may print now; if not, the line is counted. */
static bool admit(struct log_site *site, uint64_t minute)
{
    if (site->minute != minute) {
        site->minute = minute;
        site->printed = 0;
    }
    if (site->printed >= LOG_PER_SITE_PER_MINUTE) {
        site->held++;
        return false;
    }
    site->printed++;
    return true;
}

void log_write(struct log_site *site, enum log_level level, const char *message,
               const struct log_field *fields)
{
    if (level < log_config.least)
        return;
    struct clock clock;
    clock_read(&clock);
    if (!admit(site, clock_ms(&clock) / 60000))
        return;

    struct line line = {
        .wall_us = clock.wall_us, .level = level, .message = message, .held = site->held
    };
    site->held = 0;

    char buffer[LINE_BYTES];
    struct text out = text_fixed(buffer, sizeof(buffer));
    compose(&out, &line, fields);
    if (out.overflow) { /* escapes made the fields too long: better the message alone than half
                         */
        out = text_fixed(buffer, sizeof(buffer));
        line.cut = true;
        compose(&out, &line, fields);
    }
    /* A log that takes no more must not stall its writer: the line is dropped. */
    while (write(STDERR_FILENO, out.p, out.len) < 0 && errno == EINTR)
        continue;
}
