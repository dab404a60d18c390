/*
 * What the store knows of sessions. It is asked by the command line itself, with the
 * configuration's password: the gateway's own processes ask it only what a request is about.
 */
#include <sodium.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/session.h"
#include "auth/sessionshare.h"
#include "gateway/base/secret.h"
#include "gateway/cli/sessions.h"
#include "gateway/cli/storeask.h"

enum { SHOWN_MAX = 5000, HANDLE_DIGITS = 2 * VAULT_HANDLE_BYTES };

struct shared {
    struct loaded loaded;
    struct storeask ask;
    struct session_table table; /* for its key */
    char prefix[SHARE_KEY_MAX];
    struct span items; /* beginning of the sessions' keys */
    /* of a list */
    json_t *sessions;   /* NULL: only looked through */
    struct span handle; /* looked for */
    char name[VAULT_NAME_BYTES];
    bool found, bad;
    unsigned seen; /* in the last answer */
    int64_t count; /* that were ended */
};

static int open_shared(struct shared *shared, const struct arguments *arguments)
{
    const char *path = arguments->values[FLAG_CONFIG];
    uint8_t key[32];
    memset(shared, 0, sizeof(*shared));
    if (path == NULL)
        return usage_error("sessions are shared with other nodes: -c FILE is needed to reach "
                           "the store");
    loaded_outline(&shared->loaded, path);
    const struct config *config = shared->loaded.config;
    if (config == NULL) {
        loaded_print(&shared->loaded, STDERR_FILENO, false);
        loaded_close(&shared->loaded);
        return EXIT_BAD;
    }
    int code = EXIT_TROUBLE;
    struct text items = text_fixed(shared->prefix, sizeof(shared->prefix));
    if (sodium_init() < 0 || !sessions_key(config, config->boot_key, key)) {
        code = usage_error("this configuration shares no sessions");
    } else if (!storeask_open(&shared->ask, config->store)) {
        code = usage_error("the store cannot be reached");
    } else {
        session_table_over(&shared->table, NULL, key);
        share_prefix(config->store, &items);
        text_lit(&items, "i:");
        shared->items = text_span(&items);
        code = EXIT_GOOD;
    }
    wipe(key, sizeof(key));
    if (code != EXIT_GOOD)
        loaded_close(&shared->loaded);
    return code;
}

static void close_shared(struct shared *shared)
{
    storeask_close(&shared->ask);
    wipe(&shared->table, sizeof(shared->table));
    loaded_close(&shared->loaded);
}

static struct span key_of(const struct shared *shared, struct text *key, const char *kind,
                          struct span name)
{
    text_add(key, span_sub(shared->items, 0, shared->items.len - 2));
    text_add(key, span_text(kind));
    text_add(key, name);
    return text_span(key);
}

static void take_count(void *ctx, const struct redis_value *value)
{
    struct shared *shared = ctx;
    shared->bad = value->type != REDIS_INTEGER;
    shared->count = shared->bad ? 0 : value->integer;
}

/* ---- lists ---- */

/* When it was used last: it lasts as long as it may be unused from there on. */
static uint64_t seen_of(const struct vault_facts *facts, int64_t left_ms, uint64_t now_s)
{
    uint64_t left_s = left_ms > 0 ? (uint64_t)left_ms / 1000 : 0;
    uint64_t unused_s = facts->idle_s > left_s ? facts->idle_s - left_s : 0;
    return now_s > facts->began_s + unused_s ? now_s - unused_s : facts->began_s;
}

static void take_one(struct shared *shared, struct span name, const struct redis_value *value,
                     const struct redis_value *left)
{
    struct vault_facts facts;
    if (value->type != REDIS_TEXT || left->type != REDIS_INTEGER || value->text.len == 0 ||
        name.len != VAULT_NAME_BYTES ||
        !vault_image_facts(&shared->table.vault, name, value->text, &facts))
        return; /* it was not used for too long, or is nobody's who has our key */
    struct span handle = span_sub(name, name.len - HANDLE_DIGITS, HANDLE_DIGITS);
    if (span_equal(handle, shared->handle)) {
        shared->found = true;
        memcpy(shared->name, name.p, sizeof(shared->name));
    }
    if (shared->sessions == NULL)
        return;
    uint64_t seen = seen_of(&facts, left->integer, (uint64_t)time(NULL));
    json_t *row = json_object();
    (void)json_object_set_new(row, "session", json_stringn(handle.p, handle.len));
    (void)json_object_set_new(row, "user", json_string(facts.label));
    (void)json_object_set_new(row, "since", json_integer((json_int_t)facts.began_s));
    (void)json_object_set_new(row, "seen", json_integer((json_int_t)seen));
    (void)json_object_set_new(row, "until", json_integer((json_int_t)facts.until_s));
    (void)json_array_append_new(shared->sessions, row);
}

static void take_page(void *ctx, const struct redis_value *value)
{
    struct shared *shared = ctx;
    shared->bad = value->type != REDIS_ARRAY || value->count % 3 != 0 ||
                  value->count > 3 * SHARE_LIST_STEP;
    shared->seen = shared->bad ? 0 : value->count / 3;
    for (unsigned i = 0; i < 3 * shared->seen; i += 3)
        if (value->items[i].type == REDIS_TEXT)
            take_one(shared, value->items[i].text, &value->items[i + 1], &value->items[i + 2]);
}

static bool ask_page(struct shared *shared, unsigned from)
{
    char key[SHARE_KEY_MAX], first[16], last[16];
    struct text all = text_fixed(key, sizeof(key)), begin = text_fixed(first, sizeof(first)),
                end = text_fixed(last, sizeof(last));
    struct span name = key_of(shared, &all, "a", SPAN(""));
    text_uint(&begin, from);
    text_uint(&end, from + SHARE_LIST_STEP - 1);
    const struct span command[] = { SPAN("EVAL"),      span_text(share_script),
                                    SPAN("1"),         name,
                                    SPAN("list"),      shared->items,
                                    text_span(&begin), text_span(&end) };
    return storeask_put(&shared->ask, name, ARRAY_LEN(command), command, take_page, shared) &&
           !shared->bad;
}

static int look_through(struct shared *shared)
{
    for (unsigned from = 0; from < SHOWN_MAX; from += SHARE_LIST_STEP) {
        if (!ask_page(shared, from))
            return usage_error("the store does not answer as it should");
        if (shared->seen < SHARE_LIST_STEP || shared->found)
            break;
    }
    return EXIT_GOOD;
}

int sessions_shared_list(const struct arguments *arguments, json_t *answer)
{
    struct shared shared;
    int code = open_shared(&shared, arguments);
    if (code != EXIT_GOOD)
        return code;
    shared.sessions = json_array();
    code = look_through(&shared);
    (void)json_object_set_new(answer, "sessions", shared.sessions);
    close_shared(&shared);
    return code;
}

/* ---- ends ---- */

int sessions_shared_end(const struct arguments *arguments, const char *handle, json_t *answer)
{
    struct shared shared;
    char key[SHARE_KEY_MAX];
    struct text text = text_fixed(key, sizeof(key));
    int code = open_shared(&shared, arguments);
    if (code != EXIT_GOOD)
        return code;
    shared.handle = span_text(handle);
    code = look_through(&shared);
    if (code == EXIT_GOOD && !shared.found) {
        code = usage_error("there is no such session");
    } else if (code == EXIT_GOOD) {
        struct span name =
            key_of(&shared, &text, "i:", span_of(shared.name, sizeof(shared.name)));
        const struct span command[] = { SPAN("DEL"), name };
        if (!storeask_put(&shared.ask, name, ARRAY_LEN(command), command, take_count,
                          &shared) ||
            shared.bad)
            code = usage_error("the store does not answer as it should");
        (void)json_object_set_new(answer, "ended", json_integer(shared.count));
    }
    close_shared(&shared);
    return code;
}

int sessions_shared_end_user(const struct arguments *arguments, const char *user,
                             json_t *answer)
{
    struct shared shared;
    char key[SHARE_KEY_MAX], tag[32];
    struct text text = text_fixed(key, sizeof(key)), number = text_fixed(tag, sizeof(tag));
    int code = open_shared(&shared, arguments);
    if (code != EXIT_GOOD)
        return code;
    uint64_t hash = sessions_user_tag(&shared.table.vault, span_text(user));
    text_uint(&number, SESSION_TAG_USER);
    text_char(&number, ':');
    text_hex(&number, &hash, sizeof(hash));
    struct span name = key_of(&shared, &text, "t:", text_span(&number));
    const struct span command[] = { SPAN("EVAL"), span_text(share_script),
                                    SPAN("1"),    name,
                                    SPAN("end"),  shared.items };
    if (!storeask_put(&shared.ask, name, ARRAY_LEN(command), command, take_count, &shared) ||
        shared.bad)
        code = usage_error("the store does not answer as it should");
    (void)json_object_set_new(answer, "ended", json_integer(shared.count));
    close_shared(&shared);
    return code;
}
