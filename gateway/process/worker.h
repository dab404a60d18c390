/*
 * A worker's life: attach to shared memory, open listeners, close the sandbox, serve, drain,
 * exit.
 */
#ifndef SALLYPORT_PROCESS_WORKER_H
#define SALLYPORT_PROCESS_WORKER_H

#include "gateway/chain/config.h"
#include "gateway/net/worker.h"

struct slots;
struct rings;
struct peer_counts;

/* All made by the generation before the fork. */
struct worker_start {
    unsigned slot;
    const struct config *config;
    struct slots *slots;
    struct rings *rings; /* NULL: audit is off */
    unsigned ring_slot;
    struct worker_meters *meters;
    int recorder_fd; /* eventfd that wakes the recorder */
    int written_fd;  /* eventfd by which it tells that it has written */
    struct peer_counts *peers;
    int control_fd;                 /* snapshots come here */
    const int *listen_fds;          /* as config->listen */
    const struct span *list_blocks; /* initial snapshots by list id */
    int retire_fd; /* readable: drain. Its mere end: the generation died, serve on */
    int report_fd; /* the slot is written here once it serves */
    int32_t generation_pid, master_pid;
};

/* Never returns. */
void worker_main(const struct worker_start *start) __attribute__((noreturn));

/*
 * At a crash: writes down which request was being worked on
 * (worker->shared->death_fingerprint), then lets the signal take its course. On a stack of its
 * own, so that an overflow of the usual one is told too.
 */
MUST_USE enum err crash_open(const struct worker *worker, const uint8_t *boot_key);
/* Signals of a crash, and not of somebody's will. */
bool crash_signal(int signal);

#endif
