/*
 * Sessions of people who signed in: the list, and their ends by hand. Of a session the steward
 * sees what stands in the open: whose it is, since when, until when; never its ticket.
 */
#include <jansson.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/session.h"
#include "gateway/process/process.h"
#include "gateway/steward/users.h"

enum { SHOWN_MAX = 5000 };

void sessions_map(struct steward *steward)
{
    static struct session_table table;
    struct stat info;
    size_t size = session_table_bytes();
    if (fstat(ROLE_FD_SESSIONS, &info) != 0)
        return; /* no site has any */
    void *memory = MAP_FAILED;
    if (info.st_size == (off_t)size)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ROLE_FD_SESSIONS, 0);
    (void)close(ROLE_FD_SESSIONS);
    if (memory == MAP_FAILED)
        return;
    session_table_over(&table, memory, steward->settings->sessions_key);
    steward->sessions = &table;
}

static void write_handle(struct json *j, const uint8_t handle[VAULT_HANDLE_BYTES])
{
    char buffer[2 * VAULT_HANDLE_BYTES];
    struct text text = text_fixed(buffer, sizeof(buffer));
    text_hex(&text, handle, VAULT_HANDLE_BYTES);
    json_text(j, "session", text_span(&text));
}

static uint64_t now_s_of(const struct client *client)
{
    return client->steward->loop.clock.wall_us / 1000000;
}

static void list_sessions(struct client *client, const struct session_table *table,
                          const json_t *request)
{
    uint64_t now_s = now_s_of(client);
    uint8_t handle[VAULT_HANDLE_BYTES];
    struct vault_facts facts;
    unsigned shown = 0;
    (void)request;
    struct json j = answer_begin(client, true);
    json_begin_array(&j, "sessions");
    for (size_t at = 0;
         shown < SHOWN_MAX && vault_next(&table->vault, &at, now_s, &facts, handle); shown++) {
        json_begin_object(&j, NULL);
        write_handle(&j, handle);
        json_text(&j, "user", span_text(facts.label));
        json_uint(&j, "since", facts.began_s);
        json_uint(&j, "seen", facts.seen_s);
        json_uint(&j, "until", facts.until_s);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_bool(&j, "shared", client->steward->settings->sessions_shared);
    answer_end(client, &j);
}

static void answer_count(struct client *client, size_t count)
{
    struct json j = answer_begin(client, true);
    json_uint(&j, "ended", count);
    json_bool(&j, "shared", client->steward->settings->sessions_shared);
    answer_end(client, &j);
}

static bool read_handle(const json_t *request, uint8_t handle[VAULT_HANDLE_BYTES])
{
    struct span hex = span_text(json_string_value(json_object_get(request, "session")));
    if (hex.len != 2 * VAULT_HANDLE_BYTES)
        return false;
    for (size_t i = 0; i < VAULT_HANDLE_BYTES; i++) {
        int high = hex_value(hex.p[2 * i]), low = hex_value(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        handle[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void end_session(struct client *client, const struct session_table *table,
                        const json_t *request)
{
    uint8_t handle[VAULT_HANDLE_BYTES];
    if (!read_handle(request, handle))
        answer_error(client, "a session is named by the 16 digits that the list shows");
    else if (!session_table_end(table, handle, now_s_of(client)) &&
             !client->steward->settings->sessions_shared)
        answer_error(client, "there is no such session");
    else
        answer_count(client, 1);
}

static void end_user(struct client *client, const struct session_table *table,
                     const json_t *request)
{
    const char *user = json_string_value(json_object_get(request, "user"));
    if (user == NULL || user[0] == '\0')
        answer_error(client, "whose?");
    else
        answer_count(client, session_table_end_user(table, span_text(user), now_s_of(client)));
}

/* Of the stores of users alone: who has that name at a provider is somebody else. */
static void end_local(struct client *client, const struct session_table *table,
                      const json_t *request)
{
    struct span user = span_text(json_string_value(json_object_get(request, "user")));
    uint64_t now_s = now_s_of(client), tag = sessions_user_tag(&table->vault, user);
    uint8_t handle[VAULT_HANDLE_BYTES];
    struct vault_facts facts;
    size_t count = 0;
    for (size_t at = 0; vault_next(&table->vault, &at, now_s, &facts, handle);)
        if (facts.tags[SESSION_TAG_USER] == tag && facts.tags[SESSION_TAG_SUBJECT] == 0)
            count += session_table_end(table, handle, now_s);
    answer_count(client, count);
}

void sessions_command(struct client *client, const json_t *request)
{
    static const struct {
        const char *name;
        void (*run)(struct client *client, const struct session_table *table,
                    const json_t *request);
    } actions[] = { { "list", list_sessions },
                    { "end", end_session },
                    { "end-user", end_user },
                    { "end-local", end_local } };
    const struct session_table *table = client->steward->sessions;
    const char *name = json_string_value(json_object_get(request, "action"));
    if (table == NULL) {
        answer_error(client, "no site has sessions");
        return;
    }
    for (size_t i = 0; name != NULL && i < ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        actions[i].run(client, table, request);
        return;
    }
    answer_error(client, "unknown action");
}
