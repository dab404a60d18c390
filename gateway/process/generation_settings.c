/*
 * What the recorder and the steward are told: only what they need of the configuration, in
 * bounded strings.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/apikeys.h"
#include "auth/login.h"
#include "auth/provider.h"
#include "auth/session.h"
#include "gateway/base/log.h"
#include "gateway/process/generation.h"
#include "gateway/process/settings.h"
#include "gateway/store/snapshot.h"
#include "gateway/upstream/upstream.h"

enum { PASSWD_BYTES = 16 * 1024 };

/*
 * Opened once here, so that a path that cannot be written is found while the old configuration
 * still works, and so that the file belongs to the user who will write it.
 */
static void try_audit_file(struct home *home)
{
    const char *path = home->config->audit.file.text.p;
    char user[SETTINGS_TEXT_BYTES];
    bool there = access(path, F_OK) == 0;
    int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0) {
        char buffer[SETTINGS_PATH_BYTES + 128];
        struct text why = text_fixed(buffer, sizeof(buffer));
        text_format(&why, "error: audit.file %s cannot be written: %s\n", path,
                    strerrordesc_np(errno));
        refuse(home, text_span(&why));
    }
    /* The recorder opens it before it drops its user, so a failure here is no reason to refuse.
     */
    struct passwd entry, *owner = NULL;
    char names[PASSWD_BYTES];
    if (!there && geteuid() == 0 &&
        settings_put(user, sizeof(user), home->config->server.user) && user[0] != '\0')
        (void)getpwnam_r(user, &entry, names, sizeof(names), &owner);
    if (owner != NULL && fchown(fd, owner->pw_uid, owner->pw_gid) != 0)
        log_warn("audit file stays root's", F_TEXT("path", path), F_ERRNO(errno));
    (void)close(fd);
}

static void send(struct home *home, enum message_kind kind, const void *bytes, size_t size,
                 int *fd)
{
    struct message message = { .kind = kind };
    int memfd = snapshot_seal(span_of(bytes, size));
    if (memfd < 0) {
        char buffer[128];
        struct text why = text_fixed(buffer, sizeof(buffer));
        text_format(&why, "error: no memory file for settings: %s\n", strerrordesc_np(errno));
        refuse(home, text_span(&why));
    }
    if (ask(home, &message, &memfd, 1, fd) != 0)
        refuse(home, SPAN("error: the master does not take the settings\n"));
    (void)close(memfd);
}

static void send_recorder(struct home *home)
{
    const struct config *config = home->config;
    struct recorder_settings *settings = arena_new(&home->arena, struct recorder_settings);
    if (settings == NULL)
        refuse(home, SPAN("error: out of memory\n"));
    settings->layout = SETTINGS_LAYOUT;
    settings->sandbox_off = config->server.sandbox != 0;
    const struct audit_conf *audit = &config->audit;
    settings->durability = (uint32_t)audit->durability;
    settings->on_full = (uint32_t)audit->on_full;
    settings->spill_bytes = audit->reserve;
    settings->rotate_bytes = audit->rotate_size;
    settings->rotate_ms = (uint64_t)audit->rotate_every.ms;
    settings->compress = audit->compress;
    settings->keep_ms = (uint64_t)audit->keep_age.ms;
    settings->keep_bytes = audit->keep_size;
    settings->capture_bytes = audit->capture.on ? audit->capture.size : 0;
    if (!settings_put(settings->audit_path, sizeof(settings->audit_path),
                      config->audit.file.text) ||
        !settings_put(settings->user, sizeof(settings->user), config->server.user))
        refuse(home, SPAN("error: audit.file or server.user is too long\n"));
    if (config->audit.file.text.len > 0)
        try_audit_file(home);
    send(home, MESSAGE_RECORDER, settings, sizeof(*settings), &home->wake_fd);
    struct message message = { .kind = MESSAGE_WRITTEN };
    if (ask(home, &message, NULL, 0, &home->written_fd) != 0 || home->written_fd < 0)
        refuse(home, SPAN("error: the master has no descriptor for the recorder's word\n"));
}

static bool watched(const struct list_conf *list)
{
    return list->url.len > 0 || (list->watch && list->file.text.len > 0);
}

/* Databases are large: the steward need not read again what the generation has just read. */
static bool put_databases(struct steward_settings *settings, const struct config *config)
{
    bool fits = true;
    _Static_assert(WATCHED_FILES_MAX - WATCHED_LISTS_MAX - 2 ==
                       GEO_DATABASES_MAX + KEY_FILES_MAX + USER_FILES_MAX,
                   "all fit");
    for (size_t i = 0; i < config->geo_count && fits; i++) {
        struct watched_list *file = &settings->lists[settings->list_count++];
        char name[SETTINGS_TEXT_BYTES];
        struct text text = text_fixed(name, sizeof(name));
        text_lit(&text, "geoip.");
        text_add(&text, span_text(config->geo[i].name));
        file->id = (uint32_t)(config->list_count + i);
        file->kind = SNAPSHOT_GEO_DATABASE;
        file->seen = config->geo[i].seen;
        fits = settings_put(file->name, sizeof(file->name), text_span(&text)) &&
               settings_put(file->path, sizeof(file->path), config->geo[i].path);
    }
    return fits;
}

static bool put_keys(struct steward_settings *settings, const struct config *config)
{
    bool fits = true;
    for (size_t i = 0; i < config->key_file_count && fits; i++) {
        struct watched_list *file = &settings->lists[settings->list_count++];
        file->id = key_file_id(config, i);
        file->kind = SNAPSHOT_API_KEYS;
        file->seen = config->key_files[i].seen;
        fits = settings_put(file->name, sizeof(file->name), SPAN("api_keys")) &&
               settings_put(file->path, sizeof(file->path), config->key_files[i].path);
    }
    return fits;
}

static bool put_providers(struct steward_settings *settings, const struct config *config)
{
    bool fits = true;
    for (size_t i = 0; i < config->provider_count && fits; i++) {
        const struct provider *from = &config->providers[i];
        struct watched_provider *to = &settings->providers[settings->provider_count++];
        to->id = provider_id(config, i);
        to->algs = from->algs;
        memcpy(to->key, from->key, sizeof(to->key));
        memcpy(to->addrs, from->addrs, sizeof(to->addrs));
        to->addr_count = from->addr_count;
        fits = settings_put(to->issuer, sizeof(to->issuer), from->issuer) &&
               settings_put(to->url, sizeof(to->url), from->url) &&
               settings_put(to->ca, sizeof(to->ca), from->ca.text);
    }
    return fits;
}

static bool put_users(struct steward_settings *settings, const struct config *config)
{
    bool fits = true;
    for (size_t i = 0; i < config->user_file_count && fits; i++) {
        struct watched_list *file = &settings->lists[settings->list_count++];
        file->id = user_file_id(config, i);
        file->kind = SNAPSHOT_USERS;
        fits = settings_put(file->name, sizeof(file->name), SPAN("users")) &&
               settings_put(file->path, sizeof(file->path), config->user_files[i].path);
    }
    return fits;
}

static bool put_guard(struct watched_list *to, const struct list_conf *list)
{
    to->format = (uint32_t)list->format;
    to->max_cover = (uint32_t)list->max_cover;
    to->max_shrink = (uint32_t)list->max_shrink;
    to->entries = (uint32_t)addrlist_count(list->built);
    to->denies = list->denies;
    to->without_count = (uint32_t)list->without.count;
    for (size_t i = 0; i < list->without.count; i++)
        to->without[i] = list->without.items[i];
    return settings_put(to->reason, sizeof(to->reason), list->reason);
}

/* A file beside a URL has been read, and is not watched. */
static bool put_origin(struct watched_list *to, const struct list_conf *list)
{
    if (list->url.len == 0)
        return settings_put(to->path, sizeof(to->path), list->file.text);
    to->refresh_ms = list->refresh_ms;
    to->max_age_ms = list->max_age_ms;
    to->max_bytes = list->max_bytes;
    to->allow_private = list->allow_private;
    to->remedy = (uint32_t)list->remedy;
    return settings_put(to->url, sizeof(to->url), list->url) &&
           settings_put(to->ca, sizeof(to->ca), list->ca.text);
}

static bool put_crowdsec(struct crowdsec_settings *to, const struct crowdsec_conf *from)
{
    if (from == NULL)
        return true;
    to->resync_ms = (uint64_t)from->resync.ms;
    to->as = (uint32_t)from->alerts.as;
    bool socket = span_equal(from->lapi.scheme, SPAN("unix"));
    return settings_put(to->key, sizeof(to->key), span_of(from->key.p, from->key.len)) &&
           settings_put(to->socket, sizeof(to->socket), socket ? from->lapi.path : SPAN("")) &&
           settings_put(to->machine, sizeof(to->machine), from->alerts.machine) &&
           settings_put(to->password, sizeof(to->password),
                        span_of(from->alerts.password.p, from->alerts.password.len));
}

static void put_spared(struct steward_settings *settings, const struct config *config)
{
    size_t count = config->spared_count < SPARED_MAX ? config->spared_count : SPARED_MAX;
    settings->spared_count = (uint32_t)count;
    memcpy(settings->spared, config->spared, count * sizeof(config->spared[0]));
}

static bool put_names(struct steward_settings *settings, const struct config *config)
{
    struct text servers = text_fixed(settings->resolver, sizeof(settings->resolver) - 1);
    const struct found_block *found = (const struct found_block *)(const void *)config->found.p;

    names_servers(&servers, config);
    settings->found_id = found_id(config);
    for (size_t i = 0; i < config->discovery_count; i++) {
        struct watched_name *name = &settings->names[settings->name_count++];
        name->name = *config->discoveries[i];
        if (found != NULL)
            name->found = found->items[i];
    }
    return !servers.overflow;
}

/* Upstreams that are talked to alike have one. */
static bool put_check_tls(struct steward_settings *settings, const struct config *config)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        const struct upstream *upstream = &config->upstreams[i];
        struct check_tls *next = &settings->check_tls[settings->check_tls_count];
        uint32_t at = 0;
        if (upstream->tls == NULL || upstream->health.path.len == 0)
            continue;
        if (settings->check_tls_count == CHECK_TLS_MAX || !check_tls_of(upstream, next))
            return false;
        while (settings->check_tls[at].key != next->key)
            at++;
        settings->check_tls_count += at == settings->check_tls_count;
    }
    return true;
}

static void send_steward(struct home *home)
{
    const struct config *config = home->config;
    size_t lists = config->geo_count + config->key_file_count + config->user_file_count;
    for (size_t i = 0; i < config->list_count; i++)
        lists += watched(&config->lists[i]);
    INVARIANT(lists <= WATCHED_FILES_MAX); /* load.c has complained */

    size_t size = sizeof(struct steward_settings) + lists * sizeof(struct watched_list);
    struct steward_settings *settings = arena_zero(&home->arena, 1, size);
    if (settings == NULL)
        refuse(home, SPAN("error: out of memory\n"));
    settings->layout = SETTINGS_LAYOUT;
    settings->sandbox_off = config->server.sandbox != 0;
    settings->generation = home->number;
    memcpy(settings->kept_key, config->kept_key, sizeof(settings->kept_key));
    settings->sessions_shared = sessions_key(config, config->boot_key, settings->sessions_key);
    bool fits =
        settings_put(settings->config, sizeof(settings->config), span_text(home->source)) &&
        settings_put(settings->hash, sizeof(settings->hash), config->hash) &&
        settings_put(settings->state, sizeof(settings->state), config->snapshot) &&
        settings_put(settings->user, sizeof(settings->user), config->server.user);
    for (size_t i = 0; i < config->list_count && fits; i++) {
        if (!watched(&config->lists[i]))
            continue;
        struct watched_list *list = &settings->lists[settings->list_count++];
        list->id = (uint32_t)i;
        fits = settings_put(list->name, sizeof(list->name), config->lists[i].name) &&
               put_origin(list, &config->lists[i]) && put_guard(list, &config->lists[i]);
    }
    put_spared(settings, config);
    if (!fits || !put_databases(settings, config) || !put_keys(settings, config) ||
        !put_providers(settings, config) || !put_users(settings, config) ||
        !put_crowdsec(&settings->crowdsec, config->crowdsec) || !put_names(settings, config) ||
        !certificates_put(&settings->acme, config))
        refuse(home, SPAN("error: a path or name is too long for the steward\n"));
    if (!put_check_tls(settings, config))
        refuse(home, SPAN("error: too many different `tls` of upstreams with checks\n"));
    int none = -1;
    send(home, MESSAGE_STEWARD, settings, size, &none);
}

void settings_send(struct home *home)
{
    home->wake_fd = home->written_fd = -1;
    if (home->config->audit.on)
        send_recorder(home);
    send_steward(home);
}
