/*
 * The loop hands errands over in a ring, whose places a semaphore counts, and takes them back
 * from a stack, all of it at once.
 */
#include "gateway/chain/crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/net/worker.h"

struct crew {
    struct crew_kind kind;
    struct worker *worker;
    struct watch watch; /* on an eventfd: something is done */

    struct errand **ring; /* of the capacity: no place is written to too soon */
    uint64_t put, taken;  /* errands so far: by the loop; by the threads, atomic */
    size_t sent;          /* that are not back; the loop's alone */
    sem_t waiting;        /* errands that are put and not taken */
    struct errand *done;  /* a stack; atomic */
    bool stopping;        /* atomic */
    sem_t running;        /* threads that have settled in */

    struct hand {
        struct crew *crew;
        pthread_t thread;
    } hands[CREW_THREADS_MAX];
    unsigned thread_count;
};

/* ---- the threads --------------------------------------------------------------------------
 */

static void wait_for_one(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        INVARIANT(errno == EINTR);
}

/* NULL: the crew is dismissed. */
static struct errand *next_errand(struct crew *crew)
{
    wait_for_one(&crew->waiting);
    if (__atomic_load_n(&crew->stopping, __ATOMIC_ACQUIRE))
        return NULL;
    uint64_t place = __atomic_fetch_add(&crew->taken, 1, __ATOMIC_ACQ_REL);
    return crew->ring[place % crew->kind.capacity];
}

static void hand_back(struct crew *crew, struct errand *errand)
{
    static const uint64_t one = 1;

    errand->next = __atomic_load_n(&crew->done, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&crew->done, &errand->next, errand, true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        continue;
    /* A full counter means that the loop is told already. */
    ssize_t written = write(crew->watch.fd, &one, sizeof(one));
    INVARIANT(written == (ssize_t)sizeof(one) || errno == EAGAIN);
}

/*
 * Being nice is not all: since Linux 6.6 whoever runs may finish its slice of some
 * milliseconds, however low it stands; only SCHED_IDLE gives way at once to everybody else, and
 * starves where there is always somebody else. What the kernel refuses, goes on.
 */
static void step_back(const struct crew_kind *kind)
{
    struct sched_param none = { .sched_priority = 0 };
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), kind->nice);
    (void)sched_setscheduler(0, kind->idle ? SCHED_IDLE : SCHED_BATCH, &none);
}

static void *run_thread(void *context)
{
    struct hand *hand = context;
    struct crew *crew = hand->crew;
    step_back(&crew->kind);
    (void)sem_post(&crew->running);

    for (struct errand *errand; (errand = next_errand(crew)) != NULL;) {
        errand->run(errand, (unsigned)(hand - crew->hands));
        hand_back(crew, errand);
    }
    return NULL;
}

/* What a thread does when it starts would be forbidden behind the sandbox, which closes next.
 */
static void wait_until_running(struct crew *crew)
{
    for (unsigned i = 0; i < crew->thread_count; i++)
        wait_for_one(&crew->running);
}

/* Signals are the loop's business. */
static enum err start_threads(struct crew *crew)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    enum err err = OK;
    INVARIANT(crew->kind.threads <= CREW_THREADS_MAX);
    if (pthread_attr_init(&attributes) != 0)
        return ERR_SYSTEM;
    (void)pthread_attr_setstacksize(&attributes, CREW_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < crew->kind.threads && err == OK; i++) {
        struct hand *hand = &crew->hands[i];
        hand->crew = crew;
        if (pthread_create(&hand->thread, &attributes, run_thread, hand) != 0)
            err = ERR_SYSTEM;
        else
            crew->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    wait_until_running(crew);
    return err;
}

/* ---- the loop's side ----------------------------------------------------------------------
 */

/* In the order in which they were done. */
static struct errand *take_done(struct crew *crew)
{
    struct errand *errand = __atomic_exchange_n(&crew->done, NULL, __ATOMIC_ACQUIRE);
    struct errand *first = NULL;

    while (errand != NULL) {
        struct errand *next = errand->next;
        errand->next = first;
        first = errand;
        errand = next;
    }
    return first;
}

static void collect(struct watch *watch, uint32_t events)
{
    struct crew *crew = CONTAINER(watch, struct crew, watch);
    uint64_t count;
    (void)events;
    ssize_t got = read(watch->fd, &count, sizeof(count));
    INVARIANT(got == (ssize_t)sizeof(count) || errno == EAGAIN || errno == EINTR);
    for (struct errand *errand = take_done(crew), *next; errand != NULL; errand = next) {
        next = errand->next; /* it may be released, and then is somebody else's */
        crew->sent--;
        op_finish(&errand->op, crew->worker, errand->error, errand->value);
    }
}

/* Its turn may still come; the answer is dropped. */
static void call_off(struct op *op)
{
    struct errand *errand = CONTAINER(op, struct errand, op);
    __atomic_store_n(&errand->called_off, true, __ATOMIC_RELAXED);
}

void crew_send(struct crew *crew, struct errand *errand)
{
    void (*release)(struct op *) = errand->op.release;
    op_init(&errand->op);
    errand->op.abandon = call_off;
    errand->op.release = release;
    errand->error = OK;
    errand->value = NULL;
    errand->called_off = false;

    INVARIANT(crew->sent++ < crew->kind.capacity);
    crew->ring[crew->put++ % crew->kind.capacity] = errand;
    (void)sem_post(&crew->waiting);
}

/* ---- beginning and end --------------------------------------------------------------------
 */

static enum err open_parts(struct crew *crew)
{
    crew->ring = calloc(crew->kind.capacity, sizeof(struct errand *));
    if (crew->ring == NULL)
        return ERR_MEMORY;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    crew->watch.on_event = collect;
    enum err err = loop_add(&crew->worker->loop, &crew->watch, fd, EPOLLIN);
    if (err != OK) {
        close(fd);
        return err;
    }
    return start_threads(crew);
}

enum err crew_open(struct crew **out, struct worker *worker, const struct crew_kind *kind)
{
    struct crew *crew = calloc(1, sizeof(*crew));
    if (crew == NULL)
        return ERR_MEMORY;
    crew->kind = *kind;
    crew->worker = worker;
    crew->watch.fd = -1;
    INVARIANT(sem_init(&crew->waiting, 0, 0) == 0 && sem_init(&crew->running, 0, 0) == 0);

    enum err err = open_parts(crew);
    if (err != OK) {
        log_error("cannot start threads; raise the limit of processes or memory",
                  F_TEXT("for", kind->what), F_ERR(err));
        crew_close(crew);
        return err;
    }
    *out = crew;
    return OK;
}

void crew_close(struct crew *crew)
{
    __atomic_store_n(&crew->stopping, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < crew->thread_count; i++)
        (void)sem_post(&crew->waiting);
    for (unsigned i = 0; i < crew->thread_count; i++)
        pthread_join(crew->hands[i].thread, NULL);

    if (crew->watch.fd >= 0) {
        int fd = crew->watch.fd;
        loop_remove(&crew->worker->loop, &crew->watch);
        close(fd);
    }
    (void)sem_destroy(&crew->waiting);
    (void)sem_destroy(&crew->running);
    free(crew->ring);
    free(crew);
}
