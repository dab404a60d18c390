/*
 * Names that servers are found by: asked for again when their records run out, within bounds;
 * what was found goes to the workers as one snapshot of all names. Whatever goes wrong (nobody
 * answers, or the name is gone) the servers that were found last stay, and the log says so.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "gateway/store/snapshot.h"
#include "gateway/upstream/dnslookup.h"

enum {
    RETRY_MS = 1000, /* after a failure; doubles up to the most, or ttl_max */
    RETRY_MOST_MS = 30 * 1000,
    JITTER_PART = 10, /* of the time: many gateways do not ask at once */
};

struct name {
    struct steward *steward;
    const struct discovery *settings;
    struct found found;
    struct lookup lookup;
    struct timer timer;
    uint64_t retry_ms;
    bool troubled;
};

struct names {
    struct resolver *resolver;
    struct name *items;
    size_t count;
    struct names_kept *kept; /* NULL: nothing is left to the next configuration */
    struct found_block block;
    int memfd;
    uint32_t version;
};

/* ---- to the workers ---- */

static enum err send_found(const struct steward *steward, int fd)
{
    const struct names *names = steward->names;
    struct snapshot_message message = { .magic = SNAPSHOT_MAGIC,
                                        .kind = SNAPSHOT_FOUND,
                                        .id = steward->settings->found_id,
                                        .version = names->version,
                                        .bytes = sizeof(names->block) };

    return snapshot_send(fd, names->memfd, &message);
}

bool names_send(struct steward *steward, int fd)
{
    return steward->names == NULL || steward->names->memfd < 0 ||
           send_found(steward, fd) != ERR_BUSY;
}

static void publish(struct steward *steward)
{
    struct names *names = steward->names;

    names->block.magic = FOUND_MAGIC;
    names->block.count = (uint32_t)names->count;
    for (size_t i = 0; i < names->count; i++)
        names->block.items[i] = names->items[i].found;
    int memfd = snapshot_seal(span_of((const char *)&names->block, sizeof(names->block)));
    if (memfd < 0) {
        log_error("what names stand for cannot be published; the workers keep what they have");
        return;
    }
    if (names->memfd >= 0)
        (void)close(names->memfd);
    names->memfd = memfd;
    names->version++;
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        struct member *member = &steward->members[i];
        if (member->pid != 0 && send_found(steward, member->watch.fd) == ERR_BUSY)
            lists_resend(steward, member);
    }
}

/* ---- rounds ---- */

/* The health checks know who is in which slot. */
static void tell_checks(struct name *name)
{
    char label[DISCOVERY_NAME_BYTES + 8];

    for (uint32_t i = 0; i < name->settings->slots; i++) {
        struct text text = text_fixed(label, sizeof(label));
        text_add(&text, span_text(name->settings->label));
        text_char(&text, '#');
        text_uint(&text, i);
        text_char(&text, '\0');
        if (!text.overflow)
            checks_moved(name->steward, label, &name->found.slots[i].addr);
    }
}

static void next_round(struct name *name, uint64_t ms)
{
    uint32_t dice;

    random_bytes(&dice, sizeof(dice));
    timer_set(&name->steward->loop, &name->timer, ms - ms / JITTER_PART * (dice % 100) / 100);
}

static void say_trouble(struct name *name, const char *why)
{
    if (!name->troubled)
        log_warn("name has no new answer; its servers stay",
                 F_TEXT("name", name->settings->label), F_TEXT("why", why),
                 F_INT("servers", found_count(&name->found)));
    name->troubled = true;
    uint64_t most = name->settings->ttl_max_ms;
    most = most < RETRY_MOST_MS ? most : RETRY_MOST_MS;
    name->retry_ms = name->retry_ms == 0 ? RETRY_MS : name->retry_ms * 2;
    name->retry_ms = name->retry_ms < most ? name->retry_ms : most;
    next_round(name, name->retry_ms);
}

static void take(struct name *name, const struct lookup *lookup)
{
    const struct discovery *settings = name->settings;
    uint64_t ms = (uint64_t)lookup->ttl * 1000;

    if (name->troubled)
        log_info("name has an answer again", F_TEXT("name", settings->label));
    name->troubled = false;
    name->retry_ms = 0;
    if (found_merge(&name->found, &lookup->list, settings->slots)) {
        log_info("name has other servers", F_TEXT("name", settings->label),
                 F_INT("servers", found_count(&name->found)));
        if (name->steward->names->kept != NULL)
            names_keep(name->steward->names->kept, settings, &name->found);
        tell_checks(name);
        publish(name->steward);
    }
    ms = ms < settings->ttl_min_ms ? settings->ttl_min_ms : ms;
    ms = ms > settings->ttl_max_ms ? settings->ttl_max_ms : ms;
    next_round(name, ms);
}

static void on_found(struct lookup *lookup)
{
    struct name *name = CONTAINER(lookup, struct name, lookup);
    bool known = found_count(&name->found) > 0;

    /* Half an answer is better than none, and no better than a whole one. */
    if (lookup->list.count == 0)
        say_trouble(name, lookup->partly ? "no name server answers" : "it has no servers");
    else if (lookup->partly && known)
        say_trouble(name, "only a part of the answer came");
    else
        take(name, lookup);
}

static void on_timer(struct timer *timer)
{
    struct name *name = CONTAINER(timer, struct name, timer);

    lookup_start(&name->lookup, name->steward->names->resolver, name->settings);
}

/* ---- life ---- */

static struct names_kept *map_kept(void)
{
    struct stat info;
    void *p = MAP_FAILED;

    if (fstat(ROLE_FD_NAMES, &info) != 0)
        return NULL;
    if ((size_t)info.st_size >= sizeof(struct names_kept))
        p = mmap(NULL, sizeof(struct names_kept), PROT_READ | PROT_WRITE, MAP_SHARED,
                 ROLE_FD_NAMES, 0);
    (void)close(ROLE_FD_NAMES);
    return p != MAP_FAILED ? p : NULL;
}

enum err names_open(struct steward *steward)
{
    const struct steward_settings *settings = steward->settings;
    struct names_kept *kept = map_kept();

    if (settings->name_count == 0)
        return OK;
    struct names *names = arena_new(&steward->arena, struct names);
    if (names == NULL)
        return ERR_MEMORY;
    names->items = arena_array(&steward->arena, struct name, settings->name_count);
    names->resolver = resolver_open(&steward->loop, settings->resolver);
    if (names->items == NULL || names->resolver == NULL)
        return ERR_MEMORY;
    names->count = settings->name_count;
    names->kept = kept;
    names->memfd = -1;
    steward->names = names;
    return OK;
}

void names_start(struct steward *steward)
{
    struct names *names = steward->names;

    for (size_t i = 0; names != NULL && i < names->count; i++) {
        struct name *name = &names->items[i];
        *name = (struct name){ .steward = steward,
                               .settings = &steward->settings->names[i].name,
                               .found = steward->settings->names[i].found,
                               .lookup = { .done = on_found },
                               .timer = { .fire = on_timer } };
        /* What a steward before this one found since the configuration was loaded. */
        struct found later;
        if (names->kept != NULL && names_recall(names->kept, name->settings, &later))
            name->found = later;
        if (names->kept != NULL && found_count(&name->found) > 0)
            names_keep(names->kept, name->settings, &name->found);
        tell_checks(name);
        timer_set(&steward->loop, &name->timer, 1 + i);
    }
    if (names != NULL)
        publish(steward);
}
