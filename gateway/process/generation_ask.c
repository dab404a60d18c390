/*
 * What a generation asks of the master. It waits for each answer: there is nothing else to do
 * before it serves.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/schema.h"
#include "gateway/base/log.h"
#include "gateway/process/generation.h"

/* Without a master there is nobody to serve for, and nobody to tell. */
static void end(enum err err) NORETURN;
static void end(enum err err)
{
    log_error("lost the master", F_ERR(err));
    _exit(1);
}

void tell(struct home *home, const struct message *message, const int *fds, unsigned count)
{
    (void)home;
    enum err err = message_send(ROLE_FD_MASTER, message, fds, count);
    if (err != OK)
        end(err);
}

int ask(struct home *home, const struct message *message, const int *fds, unsigned count,
        int *fd)
{
    tell(home, message, fds, count);
    struct message answer;
    int got[MESSAGE_FDS_MAX];
    unsigned got_count;
    enum err err = message_receive(ROLE_FD_MASTER, &answer, got, &got_count);
    if (err != OK)
        end(err);
    if (answer.kind != MESSAGE_ANSWER) /* told to go before it ever served */
        end(ERR_ABORTED);
    *fd = got_count > 0 ? got[0] : -1;
    return answer.number < INT32_MAX ? (int)answer.number : EIO;
}

/* The same name is asked for by every route that counts in it. */
static void *mapped_before(const struct home *home, struct span name, uint32_t layout,
                           size_t size)
{
    for (unsigned i = 0; i < home->mapping_count; i++) {
        const struct mapping *mapping = &home->mappings[i];
        if (mapping->layout == layout && mapping->size == size &&
            span_equal(span_text(mapping->name), name))
            return mapping->p;
    }
    return NULL;
}

static void *map_answer(int fd, size_t size)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || info.st_size != (off_t)size) {
        errno = EIO;
        return NULL;
    }
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* Where the system lets shared memory have them, large pages spare look-ups of addresses.
     * Advice only: it may be refused. */
    (void)madvise(p, size, MADV_HUGEPAGE);
    return p;
}

void *ask_memory(struct home *home, struct span name, uint32_t layout, size_t size)
{
    void *p = mapped_before(home, name, layout, size);
    if (p != NULL)
        return p;
    struct message message = { .kind = MESSAGE_MEMORY, .layout = layout, .number = size };
    if (name.len == 0 || name.len >= sizeof(message.name) ||
        home->mapping_count == MAPPINGS_MAX) {
        errno = ENOSPC;
        return NULL;
    }
    memcpy(message.name, name.p, name.len);
    int fd = -1;
    errno = ask(home, &message, NULL, 0, &fd);
    if (errno != 0 || fd < 0)
        return NULL;
    p = map_answer(fd, size);
    (void)close(fd);
    const char *kept = p != NULL ? arena_cstring(&home->arena, name) : NULL;
    if (kept != NULL)
        home->mappings[home->mapping_count++] =
            (struct mapping){ .name = kept, .layout = layout, .size = size, .p = p };
    return p;
}

void *setup_memory(struct setup *setup, const char *name, uint32_t layout, size_t size)
{
    /* Under a prefix, so that no stage gets the core's own by its name. */
    char buffer[MESSAGE_NAME_BYTES];
    struct text full = text_fixed(buffer, sizeof(buffer));
    text_lit(&full, "stage.");
    text_add(&full, span_text(name));
    void *p = NULL;
    errno = ENAMETOOLONG;
    if (!full.overflow)
        p = ask_memory(setup->shared_owner, text_span(&full), layout, size);
    if (p == NULL)
        complain(setup->complaint, SEVERITY_ERROR, "no shared memory for \"%s\": %s", name,
                 strerrordesc_np(errno));
    return p;
}
