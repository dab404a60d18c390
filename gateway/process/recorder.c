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
#include "gateway/audit/drain.h"
#include "gateway/audit/journal.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/process/process.h"
#include "gateway/process/settings.h"

enum {
    ACTIVE_MS = 5,     /* between turns while records come */
    IDLE_TURNS = 40,   /* without a record before it sleeps */
    SLEEP_MS = 1000,   /* then it looks for rings of the dead */
    RETRY_MS = 200,    /* between turns while the file takes nothing */
    FINISH_MS = 8000,  /* for workers to end, once the master is gone */
    LAST_SECONDS = 10, /* a file that blocks cannot keep it alive without a master for longer */
    TAKEN_MS = 50,     /* between looks whether a log is free that another recorder writes */
};

struct recorder {
    struct journal journal;
    struct archive archive;
    struct captures captures;
    struct drain drain;
    const struct recorder_settings *settings;
    uint64_t now_us;
    int signals_fd;
    bool again; /* the next one may open what this one may not */
    bool last;  /* the master is dead: nobody comes after this one */
};

/* ---- one turn ---- */

/* True when there was something to write. */
static bool turn(struct recorder *recorder, bool look_for_dead)
{
    struct clock clock;
    clock_read(&clock);
    recorder->now_us = clock.wall_us;
    struct drain_turn done = drain_turn(&recorder->drain, clock.wall_us, look_for_dead);
    drain_pressure(&recorder->drain);
    journal_tick(&recorder->journal, recorder->now_us);
    if (recorder->journal.rotated)
        archive_look(&recorder->archive);
    recorder->journal.rotated = false;
    if (done.flushed)
        drain_settle(&recorder->drain);
    return done.any;
}

/* ---- waiting ---- */

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

/* The master says so when it wants an end; one that dies says nothing. */
static bool is_master_dead(void)
{
    char message[1024];
    return read(ROLE_FD_MASTER, message, sizeof(message)) <= 0;
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
    if (fds[0].revents != 0)
        recorder->last = is_master_dead();
    return fds[0].revents == 0 && !recorder->again;
}

/*
 * It says that it sleeps, then looks once more; a worker commits, then looks whether it sleeps.
 * The fences see to it that one of the two notices.
 */
static bool sleep_until_woken(struct recorder *recorder)
{
    uint32_t *sleeps = &recorder->drain.rings->recorder_sleeps;
    __atomic_store_n(sleeps, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    bool go_on = wait_for_work(recorder, drain_ready(&recorder->drain) ? 0 : SLEEP_MS);
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

/*
 * A successor takes over where this one stops, so there is no need to wait for anybody. Only
 * when the master is dead is this the last one: then the workers are on their way out, and what
 * they still say is written.
 */
static void finish(struct recorder *recorder)
{
    (void)alarm(LAST_SECONDS);
    for (int waited = 0;
         recorder->last && drain_workers_left(&recorder->drain) && waited < FINISH_MS;
         waited += ACTIVE_MS) {
        (void)turn(recorder, true);
        struct timespec pause = { .tv_nsec = ACTIVE_MS * 1000000L };
        (void)nanosleep(&pause, NULL);
    }
    while (turn(recorder, true) && !recorder->journal.stuck &&
           (recorder->last || !drain_workers_left(&recorder->drain)))
        continue;
    archive_close(&recorder->archive);
    captures_close(&recorder->captures);
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

/* The recorder of a master that was killed may still be writing its last records. */
static enum err wait_for_log(struct recorder *recorder, const struct journal_conf *conf,
                             struct seal_memory *seal)
{
    enum err err = ERR_BUSY;
    for (int waited = 0; err == ERR_BUSY && waited < (LAST_SECONDS + 2) * 1000;
         waited += TAKEN_MS) {
        struct timespec pause = { .tv_nsec = TAKEN_MS * 1000000L };
        if (waited > 0)
            (void)nanosleep(&pause, NULL);
        err = journal_open(&recorder->journal, conf, seal, recorder->now_us);
    }
    if (err == ERR_BUSY)
        log_error("another gateway writes this audit file", F_TEXT("file", conf->path));
    return err;
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
    struct clock clock;
    clock_read(&clock);
    recorder->now_us = clock.wall_us;
    enum err err = wait_for_log(recorder, &conf, seal);
    recorder->drain.on_full = (enum on_full)settings->on_full;
    recorder->drain.written_fd = ROLE_FD_WRITTEN;
    captures_open(&recorder->captures, err == OK ? recorder->journal.conf.path : NULL,
                  settings->capture_bytes);
    recorder->drain.captures = &recorder->captures;
    drain_open(&recorder->drain, rings, &recorder->journal, err == OK ? seal : NULL);
    const struct archive_conf archive = { .path = recorder->journal.conf.path,
                                          .compress = settings->compress,
                                          .keep_us = settings->keep_ms * 1000,
                                          .keep_bytes = settings->keep_bytes };
    if (err == OK)
        err = archive_open(&recorder->archive, &archive);
    if (err != OK) { /* the next one tries again; until then the policy holds */
        recorder->journal.stuck = true;
        drain_pressure(&recorder->drain);
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
    finish(recorder);
    int code = recorder->again ? EXIT_AGAIN : 0;
    free(recorder);
    return code;
}
