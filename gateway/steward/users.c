/*
 * Stores of local users: kept open from before the sandbox closes, published when they change,
 * and told what workers have accepted, so that a code which was good once is so over a restart,
 * too.
 *
 * Workers mark a code that they take in shared memory first; nobody can use it again from that
 * moment on. Here it is written down, within a second.
 */
#include "gateway/steward/users.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/lockout.h"
#include "auth/userdb.h"
#include "gateway/base/log.h"
#include "gateway/process/process.h"
#include "gateway/store/snapshot.h"

enum { LOOK_MS = 1000 };

struct store {
    const struct watched_list *settings;
    struct userdb *db;
    uint64_t version; /* of the database when it was read last */
    bool read, changed;
    char *block; /* as it was published */
    size_t len;
};

struct user_keeper {
    struct steward *steward;
    struct timer timer;
    struct lockout lockout;
    bool marks; /* the lockout is there */
    struct store stores[WATCHED_USERS_MAX];
    size_t count;
};

static void on_timer(struct timer *timer)
{
    struct user_keeper *keeper = CONTAINER(timer, struct user_keeper, timer);
    lists_look_kind(keeper->steward, SNAPSHOT_USERS);
    timer_set(&keeper->steward->loop, timer, LOOK_MS);
}

static void map_marks(struct user_keeper *keeper)
{
    struct stat info;
    if (fstat(ROLE_FD_LOCKOUT, &info) != 0)
        return;
    void *memory = MAP_FAILED;
    if (info.st_size == (off_t)lockout_bytes())
        memory =
            mmap(NULL, lockout_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, ROLE_FD_LOCKOUT, 0);
    (void)close(ROLE_FD_LOCKOUT);
    if (memory == MAP_FAILED)
        return;
    lockout_over(&keeper->lockout, memory, keeper->steward->slots->boot_key);
    keeper->marks = true;
}

enum err users_open(struct steward *steward)
{
    const struct steward_settings *settings = steward->settings;
    struct user_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL)
        return ERR_MEMORY;
    keeper->steward = steward;
    steward->users = keeper;
    map_marks(keeper);
    for (uint32_t i = 0; i < settings->list_count; i++) {
        if (settings->lists[i].kind != SNAPSHOT_USERS || keeper->count == WATCHED_USERS_MAX)
            continue;
        struct store *store = &keeper->stores[keeper->count++];
        store->settings = &settings->lists[i];
        const char *trouble = userdb_open(&store->db, store->settings->path, true);
        if (trouble != NULL)
            log_error("store of users cannot be opened; those known at the load stay",
                      F_TEXT("path", store->settings->path), F_TEXT("why", trouble));
    }
    keeper->timer.fire = on_timer;
    return OK;
}

void users_start(struct steward *steward)
{
    if (steward->users->count > 0)
        timer_set(&steward->loop, &steward->users->timer, LOOK_MS);
}

/* ---- what workers have accepted ---- */

static bool note_user(struct user_keeper *keeper, struct store *store,
                      const struct user_entry *entry)
{
    struct span name = span_text(entry->name);
    uint64_t step = lockout_step(&keeper->lockout, name, entry->epoch);
    bool noted = false;
    if (entry->totp_len == 0)
        return false;
    if (step > entry->totp_step)
        noted = userdb_note_step(store->db, name, step) == NULL;
    for (size_t i = 0; i < entry->code_count && i < USER_CODES_MAX; i++)
        if (lockout_code_taken(&keeper->lockout, name, entry->epoch, entry->codes[i],
                               USER_CODE_HASH_BYTES))
            noted |= userdb_drop_code(store->db, name, entry->codes[i]) == NULL;
    return noted;
}

static void note_marks(struct user_keeper *keeper, struct store *store)
{
    struct span block = span_of(store->block, store->len);
    for (size_t i = 0; keeper->marks && i < users_count(block); i++)
        store->changed |= note_user(keeper, store, users_at(block, i));
}

void users_save(struct steward *steward)
{
    for (size_t i = 0; i < steward->users->count; i++)
        if (steward->users->stores[i].db != NULL)
            note_marks(steward->users, &steward->users->stores[i]);
}

/* ---- publishing ---- */

static bool keep_block(struct store *store, struct span block)
{
    char *copy = malloc(block.len);
    if (copy == NULL)
        return false;
    memcpy(copy, block.p, block.len);
    free(store->block);
    store->block = copy;
    store->len = block.len;
    return true;
}

const char *users_read(struct steward *steward, const struct watched_list *settings,
                       struct arena *arena, struct span *block)
{
    struct user_keeper *keeper = steward->users;
    struct store *store = keeper->stores;
    while (store < keeper->stores + keeper->count && store->settings != settings)
        store++;
    *block = span_of(NULL, 0);
    if (store == keeper->stores + keeper->count || store->db == NULL)
        return "it cannot be opened";
    note_marks(keeper, store);
    uint64_t version = userdb_version(store->db);
    if (store->read && !store->changed && version == store->version)
        return NULL;
    enum err err = userdb_build(store->db, arena, block);
    if (err == OK && !keep_block(store, *block))
        err = ERR_MEMORY;
    if (err != OK) {
        *block = span_of(NULL, 0);
        return err == ERR_SYNTAX ? "a row is not one that sallyport users writes"
                                 : "it cannot be read";
    }
    store->version = version;
    store->read = true;
    store->changed = false;
    return NULL;
}
