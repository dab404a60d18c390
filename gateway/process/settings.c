/*
 * Settings of recorder and steward. They come from a generation by way of the master, and are
 * checked all the same: a generation of another version may have made them.
 */
#include "gateway/process/settings.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit/ring.h"
#include "gateway/store/snapshot.h"
#include "geoip/listfile.h"

bool settings_put(char *to, size_t size, struct span text)
{
    to[0] = '\0';
    if (text.len >= size || (text.len > 0 && memchr(text.p, '\0', text.len) != NULL))
        return false;
    if (text.len > 0)
        memcpy(to, text.p, text.len);
    to[text.len] = '\0';
    return true;
}

bool settings_folder(char *to, size_t size, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return settings_put(to, size, SPAN("."));
    if (slash == path)
        return settings_put(to, size, SPAN("/"));
    return settings_put(to, size, span_range(path, slash));
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

/* Sealed, so that no check can be outrun; at least as long as `least`. */
static enum err map(int fd, size_t least, struct span *out)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_WRITE) == 0 || (seals & F_SEAL_SHRINK) == 0)
        return ERR_PROTOCOL;
    if (fstat(fd, &info) != 0 || (size_t)info.st_size < least)
        return ERR_PROTOCOL;
    void *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return ERR_MEMORY;
    *out = span_of(p, (size_t)info.st_size);
    return OK;
}

enum err recorder_settings_open(int fd, const struct recorder_settings **settings)
{
    struct span bytes;
    TRY(map(fd, sizeof(**settings), &bytes));
    const struct recorder_settings *s = (const void *)bytes.p;
    if (s->layout != SETTINGS_LAYOUT || bytes.len != sizeof(*s) ||
        !ends(s->audit_path, sizeof(s->audit_path)) || !ends(s->user, sizeof(s->user)) ||
        s->durability > DURABILITY_SYNC || s->on_full > ON_FULL_FAIL_CLOSED)
        return ERR_PROTOCOL;
    (void)close(fd);
    *settings = s;
    return OK;
}

static bool provider_good(const struct watched_provider *provider)
{
    return ends(provider->issuer, sizeof(provider->issuer)) &&
           ends(provider->url, sizeof(provider->url)) &&
           ends(provider->ca, sizeof(provider->ca)) &&
           provider->addr_count <= PROVIDER_ADDRESSES_MAX;
}

static bool name_good(const struct discovery *name)
{
    return ends(name->name, sizeof(name->name)) && ends(name->label, sizeof(name->label)) &&
           name->kind <= DISCOVER_SERVICES && name->slots > 0 && name->slots <= FOUND_MAX;
}

static bool check_tls_good(const struct check_tls *tls)
{
    return ends(tls->ca, sizeof(tls->ca)) && ends(tls->cert, sizeof(tls->cert)) &&
           ends(tls->file, sizeof(tls->file));
}

static bool list_good(const struct watched_list *list)
{
    return list->kind < SNAPSHOT_KINDS && list->format <= LISTFILE_JSON &&
           list->without_count <= LIST_WITHOUT_MAX &&
           ends(list->reason, sizeof(list->reason)) && ends(list->name, sizeof(list->name)) &&
           ends(list->path, sizeof(list->path)) && ends(list->url, sizeof(list->url)) &&
           ends(list->ca, sizeof(list->ca)) && list->max_bytes <= LISTFILE_BYTES_MAX;
}

enum err steward_settings_open(int fd, const struct steward_settings **settings)
{
    struct span bytes;
    TRY(map(fd, sizeof(**settings), &bytes));
    const struct steward_settings *s = (const void *)bytes.p;
    if (s->layout != SETTINGS_LAYOUT || s->list_count > WATCHED_FILES_MAX ||
        s->spared_count > SPARED_MAX ||
        bytes.len != sizeof(*s) + s->list_count * sizeof(s->lists[0]))
        return ERR_PROTOCOL;
    if (!ends(s->config, sizeof(s->config)) || !ends(s->hash, sizeof(s->hash)) ||
        !ends(s->user, sizeof(s->user)))
        return ERR_PROTOCOL;
    if (s->name_count > DISCOVERIES_MAX || !ends(s->resolver, sizeof(s->resolver)))
        return ERR_PROTOCOL;
    for (uint32_t i = 0; i < s->name_count; i++)
        if (!name_good(&s->names[i].name))
            return ERR_PROTOCOL;
    if (s->provider_count > PROVIDERS_MAX || s->check_tls_count > CHECK_TLS_MAX)
        return ERR_PROTOCOL;
    for (uint32_t i = 0; i < s->check_tls_count; i++)
        if (!check_tls_good(&s->check_tls[i]))
            return ERR_PROTOCOL;
    for (uint32_t i = 0; i < s->provider_count; i++)
        if (!provider_good(&s->providers[i]))
            return ERR_PROTOCOL;
    for (uint32_t i = 0; i < s->list_count; i++)
        if (!list_good(&s->lists[i]))
            return ERR_PROTOCOL;
    (void)close(fd);
    *settings = s;
    return OK;
}
