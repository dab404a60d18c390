/*
 * A path counts as protected when somebody was asked to sign in for it, was refused by a gate
 * or a policy, signed in or not, or was let in as somebody; and no longer when, after that, it
 * was forwarded for nobody. So what was opened on purpose is asked about once.
 */
#include "gateway/cli/exposed.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/audit/search.h"
#include "gateway/base/table.h"
#include "gateway/cli/policycase.h"

enum { URL_BYTES_MAX = 4 * 4096, CASE_ARENA = 4 << 20, LOG_ARENA = 256 << 20 };

struct seen {
    struct span method, scheme, host, path; /* as the record has them, escapes and all */
    bool open;
};

struct exposed {
    struct arena arena;
    struct table table; /* by all four, in one text */
    struct seen *items;
    size_t count, left_out;
};

/* ---- the log ---- */

static struct span value_of(struct span line, const char *lead, const char *name)
{
    const char *at = memmem(line.p, line.len, lead, strlen(lead));
    struct span value = { NULL, 0 };
    if (at == NULL || !line_member(span_range(at, line.p + line.len), span_text(name), &value))
        return SPAN("");
    return value;
}

static struct span key_value(struct span line, enum block_key key)
{
    struct span value = SPAN("");
    size_t at = 0;
    return line_value(line, key, &at, &value) ? value : SPAN("");
}

/* 1: protected, -1: open, 0: says nothing of it. */
static int told_by(struct span line)
{
    static const char *const protecting[] = { "auth-required",    "auth-redirect",
                                              "auth-failed",      "auth-token",
                                              "auth-certificate", "auth-locked",
                                              "auth-refused",     "policy" };
    struct span reason = key_value(line, KEY_REASON), action = key_value(line, KEY_ACTION);
    bool somebody = key_value(line, KEY_USER).len > 0;
    bool forwarded = span_equal(action, SPAN("pass"));
    if (forwarded)
        return somebody ? 1 : -1;
    for (size_t i = 0; i < ARRAY_LEN(protecting); i++)
        if (span_equal(reason, span_text(protecting[i])))
            return 1;
    return 0;
}

static bool copy_seen(struct exposed *all, struct seen *to, const struct seen *from)
{
    const struct span *parts[] = { &from->method, &from->scheme, &from->host, &from->path };
    struct span *copies[] = { &to->method, &to->scheme, &to->host, &to->path };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if ((*copies[i] = arena_copy(&all->arena, *parts[i])).p == NULL)
            return false;
    return true;
}

static bool on_record(void *context, struct span line)
{
    struct exposed *all = context;
    int told = told_by(line);
    if (told == 0)
        return true;
    static const struct span pages = SPAN_INIT("/.sallyport/"); /* are the gateway's own */
    struct seen seen = { .method = value_of(line, "\"http\":{", "\"method\":"),
                         .scheme = value_of(line, "\"url\":{", "\"scheme\":"),
                         .host = key_value(line, KEY_HOST),
                         .path = value_of(line, "\"url\":{", "\"path\":") };
    char buffer[URL_BYTES_MAX];
    struct text key = text_fixed(buffer, sizeof(buffer));
    text_add(&key, seen.method);
    text_char(&key, ' ');
    text_add(&key, seen.host);
    text_add(&key, seen.path);
    if (key.overflow || seen.host.len == 0 || seen.path.len == 0 ||
        span_starts(seen.path, pages))
        return true;
    struct seen *before = table_get(&all->table, text_span(&key));
    if (before != NULL) {
        before->open = told < 0;
        return true;
    }
    if (told < 0)
        return true;
    if (all->count == EXPOSED_PATHS_MAX) {
        all->left_out++;
        return true;
    }
    struct seen *kept = &all->items[all->count];
    struct span name = arena_copy(&all->arena, text_span(&key));
    if (name.p == NULL || !copy_seen(all, kept, &seen) ||
        table_put(&all->table, name, kept) != OK)
        return false;
    all->count++;
    return true;
}

/* ---- one of them ---- */

/* JSON's escapes undone, then in the letters of a URL: a record has the path decoded. */
static bool write_url(struct text *url, const struct seen *seen)
{
    static const char plain[] = "-._~!$&'()*+,=:@/";
    char quoted[URL_BYTES_MAX];
    struct text text = text_fixed(quoted, sizeof(quoted));
    text_char(&text, '"');
    text_add(&text, seen->path);
    text_char(&text, '"');
    json_t *path = text.overflow
                       ? NULL
                       : json_loadb(text.p, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!json_is_string(path)) {
        json_decref(path);
        return false;
    }
    text_add(url, seen->scheme.len > 0 ? seen->scheme : SPAN("https"));
    text_lit(url, "://");
    text_add(url, seen->host);
    struct span bytes = span_of(json_string_value(path), json_string_length(path));
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.p[i];
        bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (letter || (c != '\0' && strchr(plain, c) != NULL))
            text_char(url, c);
        else
            text_format(url, "%%%02X", (unsigned)(unsigned char)c);
    }
    json_decref(path);
    return text_cstring(url) != NULL;
}

/* Asked by nobody, from an address of nobody's network. */
static bool is_exposed(struct policy_case *test, const struct seen *seen, char *url)
{
    struct arena arena;
    struct text text = text_fixed(url, URL_BYTES_MAX);
    char method[32];
    struct text name = text_fixed(method, sizeof(method));
    text_add(&name, seen->method);
    if (seen->open || !write_url(&text, seen) || text_cstring(&name) == NULL)
        return false;
    arena_init(&arena, NULL, 0, NULL, CASE_ARENA);
    test->txn.arena = &arena;
    struct policy_answer answer = policycase_ask(test, method, url);
    test->txn.arena = &test->loaded.arena;
    test->txn.scope = NULL;
    arena_reset(&arena);
    return answer.trouble == NULL && strcmp(answer.decision, "allow") == 0;
}

static int tell(struct policy_case *test, struct exposed *all)
{
    char url[URL_BYTES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (!is_exposed(test, &all->items[i], url))
            continue;
        if (count == 0)
            (void)fprintf(stderr, "open to everybody then, and protected until now:\n");
        if (count++ < EXPOSED_SHOWN_MAX)
            (void)fprintf(stderr, "  %.*s %s\n", (int)all->items[i].method.len,
                          all->items[i].method.p, url);
    }
    if (count > EXPOSED_SHOWN_MAX)
        (void)fprintf(stderr, "  and %zu more\n", count - EXPOSED_SHOWN_MAX);
    if (all->left_out > 0)
        (void)fprintf(stderr, "(%zu records of more than %d paths were not looked at)\n",
                      all->left_out, EXPOSED_PATHS_MAX);
    return count == 0 ? EXIT_GOOD
                      : usage_error("not reloaded; if that is meant, reload with --force");
}

/* ---- all of it ---- */

static int read_since(const struct arguments *arguments, struct query *query,
                      struct arena *arena)
{
    const char *since = arguments->values[FLAG_SINCE];
    char term[64];
    struct text text = text_fixed(term, sizeof(term));
    uint64_t now_us = (uint64_t)time(NULL) * 1000000u;
    query->since_us = now_us - UINT64_C(1000000) * 86400 * EXPOSED_DAYS;
    if (since == NULL)
        return EXIT_GOOD;
    text_lit(&text, "since=");
    text_add(&text, span_text(since));
    const char *trouble = text.overflow ? "--since is such as 7d"
                                        : query_term(query, text_span(&text), now_us, arena);
    return trouble == NULL ? EXIT_GOOD : usage_error("%s", trouble);
}

static int read_log(const struct arguments *arguments, const char *log, struct exposed *all)
{
    struct query query = { .since_us = 0 };
    struct search_stats stats;
    all->items = arena_array(&all->arena, struct seen, EXPOSED_PATHS_MAX);
    if (all->items == NULL || table_init(&all->table, &all->arena, EXPOSED_PATHS_MAX) != OK)
        return EXIT_TROUBLE;
    int code = read_since(arguments, &query, &all->arena);
    if (code != EXIT_GOOD)
        return code;
    enum err err = search(log, &query, &all->arena, on_record, all, &stats);
    if (err == OK || err == ERR_MISSING)
        return EXIT_GOOD;
    return usage_error("%s cannot be read (%s), so nobody can say what this exposes; --force "
                       "does not look",
                       log, err_text(err));
}

static int look(const struct arguments *arguments, struct policy_case *test,
                struct exposed *all)
{
    const struct audit_conf *audit = &test->loaded.config->audit;
    const char *log = audit->on && audit->file.text.len > 0
                          ? arena_cstring(&all->arena, audit->file.text)
                          : NULL;
    int code = log != NULL ? read_log(arguments, log, all) : EXIT_GOOD;
    if (code != EXIT_GOOD || all->count == 0)
        return code;
    return addr_parse(SPAN("192.0.2.1"), &test->txn.client) ? tell(test, all) : EXIT_TROUBLE;
}

int exposed_check(const struct arguments *arguments, const char *config)
{
    struct exposed all = { .count = 0 };
    struct policy_case *test = calloc(1, sizeof(*test));
    if (test == NULL)
        return EXIT_TROUBLE;
    arena_init(&all.arena, NULL, 0, NULL, LOG_ARENA);
    int code = policycase_open(test, config, true);
    if (test->loaded.config == NULL)
        code = EXIT_GOOD;
    else if (code == EXIT_GOOD)
        code = look(arguments, test, &all);
    policycase_close(test);
    free(test);
    arena_reset(&all.arena);
    return code;
}
