/*
 * The recorder: takes committed records out of the workers' rings and appends them to the audit
 * file. A record leaves its ring only when it is written, so a recorder that is killed costs
 * nothing but time: the next one goes on where the tail stands. Rings of workers that are gone
 * are emptied and freed.
 *
 * While neither the file nor what is reserved beside it takes anything, `audit.on_full` says
 * what becomes of the requests; the recorder tells the workers so, and takes it back by itself.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/archive.h"
#include "gateway/audit/flood.h"
#include "gateway/audit/journal.h"
#include "gateway/audit/ring.h"
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
    FLOODS_MAX = 256, /* told in one batch */
    FLOOD_BYTES = FLOOD_LINE_BYTES + 512,
};

struct recorder {
    struct rings *rings;
    struct journal journal;
    struct archive archive;
    const struct recorder_settings *settings;
    uint64_t now_us;
    uint64_t cursor[RING_SLOTS]; /* behind what is in the journal's buffer */
    uint64_t told[RING_SLOTS][RECORD_CLASSES];
    uint64_t dropped[RECORD_CLASSES]; /* here, while the disk was full; not told yet */
    bool follows[RING_SLOTS];         /* cursor and told are of the ring's present life */
    uint64_t buffered;                /* records in the journal's buffer */
    struct {
        unsigned ring;
        struct flood_news news;
    } floods[FLOODS_MAX]; /* in the buffer, too */
    unsigned flood_count;
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

/* Those who wait for `tail` to move. */
static void tell_waiters(struct recorder *recorder)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        if (__atomic_load_n(&recorder->rings->ring[i].waits, __ATOMIC_RELAXED) == 0)
            continue;
        uint64_t one = 1;
        ssize_t written = write(ROLE_FD_WRITTEN, &one, sizeof(one));
        (void)written;
        return;
    }
}

/* What is in the file may leave the rings. False: nothing leaves, and it is tried again. */
static bool flush(struct recorder *recorder)
{
    if (journal_flush(&recorder->journal) != OK) {
        recorder->rings->write_errors++;
        return false;
    }
    for (unsigned i = 0; i < RING_SLOTS; i++) {
        if (!recorder->follows[i])
            continue;
        struct ring *ring = &recorder->rings->ring[i];
        ring_release(ring, recorder->cursor[i]);
        memcpy(ring->lost_told, recorder->told[i], sizeof(ring->lost_told));
    }
    for (unsigned i = 0; i < recorder->flood_count; i++)
        flood_told(&recorder->rings->ring[recorder->floods[i].ring], &recorder->floods[i].news);
    recorder->flood_count = 0;
    recorder->rings->sequence += recorder->buffered;
    recorder->rings->flushes += recorder->buffered > 0;
    recorder->buffered = 0;
    return true;
}

/* False: the file takes nothing now, and the line is not in the buffer. */
static bool put(struct recorder *recorder, struct span line)
{
    enum err err = journal_line(&recorder->journal, line);
    if (err == ERR_LIMIT) {
        if (!flush(recorder))
            return false;
        err = journal_line(&recorder->journal, line);
    }
    if (err != OK)
        log_error("record dropped: its line is not well-formed", F_ERR(err));
    recorder->buffered += err == OK;
    return true;
}

static bool put_gap(struct recorder *recorder, const char *reason,
                    const uint64_t lost[RECORD_CLASSES])
{
    char buffer[GAP_BYTES];
    struct text line = text_fixed(buffer, sizeof(buffer));
    record_gap(&line, recorder->now_us, reason, lost);
    return put(recorder, text_span(&line));
}

/* What a full ring lost since last told. While the disk is full it is added up. */
static bool put_ring_gap(struct recorder *recorder, unsigned slot)
{
    const struct ring *ring = &recorder->rings->ring[slot];
    uint64_t lost[RECORD_CLASSES], now[RECORD_CLASSES];
    bool any = false;
    for (int class = 0; class < RECORD_CLASSES; class ++) {
        now[class] = __atomic_load_n(&ring->lost[class], __ATOMIC_RELAXED);
        lost[class] = now[class] - recorder->told[slot][class];
        any = any || lost[class] != 0;
    }
    if (!any || recorder->journal.spilling)
        return false;
    if (!put_gap(recorder, "ring-full", lost))
        return false;
    memcpy(recorder->told[slot], now, sizeof(now));
    return true;
}

static bool put_floods(struct recorder *recorder, unsigned slot)
{
    struct ring *ring = &recorder->rings->ring[slot];
    bool all = __atomic_load_n(&ring->state, __ATOMIC_ACQUIRE) == RING_ORPHAN, any = false;
    for (unsigned i = 0; i < FLOOD_SLOTS && recorder->flood_count < FLOODS_MAX; i++) {
        char buffer[FLOOD_BYTES];
        struct text line = text_fixed(buffer, sizeof(buffer));
        struct flood_news news;
        if (!flood_line(ring, i, recorder->now_us, all, &line, &news))
            continue;
        bool waiting = false; /* told in this batch already */
        for (unsigned k = 0; k < recorder->flood_count; k++)
            waiting = waiting ||
                      (recorder->floods[k].ring == slot && recorder->floods[k].news.slot == i);
        if (waiting || !put(recorder, text_span(&line)))
            continue;
        recorder->floods[recorder->flood_count].ring = slot;
        recorder->floods[recorder->flood_count++].news = news;
        any = true;
    }
    return any;
}

/* Forwarded requests give way while only reserved room is left. */
static bool is_dropped(const struct recorder *recorder, const struct ring_record *record)
{
    return recorder->journal.spilling && record->class == RECORD_FORWARDED &&
           recorder->settings->on_full == ON_FULL_DROP_LOW;
}

static bool drain_ring(struct recorder *recorder, unsigned slot)
{
    struct ring *ring = &recorder->rings->ring[slot];
    bool any = false;
    for (int i = 0; i < TURN_RECORDS; i++) {
        uint64_t cursor = recorder->cursor[slot];
        struct ring_record record;
        if (!ring_peek(ring, &cursor, &record, recorder->scratch))
            break;
        if (is_dropped(recorder, &record)) {
            recorder->dropped[record.class]++;
            recorder->rings->dropped[record.class]++;
        } else if (!put(recorder, record.line)) {
            break;
        }
        recorder->cursor[slot] = cursor;
        any = true;
    }
    any = put_floods(recorder, slot) || any;
    return put_ring_gap(recorder, slot) || any;
}

/* ---- a full disk ---- */

static enum pressure pressure_now(const struct recorder *recorder)
{
    const struct journal *journal = &recorder->journal;
    if (!journal->spilling && !journal->stuck)
        return PRESSURE_NONE;
    /* Reserved room is for what is on its way when the others are asked to wait. */
    bool short_of_room = journal->stuck || journal->spill.len > journal->spill.room / 2;
    switch ((enum on_full)recorder->settings->on_full) {
    case ON_FULL_DROP_LOW:
        return PRESSURE_DROP_LOW;
    case ON_FULL_BLOCK:
        return short_of_room ? PRESSURE_HOLD : PRESSURE_NONE;
    case ON_FULL_FAIL_CLOSED:
        return short_of_room ? PRESSURE_CLOSED : PRESSURE_NONE;
    }
    return PRESSURE_NONE;
}

static void tell_pressure(struct recorder *recorder)
{
    enum pressure pressure = pressure_now(recorder);
    struct rings *rings = recorder->rings;
    if (!recorder->journal.spilling &&
        recorder->dropped[RECORD_FORWARDED] + recorder->dropped[RECORD_DETECTED] > 0 &&
        put_gap(recorder, "disk-full", recorder->dropped))
        memset(recorder->dropped, 0, sizeof(recorder->dropped));
    rings->file_bytes = recorder->journal.bytes;
    rings->spilled = recorder->journal.spilling ? recorder->journal.spill.len : 0;
    if (__atomic_load_n(&rings->pressure, __ATOMIC_RELAXED) == pressure)
        return;
    __atomic_store_n(&rings->pressure, pressure, __ATOMIC_RELEASE);
    tell_waiters(recorder);
}

static bool process_gone(int32_t pid)
{
    return pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH);
}

/* True when there was something to write. */
static bool turn(struct recorder *recorder, bool look_for_dead)
{
    bool any = false;
    struct clock clock;
    clock_read(&clock);
    recorder->now_us = clock.wall_us;
    __atomic_store_n(&recorder->rings->kicked, 0, __ATOMIC_RELEASE);
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
    bool flushed = flush(recorder);
    tell_pressure(recorder);
    journal_tick(&recorder->journal, recorder->now_us);
    if (recorder->journal.rotated)
        archive_look(&recorder->archive);
    recorder->journal.rotated = false;
    if (!flushed)
        return any;
    tell_waiters(recorder);
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
    enum err err = journal_reopen(&recorder->journal, recorder->now_us);
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
        bool more = !recorder->journal.stuck && recorder->archive.conf.path != NULL &&
                    archive_turn(&recorder->archive, &recorder->journal.seal, recorder->now_us);
        if (recorder->journal.stuck)
            go_on = wait_for_work(recorder, RETRY_MS);
        else if (more)
            go_on = wait_for_work(recorder, 0);
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
    while (turn(recorder, true) && !recorder->journal.stuck && !workers_left(recorder))
        continue;
    archive_close(&recorder->archive);
    journal_close(&recorder->journal, recorder->now_us);
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

static enum err map(int fd, size_t size, void **out)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || info.st_size < (off_t)size)
        return ERR_PROTOCOL;
    *out = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    return *out != MAP_FAILED ? OK : ERR_MEMORY;
}

static enum err open_journal(struct recorder *recorder)
{
    const struct recorder_settings *settings = recorder->settings;
    const struct journal_conf conf = {
        .path = settings->audit_path[0] != '\0' ? settings->audit_path : NULL,
        .sync = settings->durability == DURABILITY_SYNC,
        .spill_bytes = settings->spill_bytes,
        .rotate_bytes = settings->rotate_bytes,
        .rotate_us = settings->rotate_ms * 1000,
    };
    void *rings, *seal;
    TRY(map(ROLE_FD_RINGS, sizeof(struct rings), &rings));
    TRY(map(ROLE_FD_SEAL, sizeof(struct seal_memory), &seal));
    recorder->rings = rings;
    struct clock clock;
    clock_read(&clock);
    recorder->now_us = clock.wall_us;
    enum err err = journal_open(&recorder->journal, &conf, seal, clock.wall_us);
    const struct archive_conf archive = { .path = recorder->journal.conf.path,
                                          .compress = settings->compress,
                                          .keep_us = settings->keep_ms * 1000,
                                          .keep_bytes = settings->keep_bytes };
    if (err == OK)
        err = archive_open(&recorder->archive, &archive);
    if (err != OK) { /* the next one tries again; until then the policy holds */
        recorder->journal.stuck = true;
        tell_pressure(recorder);
    }
    return err;
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
    recorder->settings = settings;
    err = open_signals(recorder);
    if (err == OK)
        err = open_journal(recorder);
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
