/*
 * Lists that are fetched from other servers begin with their last good set: workers of a new
 * configuration must not serve with an empty list until the steward has fetched it again.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/generation.h"
#include "gateway/process/settings.h"
#include "geoip/feedkept.h"

/* Only to read, and gone before there are workers: who could write here could empty lists. */
static const struct feeds_kept *map_kept(struct home *home)
{
    struct message message = { .kind = MESSAGE_MEMORY,
                               .layout = FEEDS_LAYOUT,
                               .number = sizeof(struct feeds_kept),
                               .name = "feeds" };
    struct stat info;
    int fd = -1;

    if (ask(home, &message, NULL, 0, &fd) != 0 || fd < 0)
        return NULL;
    void *p = MAP_FAILED;
    if (fstat(fd, &info) == 0 && info.st_size == (off_t)sizeof(struct feeds_kept))
        p = mmap(NULL, sizeof(struct feeds_kept), PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    return p != MAP_FAILED ? p : NULL;
}

void feeds_load(struct home *home)
{
    struct config *config = home->config;
    const struct feeds_kept *kept = NULL;
    struct clock clock;

    clock_read(&clock);
    for (size_t i = 0; i < config->list_count; i++) {
        struct list_conf *list = &config->lists[i];
        char name[SETTINGS_TEXT_BYTES];
        struct feed_known known;
        if (list->url.len == 0)
            continue;
        if (kept == NULL && (kept = map_kept(home)) == NULL)
            refuse(home, SPAN("error: there is no memory for lists that are fetched\n"));
        if (settings_put(name, sizeof(name), list->name) &&
            feed_recall(kept, name, &list->without, (uint32_t)(clock.wall_us / 1000000u),
                        &home->arena, &known))
            home->list_blocks[i] = list->built = known.block;
        else if (addrlist_count(list->built) == 0)
            log_warn("list is empty until it has been fetched", F_SPAN("list", list->name));
    }
    if (kept != NULL)
        (void)munmap((void *)(uintptr_t)kept, sizeof(*kept));
}
