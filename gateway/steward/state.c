/*
 * What survives a restart: bans, and what is used of quotas. `store.snapshot` names a SQLite
 * database; the steward writes it every few seconds and when it ends, and reads it once, into
 * tables that are empty. It is opened before the sandbox closes and keeps its descriptors: in
 * exclusive WAL mode nothing else is opened later.
 *
 * The file is trusted no more than its content can be checked: each row and each entry is
 * looked at as if somebody had written it by hand.
 */
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "gateway/store/bans.h"
#include "gateway/store/cells.h"

enum {
    SAVE_MS = 5000,
    BUSY_MS = 2000, /* another reader: sqlite3 on a terminal, say */
};

struct kept_entry {
    uint64_t index, fingerprint, number;
};

struct state {
    struct steward *steward;
    struct sqlite3 *db;
    struct timer timer;
    struct cells quotas;
    size_t quota_cells;
    struct kept_entry *entries; /* room for all of them */
    uint64_t saved_sum;         /* of the quotas as they were saved last */
};

static const char schema[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
    "CREATE TABLE IF NOT EXISTS bans (net TEXT PRIMARY KEY, until INTEGER, since INTEGER,"
    " cause INTEGER, level INTEGER, site TEXT, reason TEXT);"
    "CREATE TABLE IF NOT EXISTS quotas (id INTEGER PRIMARY KEY, entries BLOB);";

/* ---- bans ---- */

static void copy_column(char to[BAN_TEXT_BYTES], sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);
    size_t n = 0;
    for (; text != NULL && text[n] != '\0' && n + 1 < BAN_TEXT_BYTES; n++)
        to[n] = text[n] >= ' ' && text[n] < 0x7f ? (char)text[n] : '?';
    to[n] = '\0';
}

static bool read_ban(sqlite3_stmt *row, uint64_t now_s, struct ban_event *event)
{
    sqlite3_int64 until = sqlite3_column_int64(row, 1), since = sqlite3_column_int64(row, 2);
    *event = (struct ban_event){ .kind = BAN_SET, .shared = true, .restored = true };
    struct span net = span_text((const char *)sqlite3_column_text(row, 0));
    if (!cidr_parse(net, false, &event->net) || !ban_net_ok(&event->net) || since < 0 ||
        until <= 0 || (uint64_t)until <= now_s || (uint64_t)until > now_s + BAN_LONGEST_S)
        return false;
    event->until_s = (uint64_t)until;
    event->at_s = (uint64_t)since;
    event->cause = (uint8_t)((unsigned)sqlite3_column_int(row, 3) % CAUSE_COUNT);
    event->level = (uint8_t)((unsigned)sqlite3_column_int(row, 4) & BAN_LEVEL_MAX);
    copy_column(event->site, row, 5);
    copy_column(event->reason, row, 6);
    return true;
}

static void restore_bans(struct state *state)
{
    const struct bans *bans = keeper_bans(state->steward);
    uint64_t now_s = state->steward->loop.clock.wall_us / 1000000, restored = 0;
    sqlite3_stmt *rows = NULL;
    if (bans == NULL || !bans_first_start(bans))
        return;
    if (sqlite3_prepare_v2(state->db, "SELECT * FROM bans LIMIT 16384", -1, &rows, NULL) !=
        SQLITE_OK)
        return;
    while (sqlite3_step(rows) == SQLITE_ROW) {
        struct ban_event event;
        if (!read_ban(rows, now_s, &event) || bans_get(bans, &event.net) >= event.until_s)
            continue;
        (void)bans_set(bans, &event.net, event.until_s, now_s);
        bans_log(bans, &event);
        restored++;
    }
    (void)sqlite3_finalize(rows);
    if (restored > 0)
        log_info("bans restored", F_INT("bans", (int64_t)restored));
}

static bool save_ban(const struct ban_event *event, uint64_t until_s, void *ctx)
{
    sqlite3_stmt *row = ctx;
    char buffer[64];
    struct text net = text_fixed(buffer, sizeof(buffer));
    cidr_write(&net, &event->net);
    (void)sqlite3_reset(row);
    return sqlite3_bind_text(row, 1, net.p, (int)net.len, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_int64(row, 2, (sqlite3_int64)until_s) == SQLITE_OK &&
           sqlite3_bind_int64(row, 3, (sqlite3_int64)event->at_s) == SQLITE_OK &&
           sqlite3_bind_int(row, 4, event->cause) == SQLITE_OK &&
           sqlite3_bind_int(row, 5, event->level) == SQLITE_OK &&
           sqlite3_bind_text(row, 6, event->site, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(row, 7, event->reason, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_step(row) == SQLITE_DONE;
}

static bool save_bans(struct state *state)
{
    sqlite3_stmt *row = NULL;
    if (sqlite3_exec(state->db, "DELETE FROM bans", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(state->db, "INSERT OR REPLACE INTO bans VALUES (?,?,?,?,?,?,?)", -1,
                           &row, NULL) != SQLITE_OK)
        return false;
    bool saved = keeper_each(state->steward, save_ban, row);
    (void)sqlite3_finalize(row);
    return saved;
}

/* ---- quotas ---- */

static void restore_quotas(struct state *state)
{
    sqlite3_stmt *row = NULL;
    for (size_t i = 0; i < state->quota_cells; i++) {
        uint64_t fingerprint, number;
        if (cells_read(&state->quotas, i, &fingerprint, &number))
            return; /* in use: only a fresh table is filled */
    }
    if (state->quota_cells == 0 ||
        sqlite3_prepare_v2(state->db, "SELECT entries FROM quotas WHERE id=1", -1, &row,
                           NULL) != SQLITE_OK)
        return;
    if (sqlite3_step(row) == SQLITE_ROW) {
        const char *bytes = sqlite3_column_blob(row, 0);
        size_t size = (size_t)sqlite3_column_bytes(row, 0);
        for (size_t at = 0; bytes != NULL && size - at >= sizeof(struct kept_entry);
             at += sizeof(struct kept_entry)) {
            struct kept_entry entry;
            memcpy(&entry, bytes + at, sizeof(entry));
            if (entry.index < state->quota_cells)
                cells_put_back(&state->quotas, entry.index, entry.fingerprint, entry.number);
        }
    }
    (void)sqlite3_finalize(row);
}

static bool save_quotas(struct state *state)
{
    size_t count = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < state->quota_cells; i++) {
        struct kept_entry *entry = &state->entries[count];
        if (!cells_read(&state->quotas, i, &entry->fingerprint, &entry->number))
            continue;
        entry->index = i;
        sum = sum * 31 + (entry->number ^ entry->fingerprint);
        count++;
    }
    if (state->quota_cells == 0 || sum == state->saved_sum)
        return true;
    sqlite3_stmt *row = NULL;
    bool saved = sqlite3_prepare_v2(state->db, "INSERT OR REPLACE INTO quotas VALUES (1, ?)",
                                    -1, &row, NULL) == SQLITE_OK &&
                 sqlite3_bind_blob64(row, 1, state->entries, count * sizeof(*state->entries),
                                     SQLITE_STATIC) == SQLITE_OK &&
                 sqlite3_step(row) == SQLITE_DONE;
    (void)sqlite3_finalize(row);
    if (saved)
        state->saved_sum = sum;
    return saved;
}

/* ---- life ---- */

void state_save(struct steward *steward)
{
    struct state *state = steward->state;
    if (state == NULL)
        return;
    bool saved = sqlite3_exec(state->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
                 save_bans(state) && save_quotas(state) &&
                 sqlite3_exec(state->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    if (saved)
        return;
    log_error("store.snapshot cannot be written; trying again");
    (void)sqlite3_exec(state->db, "ROLLBACK", NULL, NULL, NULL);
}

static void on_save(struct timer *timer)
{
    struct state *state = CONTAINER(timer, struct state, timer);
    state_save(state->steward);
    timer_set(&state->steward->loop, timer, SAVE_MS);
}

enum err state_open(struct steward *steward)
{
    const char *path = steward->settings->state;
    if (path[0] == '\0')
        return OK;
    struct state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return ERR_MEMORY;
    state->steward = steward;
    mode_t before = umask(077); /* who is banned, and how much who has used */
    if (sqlite3_open_v2(path, &state->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
            SQLITE_OK ||
        sqlite3_busy_timeout(state->db, BUSY_MS) != SQLITE_OK ||
        sqlite3_exec(state->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(state->db, "BEGIN IMMEDIATE; COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        log_error("store.snapshot cannot be opened; nothing will survive a restart",
                  F_TEXT("path", path));
        (void)umask(before);
        (void)sqlite3_close(state->db);
        free(state);
        return OK;
    }
    (void)umask(before);
    state->entries = calloc(steward->quota_cells + 1, sizeof(*state->entries));
    if (state->entries != NULL && steward->quotas != NULL) {
        state->quotas = *steward->quotas;
        state->quota_cells = steward->quota_cells;
    }
    state->timer.fire = on_save;
    steward->state = state;
    return OK;
}

void state_restore(struct steward *steward)
{
    struct state *state = steward->state;
    if (state == NULL)
        return;
    restore_bans(state);
    restore_quotas(state);
    timer_set(&steward->loop, &state->timer, SAVE_MS);
}
