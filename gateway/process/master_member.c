/*
 * Workers as the master knows them. Their generation reports each one, so that the steward (a
 * new one too) can be given their control sockets, and so that the workers of a generation that
 * died are neither lost nor cut off: they serve on as orphans until a successor does.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/master.h"

static void tell(struct master *master, enum message_kind kind, size_t slot)
{
    const struct member *member = &master->members[slot];
    struct message message = { .kind = kind, .number = slot, .layout = (uint32_t)member->pid };
    steward_tell(master, &message, kind == MESSAGE_WORKER ? member->control_fd : -1);
}

static void forget(struct master *master, size_t slot)
{
    struct member *member = &master->members[slot];
    tell(master, MESSAGE_WORKER_GONE, slot);
    (void)close(member->control_fd);
    *member = (struct member){ .control_fd = -1 };
}

void member_add(struct master *master, uint32_t number, uint64_t slot, uint32_t pid, int fd)
{
    if (slot >= SLOTS_MAX || pid == 0 || pid > INT32_MAX || master->members[slot].pid != 0) {
        log_error("worker reported in a slot that is taken; it gets no snapshots",
                  F_INT("slot", slot));
        (void)close(fd);
        return;
    }
    master->members[slot] =
        (struct member){ .pid = (int32_t)pid, .number = number, .control_fd = fd };
    tell(master, MESSAGE_WORKER, slot);
}

void member_gone(struct master *master, uint32_t number, uint64_t slot)
{
    if (slot < SLOTS_MAX && master->members[slot].pid != 0 &&
        master->members[slot].number == number)
        forget(master, slot);
}

bool member_reaped(struct master *master, int32_t pid)
{
    for (size_t slot = 0; slot < SLOTS_MAX; slot++) {
        if (master->members[slot].pid != pid)
            continue;
        forget(master, slot);
        slot_release(master->slots, (unsigned)slot);
        return true;
    }
    return false;
}

void members_adopt(struct master *master, uint32_t number)
{
    for (size_t slot = 0; slot < SLOTS_MAX; slot++) {
        struct member *member = &master->members[slot];
        if (member->pid == 0 || member->number != number)
            continue;
        /* Dead before its generation, which had no time left to report it; else it is our child
         * now. */
        if (kill(member->pid, 0) != 0 && errno == ESRCH)
            (void)member_reaped(master, member->pid);
        else
            member->orphan = true;
    }
}

/* Orphans are children not yet reaped, so the pid is still theirs. */
void members_drain_orphans(struct master *master, uint32_t number, bool at_once)
{
    for (size_t slot = 0; slot < SLOTS_MAX; slot++) {
        struct member *member = &master->members[slot];
        if (member->pid == 0 || !member->orphan || (number != 0 && member->number != number))
            continue;
        (void)kill(member->pid, at_once ? WORKER_CUT : WORKER_DRAIN);
        member->told = true;
    }
}

void members_kill_told(struct master *master)
{
    for (size_t slot = 0; slot < SLOTS_MAX; slot++)
        if (master->members[slot].pid != 0 && master->members[slot].told)
            (void)kill(master->members[slot].pid, SIGKILL);
}

/* All there are, to a steward that has just started. */
void members_tell(struct master *master)
{
    for (size_t slot = 0; slot < SLOTS_MAX; slot++)
        if (master->members[slot].pid != 0)
            tell(master, MESSAGE_WORKER, slot);
}

bool members_gone(const struct master *master)
{
    for (size_t slot = 0; slot < SLOTS_MAX; slot++)
        if (master->members[slot].pid != 0)
            return false;
    return true;
}
