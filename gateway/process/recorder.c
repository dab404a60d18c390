/*
 * The recorder: takes committed records out of the workers' rings and appends them to the audit
 * file. A record leaves its ring only when it is written, so a recorder that is killed costs
 * nothing but time: the next one goes on where the tail stands. Rings of workers that are gone
 * are emptied and freed.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/record.h"
#include "gateway/audit/ring.h"
#include "gateway/audit/sink.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/process/process.h"
#include "gateway/process/settings.h"

enum {
    TURN_RECORDS = 256, /* of one ring before the next has its turn */
    ACTIVE_MS = 5,      /* between turns while records come */
    IDLE_TURNS = 40,    /* without a record before it sleeps */
    SLEEP_MS = 1000,    /* then it looks for rings of the dead */
    RETRY_MS = 200,     /* between turns while the file takes nothing */
    FINISH_MS = 2000,   /* for workers to end, once the master is gone */
    LAST_SECONDS = 10, /* a file that blocks cannot keep it alive without a master for longer */
    GAP_BYTES = 1024,
};

struct recorder {
    struct rings *rings;
    struct sink sink;
    uint64_t cursor[RING_SLOTS]; /* behind what is in the sink's buffer */
    uint64_t told[RING_SLOTS][RECORD_CLASSES];
    bool follows[RING_SLOTS]; /* cursor and told are of the ring's present life */
    uint64_t buffered;        /* records in the sink's buffer */
    int signals_fd;
    bool again; /* the next one may open what this one may not */
    char scratch[RECORD_BYTES_MAX];
};

/* ---- one turn ---- */

static bool in_use(const struct ring *ring)
{
    uint32_t state = __atomic_load_n(&ring->state, __ATOMIC_ACQUIRE);
    return state == RING_LIVE || state == RING_ORPHAN;
}

/* What is in the file may leave the rings. False: nothing leaves, and it is tried again. */
static bool flush(struct recorder *recorder)
{
    if (sink_flush(&recorder->sink) != OK)
        return false;
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        if (!recorder->follows[i])
            continue;
        struct ring *ring = &recorder->rings->ring[i];
        ring_release(ring, recorder->cursor[i]);
        memcpy(ring->lost_told, recorder->told[i], sizeof(ring->lost_told));
    }
    recorder->rings->sequence += recorder->buffered;
    recorder->buffered = 0;
    return true;
}

/* False: the file takes nothing now, and the line is not in the buffer. */
static bool put(struct recorder *recorder, struct span line)
{
    enum err err = sink_line(&recorder->sink, line);
    if (err == ERR_LIMIT) {
        if (!flush(recorder))
            return false;
        err = sink_line(&recorder->sink, line);
    }
    if (err != OK)
        log_error("record dropped: its line is not well-formed", F_ERR(err));
    recorder->buffered += err == OK;
    return true;
}

/* What a full ring lost since last told. */
static bool put_gap(struct recorder *recorder, unsigned slot)
{
    const struct ring *ring = &recorder->rings->ring[slot];
    uint64_t lost[RECORD_CLASSES], now[RECORD_CLASSES];
    bool any = false;
    for (int class = 0; class < RECORD_CLASSES; class ++) {
        now[class] = __atomic_load_n(&ring->lost[class], __ATOMIC_RELAXED);
        lost[class] = now[class] - recorder->told[slot][class];
        any = any || lost[class] != 0;
    }
    if (!any)
        return false;
    char buffer[GAP_BYTES];
    struct text line = text_fixed(buffer, sizeof(buffer));
    struct clock clock;
    clock_read(&clock);
    record_gap(&line, clock.wall_us, "ring-full", lost);
    if (!put(recorder, text_span(&line)))
        return false;
    memcpy(recorder->told[slot], now, sizeof(now));
    return true;
}

static bool drain_ring(struct recorder *recorder, unsigned slot)
{
    struct ring *ring = &recorder->rings->ring[slot];
    bool any = false;
    for (int i = 0; i < TURN_RECORDS; i++) {
        uint64_t cursor = recorder->cursor[slot];
        struct span line;
        if (!ring_peek(ring, &cursor, &line, recorder->scratch) || !put(recorder, line))
            break;
        recorder->cursor[slot] = cursor;
        any = true;
    }
    return put_gap(recorder, slot) || any;
}

static bool process_gone(int32_t pid)
{
    return pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH);
}

/* True when there was something to write. */
static bool turn(struct recorder *recorder, bool look_for_dead)
{
    bool any = false;
    for (unsigned slot = 0; slot < RING_SLOTS; slot++) {
        struct ring *ring = &recorder->rings->ring[slot];
        if (!in_use(ring))
            continue;
        if (!recorder->follows[slot]) {
            recorder->follows[slot] = true;
            recorder->cursor[slot] = ring->tail;
            memcpy(recorder->told[slot], ring->lost_told, sizeof(ring->lost_told));
        }
        if (look_for_dead && process_gone(__atomic_load_n(&ring->pid, __ATOMIC_ACQUIRE)))
            ring_orphan(recorder->rings, slot);
        any = drain_ring(recorder, slot) || any;
    }
    if (!flush(recorder))
        return any;
    for (unsigned slot = 0; slot < RING_SLOTS; slot++)
        if (recorder->follows[slot] && ring_free(&recorder->rings->ring[slot]))
            recorder->follows[slot] = false;
    return any;
}

/* ---- waiting ---- */

static bool anything_ready(const struct recorder *recorder)
{
    for (unsigned slot = 0; slot < RING_SLOTS; slot++) {
        const struct ring *ring = &recorder->rings->ring[slot];
        if (in_use(ring) &&
            (!recorder->follows[slot] ||
             __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) != recorder->cursor[slot]))
            return true;
    }
    return false;
}

static void reopen(struct recorder *recorder)
{
    struct signalfd_siginfo info;
    while (read(recorder->signals_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        continue;
    enum err err = sink_reopen(&recorder->sink);
    /* A file moved away in a folder of root's: a new process opens it before it drops root. */
    recorder->again = err == ERR_OPEN && errno == EACCES;
    if (recorder->again)
        log_info("audit file is opened anew by the next recorder");
    else if (err != OK)
        log_error("cannot open the audit file anew; writing to the old one", F_ERR(err));
    else
        log_info("audit file opened anew");
}

/* False when the master has gone, or wants an end. */
static bool wait_for_work(struct recorder *recorder, int wait_ms)
{
    struct pollfd fds[] = { { .fd = ROLE_FD_MASTER, .events = POLLIN },
                            { .fd = recorder->signals_fd, .events = POLLIN },
                            { .fd = ROLE_FD_WAKE, .events = POLLIN } };
    if (poll(fds, ARRAY_LEN(fds), wait_ms) <= 0)
        return true;
    if (fds[2].revents != 0) {
        uint64_t count;
        ssize_t got = read(ROLE_FD_WAKE, &count, sizeof(count));
        (void)got;
    }
    if (fds[1].revents != 0)
        reopen(recorder);
    return fds[0].revents == 0 && !recorder->again;
}

/*
 * It says that it sleeps, then looks once more; a worker commits, then looks whether it sleeps.
 * The fences see to it that one of the two notices.
 */
static bool sleep_until_woken(struct recorder *recorder)
{
    uint32_t *sleeps = &recorder->rings->recorder_sleeps;
    __atomic_store_n(sleeps, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    bool go_on = wait_for_work(recorder, anything_ready(recorder) ? 0 : SLEEP_MS);
    __atomic_store_n(sleeps, 0, __ATOMIC_RELAXED);
    return go_on;
}

static void run(struct recorder *recorder)
{
    unsigned idle = 0;
    for (bool go_on = true; go_on;) {
        bool any = turn(recorder, idle == 0 || idle >= IDLE_TURNS);
        idle = any ? 0 : idle + 1;
        if (recorder->sink.failing)
            go_on = wait_for_work(recorder, RETRY_MS);
        else if (idle < IDLE_TURNS)
            go_on = wait_for_work(recorder, ACTIVE_MS);
        else
            go_on = sleep_until_woken(recorder);
    }
}

/* ---- the end ---- */

static bool workers_left(const struct recorder *recorder)
{
    for (unsigned slot = 0; slot < RING_SLOTS; slot++) {
        const struct ring *ring = &recorder->rings->ring[slot];
        if (in_use(ring) && !process_gone(__atomic_load_n(&ring->pid, __ATOMIC_ACQUIRE)))
            return true;
    }
    return false;
}

/*
 * A successor takes over where this one stops, so there is no need to wait for anybody. Only
 * when the master is dead is this the last one: then the workers are on their way out, and what
 * they still say is written.
 */
static void finish(struct recorder *recorder, int32_t master)
{
    (void)alarm(LAST_SECONDS);
    for (int waited = 0; getppid() != master && workers_left(recorder) && waited < FINISH_MS;
         waited += ACTIVE_MS) {
        (void)turn(recorder, true);
        struct timespec pause = { .tv_nsec = ACTIVE_MS * 1000000L };
        (void)nanosleep(&pause, NULL);
    }
    while (turn(recorder, true) && !recorder->sink.failing && !workers_left(recorder))
        continue;
    sink_close(&recorder->sink);
}

/* ---- set-up ---- */

static enum err open_signals(struct recorder *recorder)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return ERR_SYSTEM;
    (void)signal(SIGALRM, SIG_DFL);
    recorder->signals_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return recorder->signals_fd >= 0 ? OK : ERR_SYSTEM;
}

static enum err map_rings(struct recorder *recorder)
{
    struct stat info;
    if (fstat(ROLE_FD_RINGS, &info) != 0 || info.st_size < (off_t)sizeof(struct rings))
        return ERR_PROTOCOL;
    void *p =
        mmap(NULL, sizeof(struct rings), PROT_READ | PROT_WRITE, MAP_SHARED, ROLE_FD_RINGS, 0);
    (void)close(ROLE_FD_RINGS);
    if (p == MAP_FAILED)
        return ERR_MEMORY;
    recorder->rings = p;
    return OK;
}

/* The folder of the file: a reopened one is made there. */
static enum err close_sandbox(const struct recorder_settings *settings)
{
    char folder[SETTINGS_PATH_BYTES];
    if (!settings_folder(folder, sizeof(folder), settings->audit_path))
        return ERR_LIMIT;
    const char *const paths[] = { settings->audit_path[0] != '\0' ? folder : NULL, NULL };
    struct sandbox sandbox = { .role = ROLE_RECORDER,
                               .user = settings->user[0] != '\0' ? settings->user : NULL,
                               .paths = paths,
                               .off = settings->sandbox_off };
    return sandbox_enter(&sandbox);
}

int recorder_main(void)
{
    int32_t master = getppid();
    process_open(ROLE_RECORDER);
    const struct recorder_settings *settings = NULL;
    enum err err = recorder_settings_open(ROLE_FD_SETTINGS, &settings);
    if (err != OK) {
        log_error("started without settings", F_ERR(err));
        return 2;
    }
    struct recorder *recorder = calloc(1, sizeof(*recorder));
    if (recorder == NULL)
        return 1;
    err = map_rings(recorder);
    if (err == OK)
        err = open_signals(recorder);
    if (err == OK)
        err = sink_open(&recorder->sink,
                        settings->audit_path[0] != '\0' ? settings->audit_path : NULL);
    if (err == OK)
        err = close_sandbox(settings);
    if (err != OK) {
        log_error("recorder cannot start", F_ERR(err), F_TEXT("file", settings->audit_path));
        free(recorder);
        return 1;
    }
    sandbox_probe(ROLE_RECORDER);
    run(recorder);
    finish(recorder, master);
    int code = recorder->again ? EXIT_AGAIN : 0;
    free(recorder);
    return code;
}
