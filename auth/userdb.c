/*
 * WAL, in the ordinary locking mode: the command line and a generation that loads read and
 * write beside the steward. One statement in advance opens the files that SQLite needs, so that
 * the steward opens none behind its sandbox.
 */
#include "auth/userdb.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/siphash.h"

enum { BUSY_MS = 2000, SCHEMA_VERSION = 1, TRIES = 40, PAUSE_MS = 50 };

struct userdb {
    struct sqlite3 *db;
};

const char userdb_missing[] = "it is not there";
static const char unreadable[] = "it cannot be read as a store of users";
static const char busy[] = "it is in use, or cannot be written";
static const char nobody[] = "there is no such user";

static const char pragmas[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
    "PRAGMA mmap_size=0; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"
    "PRAGMA cell_size_check=ON;";
static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, hash TEXT NOT NULL,"
    " groups TEXT NOT NULL DEFAULT '', epoch INTEGER NOT NULL, totp BLOB,"
    " totp_step INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS codes (name TEXT NOT NULL REFERENCES users(name)"
    " ON DELETE CASCADE, hash BLOB NOT NULL, PRIMARY KEY (name, hash)) WITHOUT ROWID;"
    "PRAGMA user_version=1;"
    "COMMIT;";

/* ---- opening ---- */

static int number_of(sqlite3 *db, const char *sql, int64_t *number)
{
    sqlite3_stmt *row = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &row, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(row);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(row, 0);
    (void)sqlite3_finalize(row);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

/* Whether the file may be trusted as far as its mode goes; NULL when it may. */
static const char *check_mode(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return errno == ENOENT ? userdb_missing : "it cannot be read";
    if (!S_ISREG(info.st_mode))
        return "it is not a regular file";
    return (info.st_mode & 077) != 0 ? "others than its owner can read it: chmod 600 it" : NULL;
}

/* Two that open a new one at a time: SQLite does not wait by itself for who changes the mode.
 */
static int set_up_db(sqlite3 *db)
{
    int code = SQLITE_BUSY;
    for (unsigned i = 0; i < TRIES && (code == SQLITE_BUSY || code == SQLITE_LOCKED); i++) {
        if (i > 0)
            (void)sqlite3_sleep(PAUSE_MS);
        code = sqlite3_exec(db, pragmas, NULL, NULL, NULL);
    }
    return code;
}

static const char *check_version(sqlite3 *db, bool create)
{
    int64_t version = 0, tables = 0;
    /* In this order: who makes one in this moment has tables and version come together. */
    if (number_of(db, "SELECT count(*) FROM sqlite_master", &tables) != SQLITE_OK ||
        number_of(db, "PRAGMA user_version", &version) != SQLITE_OK)
        return unreadable;
    if (version > SCHEMA_VERSION)
        return "it was made by a newer version";
    if (version == 0 && tables > 0)
        return unreadable; /* somebody else's */
    if (version == 0 && !create)
        return userdb_missing; /* it is being made in this moment */
    return version > 0 || sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK ? NULL : busy;
}

/* Made here and not by SQLite, for the sake of its owner; what SQLite puts beside it takes
 * after it. */
static const char *make_file(const char *path)
{
    int fd = file_create(path, 0600);
    if (fd < 0)
        return errno == EEXIST ? NULL : "it cannot be made";
    (void)close(fd);
    return NULL;
}

static const char *open_db(struct userdb *db, const char *path, bool create)
{
    int64_t count;
    if (sqlite3_open_v2(path, &db->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(db->db, BUSY_MS) != SQLITE_OK)
        return "it cannot be opened for writing";
    (void)sqlite3_db_config(db->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (set_up_db(db->db) != SQLITE_OK)
        return unreadable;
    const char *trouble = check_version(db->db, create);
    if (trouble != NULL)
        return trouble;
    if (sqlite3_exec(db->db, "BEGIN IMMEDIATE; COMMIT", NULL, NULL, NULL) != SQLITE_OK ||
        number_of(db->db, "SELECT count(*) FROM users", &count) != SQLITE_OK)
        return busy;
    return NULL;
}

const char *userdb_open(struct userdb **out, const char *path, bool create)
{
    const char *trouble = check_mode(path);
    if (trouble == userdb_missing && create)
        trouble = make_file(path);
    if (trouble != NULL)
        return trouble;
    struct userdb *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return "there is no memory for it";
    mode_t before = umask(077);
    trouble = open_db(db, path, create);
    (void)umask(before);
    if (trouble != NULL) {
        userdb_close(db);
        return trouble;
    }
    *out = db;
    return NULL;
}

void userdb_close(struct userdb *db)
{
    if (db == NULL)
        return;
    (void)sqlite3_close(db->db);
    free(db);
}

uint64_t userdb_version(struct userdb *db)
{
    int64_t version = 0;
    return number_of(db->db, "PRAGMA data_version", &version) == SQLITE_OK ? (uint64_t)version
                                                                           : 0;
}

/* ---- reading ---- */

static bool copy_text(char *to, size_t size, sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);
    int len = sqlite3_column_bytes(row, column);
    if (text == NULL || len < 0 || (size_t)len >= size ||
        memchr(text, '\0', (size_t)len) != NULL)
        return false;
    memcpy(to, text, (size_t)len);
    return true;
}

static bool read_user(sqlite3_stmt *row, struct user_entry *entry)
{
    const void *totp = sqlite3_column_blob(row, 4);
    int totp_len = totp != NULL ? sqlite3_column_bytes(row, 4) : 0;
    int64_t step = sqlite3_column_int64(row, 5);
    if (!copy_text(entry->name, sizeof(entry->name), row, 0) ||
        !copy_text(entry->hash, sizeof(entry->hash), row, 1) ||
        !copy_text(entry->groups, sizeof(entry->groups), row, 2) || totp_len < 0 ||
        totp_len > TOTP_SECRET_MAX || step < 0)
        return false;
    entry->epoch = (uint64_t)sqlite3_column_int64(row, 3);
    entry->totp_step = (uint64_t)step;
    entry->totp_len = (uint8_t)totp_len;
    if (totp_len > 0)
        memcpy(entry->totp, totp, (size_t)totp_len);
    return user_entry_valid(entry);
}

static bool read_code(sqlite3_stmt *row, struct span block)
{
    const char *name = (const char *)sqlite3_column_text(row, 0);
    const void *hash = sqlite3_column_blob(row, 1);
    /* The block was made a moment ago, and is ours. */
    struct user_entry *entry =
        (struct user_entry *)(uintptr_t)users_find(block, span_text(name));
    if (entry == NULL || hash == NULL || sqlite3_column_bytes(row, 1) != USER_CODE_HASH_BYTES ||
        entry->code_count == USER_CODES_MAX)
        return false;
    memcpy(entry->codes[entry->code_count++], hash, USER_CODE_HASH_BYTES);
    return true;
}

/* ERR_SYNTAX: a row is not what this program writes. */
static enum err read_rows(struct userdb *db, struct arena *arena, struct span *block)
{
    sqlite3_stmt *row = NULL;
    int64_t count = 0;
    if (number_of(db->db, "SELECT count(*) FROM users", &count) != SQLITE_OK)
        return ERR_SYSTEM;
    if (count > USERS_MAX)
        return ERR_LIMIT;
    struct user_entry *entries = arena_array(arena, struct user_entry, (size_t)count + 1);
    if (entries == NULL)
        return ERR_MEMORY;
    enum err err = OK;
    int64_t n = 0;
    if (sqlite3_prepare_v2(db->db,
                           "SELECT name, hash, groups, epoch, totp, totp_step FROM users", -1,
                           &row, NULL) != SQLITE_OK)
        return ERR_SYSTEM;
    for (; err == OK && sqlite3_step(row) == SQLITE_ROW; n++)
        err = n < count && read_user(row, &entries[n]) ? OK : ERR_SYNTAX;
    (void)sqlite3_finalize(row);
    if (err == OK && n != count)
        err = ERR_SYSTEM;
    TRY(err);
    TRY(users_build(entries, (size_t)count, arena, block));
    if (sqlite3_prepare_v2(db->db, "SELECT name, hash FROM codes", -1, &row, NULL) != SQLITE_OK)
        return ERR_SYSTEM;
    while (err == OK && sqlite3_step(row) == SQLITE_ROW)
        err = read_code(row, *block) ? OK : ERR_SYNTAX;
    (void)sqlite3_finalize(row);
    return err;
}

enum err userdb_build(struct userdb *db, struct arena *arena, struct span *block)
{
    if (sqlite3_exec(db->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return ERR_SYSTEM;
    enum err err = read_rows(db, arena, block);
    (void)sqlite3_exec(db->db, "COMMIT", NULL, NULL, NULL);
    return err;
}

/* ---- changing ---- */

/* A value of a statement, by what is set. */
struct value {
    struct span text, blob;
    int64_t number;
    bool is_number;
};

#define TEXT(s) ((struct value){ .text = (s) })
#define BLOB(s) ((struct value){ .blob = (s) })
#define NUMBER(n) ((struct value){ .number = (int64_t)(n), .is_number = true })

static int bind(sqlite3_stmt *statement, int at, const struct value *value)
{
    if (value->is_number)
        return sqlite3_bind_int64(statement, at, value->number);
    if (value->blob.len > 0)
        return sqlite3_bind_blob(statement, at, value->blob.p, (int)value->blob.len,
                                 SQLITE_STATIC);
    if (value->text.p != NULL)
        return sqlite3_bind_text(statement, at, value->text.p, (int)value->text.len,
                                 SQLITE_STATIC);
    return sqlite3_bind_null(statement, at);
}

static const char *run(struct userdb *db, const char *sql, const struct value *values,
                       int count, int *changed)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->db, sql, -1, &statement, NULL);
    for (int i = 0; code == SQLITE_OK && i < count; i++)
        code = bind(statement, i + 1, &values[i]);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    (void)sqlite3_finalize(statement);
    *changed = code == SQLITE_DONE ? sqlite3_changes(db->db) : 0;
    return code == SQLITE_DONE         ? NULL
           : code == SQLITE_CONSTRAINT ? "there is such a user already"
                                       : busy;
}

static const char *change_one(struct userdb *db, const char *sql, const struct value *values,
                              int count)
{
    int changed;
    const char *trouble = run(db, sql, values, count, &changed);
    return trouble == NULL && changed == 0 ? nobody : trouble;
}

/* Random, so that whoever comes under an old name has none of the old one's sessions. */
static uint64_t new_epoch(void)
{
    uint64_t epoch;
    random_bytes(&epoch, sizeof(epoch));
    return epoch >> 1 | 1;
}

const char *userdb_add(struct userdb *db, struct span name, struct span hash,
                       struct span groups)
{
    int64_t count = 0;
    if (!user_name_valid(name))
        return "a name has at most 64 small letters, digits and . _ - @ +";
    if (!user_groups_valid(groups))
        return "groups are names with commas between them";
    if (number_of(db->db, "SELECT count(*) FROM users", &count) != SQLITE_OK)
        return busy;
    if (count >= USERS_MAX)
        return "there are as many users as there may be";
    struct value values[] = { TEXT(name), TEXT(hash), TEXT(groups), NUMBER(new_epoch()) };
    return change_one(db, "INSERT INTO users (name, hash, groups, epoch) VALUES (?, ?, ?, ?)",
                      values, 4);
}

const char *userdb_remove(struct userdb *db, struct span name)
{
    struct value values[] = { TEXT(name) };
    return change_one(db, "DELETE FROM users WHERE name = ?", values, 1);
}

const char *userdb_set_password(struct userdb *db, struct span name, struct span hash)
{
    struct value values[] = { TEXT(hash), NUMBER(new_epoch()), TEXT(name) };
    return change_one(db, "UPDATE users SET hash = ?, epoch = ? WHERE name = ?", values, 3);
}

const char *userdb_set_groups(struct userdb *db, struct span name, struct span groups)
{
    if (!user_groups_valid(groups))
        return "groups are names with commas between them";
    struct value values[] = { TEXT(groups), NUMBER(new_epoch()), TEXT(name) };
    return change_one(db, "UPDATE users SET groups = ?, epoch = ? WHERE name = ?", values, 3);
}

const char *userdb_revoke(struct userdb *db, struct span name)
{
    struct value values[] = { NUMBER(new_epoch()), TEXT(name) };
    return change_one(db, "UPDATE users SET epoch = ? WHERE name = ?", values, 2);
}

static const char *put_codes(struct userdb *db, struct span name,
                             const uint8_t (*codes)[USER_CODE_HASH_BYTES], size_t count)
{
    int changed;
    struct value one[] = { TEXT(name) };
    const char *trouble = run(db, "DELETE FROM codes WHERE name = ?", one, 1, &changed);
    for (size_t i = 0; trouble == NULL && i < count; i++) {
        struct span hash = span_of((const char *)codes[i], USER_CODE_HASH_BYTES);
        struct value values[] = { TEXT(name), BLOB(hash) };
        trouble = run(db, "INSERT INTO codes (name, hash) VALUES (?, ?)", values, 2, &changed);
    }
    return trouble;
}

const char *userdb_set_totp(struct userdb *db, struct span name, struct span secret,
                            const uint8_t (*codes)[USER_CODE_HASH_BYTES], size_t count)
{
    if (count > USER_CODES_MAX || (secret.len > 0 && !totp_length_valid(secret.len)))
        return "this is no secret of a second factor";
    if (sqlite3_exec(db->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return busy;
    struct value values[] = { BLOB(secret), NUMBER(new_epoch()), TEXT(name) };
    const char *trouble = change_one(
        db, "UPDATE users SET totp = ?, totp_step = 0, epoch = ? WHERE name = ?", values, 3);
    if (trouble == NULL)
        trouble = put_codes(db, name, codes, count);
    if (trouble == NULL && sqlite3_exec(db->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        trouble = busy;
    if (trouble != NULL)
        (void)sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
    return trouble;
}

const char *userdb_note_step(struct userdb *db, struct span name, uint64_t step)
{
    struct value values[] = { NUMBER(step), TEXT(name), NUMBER(step) };
    int changed;
    return run(db, "UPDATE users SET totp_step = ? WHERE name = ? AND totp_step < ?", values, 3,
               &changed);
}

const char *userdb_drop_code(struct userdb *db, struct span name,
                             const uint8_t hash[USER_CODE_HASH_BYTES])
{
    struct value values[] = { TEXT(name),
                              BLOB(span_of((const char *)hash, USER_CODE_HASH_BYTES)) };
    int changed;
    return run(db, "DELETE FROM codes WHERE name = ? AND hash = ?", values, 2, &changed);
}
