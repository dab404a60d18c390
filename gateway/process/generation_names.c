/*
 * What names of upstreams stand for when a configuration is loaded: what the steward before
 * found last, else what name servers say within a moment. A name without an answer is no reason
 * to refuse the configuration: the steward goes on asking.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/generation.h"
#include "gateway/process/settings.h"
#include "gateway/upstream/discovery.h"
#include "gateway/upstream/dnslookup.h"

enum { PATIENCE_MS = 3000, DNS_PORT = 53 };

struct asking {
    struct lookup lookup;
    struct found *found;
    const struct discovery *name;
    unsigned *open;
};

void names_servers(struct text *out, const struct config *config)
{
    const struct texts *servers = &config->server.resolver;

    for (size_t i = 0; i < servers->count; i++) {
        struct addr addr;
        if (!addr_parse_port(servers->items[i], &addr))
            continue; /* complained about at load */
        text_add(out, i > 0 ? SPAN(",") : SPAN(""));
        addr.port = addr.port != 0 ? addr.port : DNS_PORT;
        addr_write_port(out, &addr);
    }
}

/* Only to read, and gone before there are workers: who could write here could say where all
 * requests go. NULL: there is none. */
static const struct names_kept *map_kept(struct home *home)
{
    struct message message = { .kind = MESSAGE_MEMORY,
                               .layout = NAMES_KEPT_LAYOUT,
                               .number = sizeof(struct names_kept),
                               .name = "names" };
    struct stat info;
    int fd = -1;

    if (ask(home, &message, NULL, 0, &fd) != 0 || fd < 0)
        return NULL;
    void *p = MAP_FAILED;
    if (fstat(fd, &info) == 0 && info.st_size == (off_t)sizeof(struct names_kept))
        p = mmap(NULL, sizeof(struct names_kept), PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    return p != MAP_FAILED ? p : NULL;
}

static void on_found(struct lookup *lookup)
{
    struct asking *asking = CONTAINER(lookup, struct asking, lookup);

    (*asking->open)--;
    (void)found_merge(asking->found, &lookup->list, asking->name->slots);
    if (lookup->list.count == 0)
        log_warn("name has no servers yet", F_TEXT("name", asking->name->label));
}

static void ask_for(struct home *home, struct asking *askings, size_t count, unsigned *open)
{
    char servers[SETTINGS_TEXT_BYTES * 2];
    struct text text = text_fixed(servers, sizeof(servers));

    names_servers(&text, home->config);
    text_char(&text, '\0');
    struct resolver *resolver = text.overflow ? NULL : resolver_open(&home->loop, servers);
    if (resolver == NULL) {
        log_warn("names cannot be looked up yet");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        (*open)++;
        lookup_start(&askings[i].lookup, resolver, askings[i].name);
    }
    uint64_t end = clock_ms(&home->loop.clock) + PATIENCE_MS;
    while (*open > 0 && clock_ms(&home->loop.clock) < end)
        loop_turn(&home->loop, (int)(end - clock_ms(&home->loop.clock)));
    resolver_close(resolver);
}

void names_load(struct home *home)
{
    struct config *config = home->config;
    size_t count = 0;
    unsigned open = 0;

    if (config->discovery_count == 0)
        return;
    struct found_block *block = arena_new(&home->arena, struct found_block);
    struct asking *askings = arena_array(&home->arena, struct asking, config->discovery_count);
    if (block == NULL || askings == NULL)
        refuse(home, SPAN("error: out of memory\n"));
    block->magic = FOUND_MAGIC;
    block->count = (uint32_t)config->discovery_count;
    const struct names_kept *kept = map_kept(home);
    for (size_t i = 0; i < config->discovery_count; i++) {
        const struct discovery *name = config->discoveries[i];
        struct found before;
        if (kept != NULL && names_recall(kept, name, &before)) {
            for (unsigned n = 0; n < name->slots; n++)
                block->items[i].slots[n] = before.slots[n];
            continue;
        }
        askings[count++] = (struct asking){ .lookup = { .done = on_found },
                                            .found = &block->items[i],
                                            .name = name,
                                            .open = &open };
    }
    if (kept != NULL)
        (void)munmap((void *)(uintptr_t)kept, sizeof(*kept));
    if (count > 0)
        ask_for(home, askings, count, &open);
    struct span bytes = span_of((const char *)block, sizeof(*block));
    if (!found_valid(bytes)) /* what was remembered is not believed */
        memset(block->items, 0, sizeof(block->items));
    config->found = bytes;
}
