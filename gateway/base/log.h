/*
 * The operational log: JSON lines on standard error. A constant message and typed fields; no
 * client byte ever reaches a format string, and values are escaped in one place.
 *
 *     log_warn("upstream refused", F_TEXT("server", name), F_ERR(err));
 *
 * Each call site prints at most LOG_PER_SITE_PER_MINUTE lines a minute; what was held back is
 * counted in the next line of that site. No line without an actor and a remedy.
 */
#ifndef SALLYPORT_LOG_H
#define SALLYPORT_LOG_H

#include "gateway/base/span.h"

enum { LOG_PER_SITE_PER_MINUTE = 60 };
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_kind { LOG_FIELD_END, LOG_FIELD_SPAN, LOG_FIELD_INT, LOG_FIELD_ERR, LOG_FIELD_ERRNO };

struct log_field {
    const char *name;
    enum log_kind kind;
    struct span text;
    int64_t number;
};

struct log_site {
    uint64_t minute;
    unsigned printed, held;
};

#define F_SPAN(n, s) ((struct log_field){ .name = (n), .kind = LOG_FIELD_SPAN, .text = (s) })
#define F_TEXT(n, t) F_SPAN(n, span_text(t))
#define F_INT(n, i)                                                                            \
    ((struct log_field){ .name = (n), .kind = LOG_FIELD_INT, .number = (int64_t)(i) })
#define F_ERR(e)                                                                               \
    ((struct log_field){ .name = "error", .kind = LOG_FIELD_ERR, .number = (int64_t)(e) })
#define F_ERRNO(e)                                                                             \
    ((struct log_field){ .name = "errno", .kind = LOG_FIELD_ERRNO, .number = (int64_t)(e) })

#define F_END ((struct log_field){ .name = NULL })

#define LOG_AT(level, message, ...)                                                            \
    do {                                                                                       \
        static struct log_site log_here;                                                       \
        log_write(&log_here, (level), "" message, (const struct log_field[]){ __VA_ARGS__ });  \
    } while (0)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__, F_END)
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__, F_END)
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__, F_END)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__, F_END)

/* Once per process: the role ("master", "worker") stands on every line. */
void log_open(const char *role, enum log_level least);
void log_write(struct log_site *site, enum log_level level, const char *message,
               const struct log_field *fields);

#endif
