/*
 * Shared memory by name: zeroed at birth, of a fixed size for ever, kept while any generation
 * wants it. A region of another layout or size under the same name is another region: a reload
 * that changes a table's size starts that table anew and leaves the others alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/audit/seal.h"
#include "gateway/base/clock.h"
#include "gateway/base/siphash.h"
#include "gateway/process/master.h"
#include "gateway/process/settings.h"

/* Names of the core; stages' regions go when no configuration names them any more. */
static const struct span kept_names[] = {
    SPAN_INIT("slots"), SPAN_INIT("audit"),   SPAN_INIT("peers"),  SPAN_INIT("tickets"),
    SPAN_INIT("seal"),  SPAN_INIT("servers"), SPAN_INIT("meters"), SPAN_INIT("kept"),
    SPAN_INIT("names"), SPAN_INIT("feeds"),
};

/* Sealed in size: a worker that is taken over cannot shrink it under the others' feet. */
static int region_make(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int reason = errno;
    (void)close(fd);
    errno = reason;
    return -1;
}

static bool same(const struct region *region, const struct message *message)
{
    return region->fd >= 0 && region->layout == message->layout &&
           region->size == message->number && strcmp(region->name, message->name) == 0;
}

int memory_get(struct master *master, const struct message *message, int *fd)
{
    /* Who serves the network has no business with the keys of the chain, nor with what one
     * steward leaves to the next. */
    if ((master->seal_fd >= 0 && strcmp(message->name, "seal") == 0) ||
        (master->kept_fd >= 0 && strcmp(message->name, "kept") == 0))
        return EPERM;
    if (message->name[0] == '\0' || message->number == 0 || message->number > REGION_BYTES_MAX)
        return EINVAL;
    struct region *free = NULL;
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        struct region *region = &master->regions[i];
        if (same(region, message)) {
            region->loading = true;
            *fd = region->fd;
            return 0;
        }
        if (region->fd < 0 && free == NULL)
            free = region;
    }
    if (free == NULL)
        return ENOSPC;
    int made = region_make(message->name, message->number);
    if (made < 0)
        return errno;
    *free = (struct region){
        .fd = made, .layout = message->layout, .size = message->number, .loading = true
    };
    memcpy(free->name, message->name, sizeof(free->name));
    for (size_t i = 0; i < ARRAY_LEN(kept_names); i++)
        free->kept = free->kept || span_equal(span_text(free->name), kept_names[i]);
    *fd = made;
    return 0;
}

int memory_find(const struct master *master, const char *name)
{
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        const struct region *region = &master->regions[i];
        if (region->fd >= 0 && region->serving && strcmp(region->name, name) == 0)
            return region->fd;
    }
    return -1;
}

static void drop_unwanted(struct master *master)
{
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        struct region *region = &master->regions[i];
        if (region->fd < 0 || region->kept || region->serving || region->loading)
            continue;
        (void)close(region->fd);
        region->fd = -1;
    }
}

void memory_commit(struct master *master)
{
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        master->regions[i].serving = master->regions[i].loading;
        master->regions[i].loading = false;
    }
    drop_unwanted(master);
}

void memory_rollback(struct master *master)
{
    for (size_t i = 0; i < REGIONS_MAX; i++)
        master->regions[i].loading = false;
    drop_unwanted(master);
}

/* The worker slots, and in them the secret of this boot. */
enum err memory_open(struct master *master)
{
    for (size_t i = 0; i < REGIONS_MAX; i++)
        master->regions[i].fd = -1;
    master->seal_fd = master->kept_fd = -1;
    struct message slots = { .kind = MESSAGE_MEMORY,
                             .layout = SLOTS_LAYOUT,
                             .number = sizeof(struct slots),
                             .name = "slots" };
    /* Of the audit chain: the recorder maps it, and no generation asks for it. */
    struct message seal = { .kind = MESSAGE_MEMORY,
                            .layout = SEAL_LAYOUT,
                            .number = sizeof(struct seal_memory),
                            .name = "seal" };
    struct message kept = { .kind = MESSAGE_MEMORY,
                            .layout = KEPT_LAYOUT,
                            .number = sizeof(struct kept),
                            .name = "kept" };
    if (memory_get(master, &slots, &master->slots_fd) != 0 ||
        memory_get(master, &seal, &master->seal_fd) != 0 ||
        memory_get(master, &kept, &master->kept_fd) != 0)
        return ERR_MEMORY;
    void *p = mmap(NULL, sizeof(struct slots), PROT_READ | PROT_WRITE, MAP_SHARED,
                   master->slots_fd, 0);
    if (p == MAP_FAILED)
        return ERR_MEMORY;
    struct clock now;
    clock_read(&now);
    master->slots = p;
    master->slots->layout = SLOTS_LAYOUT;
    random_bytes(master->slots->boot_key, sizeof(master->slots->boot_key));
    master->slots->ids.master = master->pid;
    master->slots->ids.started_s = now.wall_us / 1000000u;
    return OK;
}
