/* Files of accounts and certificates: see store.h. */
#include "gateway/acme/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/strictjson.h"
#include "gateway/base/file.h"
#include "gateway/base/json.h"
#include "gateway/base/secret.h"

enum { TAG_BYTES = 8, PASSWD_BYTES = 16 * 1024, SHOWN_MAX = 80, TRIES_MAX = 1024 };

/* ---- names ---- */

static void add_tag(struct text *out, struct span directory, struct acme_hosts hosts)
{
    uint8_t digest[EVP_MAX_MD_SIZE] = { 0 };
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, directory.p, directory.len) == 1;

    for (size_t i = 0; good && i < hosts.count; i++)
        good = EVP_DigestUpdate(ctx, "\n", 1) == 1 &&
               EVP_DigestUpdate(ctx, hosts.items[i].p, hosts.items[i].len) == 1;
    good = good && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    INVARIANT(good);
    EVP_MD_CTX_free(ctx);
    text_hex(out, digest, TAG_BYTES);
}

/* Of a host: no path, and no name with a dot before it. */
static void add_shown(struct text *out, struct span host)
{
    for (size_t i = 0; i < host.len && i < SHOWN_MAX; i++) {
        char c = host.p[i];
        bool word =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || (c == '.' && i > 0);
        text_char(out, word ? c : '_');
    }
}

void acme_store_name(char out[static ACME_NAME_MAX], struct span directory,
                     struct acme_hosts hosts)
{
    struct text text = text_fixed(out, ACME_NAME_MAX - 1);

    add_shown(&text, hosts.count > 0 ? hosts.items[0] : SPAN("none"));
    text_char(&text, '-');
    add_tag(&text, directory, hosts);
    INVARIANT(!text.overflow);
    out[text.len] = '\0';
}

void acme_account_name(char out[static ACME_NAME_MAX], struct span directory)
{
    struct text text = text_fixed(out, ACME_NAME_MAX - 1);

    text_lit(&text, "account-");
    add_tag(&text, directory, (struct acme_hosts){ NULL, 0 });
    text_lit(&text, ".json");
    INVARIANT(!text.overflow);
    out[text.len] = '\0';
}

/* ---- the folder ---- */

/* Parents too: 0755, as `mkdir -p` makes them. */
static bool make_folders(const char *folder)
{
    char path[4096];
    size_t len = strlen(folder);

    if (len == 0 || len >= sizeof(path) || folder[0] != '/')
        return false;
    memcpy(path, folder, len + 1);
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return false;
        *p = '/';
    }
    return mkdir(path, 0700) == 0;
}

static const char *give_to(int fd, const char *user)
{
    struct passwd entry, *owner = NULL;
    char names[PASSWD_BYTES];

    if (user == NULL || geteuid() != 0)
        return NULL;
    (void)getpwnam_r(user, &entry, names, sizeof(names), &owner);
    if (owner == NULL)
        return "server.user is nobody";
    return fchown(fd, owner->pw_uid, owner->pw_gid) == 0 ? NULL : strerrordesc_np(errno);
}

/* Root may be asked to keep it for another user, whose it then must be. */
static bool owned(const struct stat *info, const char *user)
{
    struct passwd entry, *owner = NULL;
    char names[PASSWD_BYTES];

    if (user == NULL || geteuid() != 0)
        return info->st_uid == geteuid();
    (void)getpwnam_r(user, &entry, names, sizeof(names), &owner);
    return owner != NULL && info->st_uid == owner->pw_uid;
}

const char *acme_store_make(const char *folder, const char *user)
{
    struct stat info;
    bool made = access(folder, F_OK) != 0 && make_folders(folder);
    int fd = acme_store_open(folder);

    if (fd < 0)
        return strerrordesc_np(errno);
    const char *why = made ? give_to(fd, user) : NULL;
    if (why == NULL && fstat(fd, &info) != 0)
        why = strerrordesc_np(errno);
    else if (why == NULL && (info.st_mode & 077) != 0)
        why = "it is open to others: private keys need mode 0700";
    else if (why == NULL && !owned(&info, user))
        why = "it does not belong to the user that the gateway runs as";
    (void)close(fd);
    return why;
}

int acme_store_open(const char *folder)
{
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* ---- files ---- */

static const char *read_all(int fd, struct arena *arena, struct span *content)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return strerrordesc_np(errno);
    if (!S_ISREG(info.st_mode))
        return "it is not a regular file";
    if (info.st_size > ACME_FILE_MAX)
        return "it is too large";
    size_t size = (size_t)info.st_size;
    char *bytes = arena_alloc(arena, size);
    if (bytes == NULL)
        return "out of memory";
    *content = span_of(bytes, size);
    return file_fill(fd, bytes, size) == info.st_size ? NULL : "it cannot be read whole";
}

const char *acme_store_read(int folder, const char *name, struct arena *arena,
                            struct span *content)
{
    *content = span_of(NULL, 0);
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? NULL : strerrordesc_np(errno);
    const char *why = read_all(fd, arena, content);
    (void)close(fd);
    if (why != NULL)
        *content = span_of(NULL, 0);
    return why;
}

static bool write_all(int fd, struct span content)
{
    while (content.len > 0) {
        ssize_t wrote = write(fd, content.p, content.len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        content = span_sub(content, (size_t)wrote, content.len);
    }
    return fsync(fd) == 0;
}

const char *acme_store_write(int folder, const char *name, struct span content)
{
    char fresh[ACME_NAME_MAX + 32];
    struct text text = text_fixed(fresh, sizeof(fresh) - 1);

    text_add(&text, span_text(name));
    text_lit(&text, ".new");
    if (text.overflow || folder < 0)
        return "there is no folder for it";
    fresh[text.len] = '\0';
    (void)unlinkat(folder, fresh, 0); /* of one that was killed over it */
    int fd = openat(folder, fresh,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        return strerrordesc_np(errno);
    bool good = write_all(fd, content);
    int error = errno;
    (void)close(fd);
    if (good && renameat(folder, fresh, folder, name) == 0)
        return fsync(folder) == 0 ? NULL : strerrordesc_np(errno);
    error = good ? errno : error;
    (void)unlinkat(folder, fresh, 0);
    return strerrordesc_np(error);
}

void acme_store_remove(int folder, const char *name)
{
    (void)unlinkat(folder, name, 0);
}

static size_t covered(int folder, const char *name, struct acme_hosts hosts, int64_t now_s)
{
    struct arena arena;
    struct span bundle;

    arena_init(&arena, NULL, 0, NULL, 2 * ACME_FILE_MAX);
    const char *why = acme_store_read(folder, name, &arena, &bundle);
    size_t count = why == NULL && bundle.len > 0 ? acme_bundle_covers(bundle, hosts, now_s) : 0;
    if (bundle.len > 0)
        wipe((void *)(uintptr_t)bundle.p, bundle.len);
    arena_reset(&arena);
    return count;
}

bool acme_store_nearest(int folder, struct acme_hosts hosts, int64_t now_s,
                        char name[static ACME_NAME_MAX])
{
    size_t best = 0, seen = 0;
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    const struct dirent *entry;

    if (dir == NULL && again >= 0)
        (void)close(again);
    /* One thread: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (dir != NULL && seen < ACME_FILES_MAX && (entry = readdir(dir)) != NULL) {
        struct span file = span_text(entry->d_name);
        if (file.len >= ACME_NAME_MAX || file.p[0] == '.' || span_ends(file, SPAN(".json")) ||
            span_ends(file, SPAN(".new")))
            continue;
        size_t count = covered(folder, entry->d_name, hosts, now_s);
        seen++;
        if (count <= best)
            continue;
        best = count;
        memcpy(name, file.p, file.len + 1);
    }
    if (dir != NULL)
        (void)closedir(dir);
    return best > 0;
}

int64_t acme_store_time(int folder, const char *name)
{
    struct stat info;
    return fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 ? info.st_mtim.tv_sec : 0;
}

/* ---- tries ---- */

static void tries_name(char out[static ACME_NAME_MAX + 16], const char *name)
{
    struct text text = text_fixed(out, ACME_NAME_MAX + 15);

    text_add(&text, span_text(name));
    text_lit(&text, ".tries.json");
    INVARIANT(!text.overflow);
    out[text.len] = '\0';
}

void acme_tries_read(int folder, const char *name, struct acme_tries *tries)
{
    char file[ACME_NAME_MAX + 16];
    char room[2 * TRIES_MAX];
    struct arena arena;
    struct span content;

    memset(tries, 0, sizeof(*tries));
    tries_name(file, name);
    arena_init(&arena, room, sizeof(room), NULL, 0);
    if (acme_store_read(folder, file, &arena, &content) != NULL)
        return;
    json_t *object = strict_json_object(content, TRIES_MAX);
    json_int_t failures = json_integer_value(json_object_get(object, "failures"));
    json_int_t next = json_integer_value(json_object_get(object, "next"));
    struct span why = strict_json_text(object, "why");
    if (failures > 0 && failures < 1000 && next > 0) {
        tries->failures = (unsigned)failures;
        tries->next_s = next;
        for (size_t i = 0; i < why.len && i + 1 < sizeof(tries->why); i++)
            tries->why[i] = why.p[i] >= ' ' && why.p[i] < 0x7f ? why.p[i] : '?';
    }
    json_decref(object);
    arena_reset(&arena);
}

const char *acme_tries_write(int folder, const char *name, const struct acme_tries *tries)
{
    char file[ACME_NAME_MAX + 16];
    char buffer[TRIES_MAX];
    struct text text = text_fixed(buffer, sizeof(buffer));

    tries_name(file, name);
    if (tries->failures == 0) {
        acme_store_remove(folder, file);
        return NULL;
    }
    struct json j = json_writer(&text);
    json_begin_object(&j, NULL);
    json_uint(&j, "failures", tries->failures);
    json_int(&j, "next", tries->next_s);
    json_text(&j, "why", span_text(tries->why));
    json_end_object(&j);
    return acme_store_write(folder, file, text_span(&text));
}
