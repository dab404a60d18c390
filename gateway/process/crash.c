/*
 * What a worker does when it crashes. Nothing but what is safe in a signal handler: reading
 * memory, one hash, one store, and two calls. A head that is damaged can make the handler
 * itself fault; then the second signal ends the process, as the first would have.
 */
#include "gateway/process/worker.h"

#include <signal.h>
#include <sys/mman.h>

#include "gateway/http1/session.h"
#include "gateway/store/slots.h"

enum { CRASH_STACK_BYTES = 64 * 1024 };

static const int crash_signals[] = {
    SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP
};

/* Handlers take no argument of ours. Set once. */
static struct {
    const struct worker *worker;
    const uint8_t *boot_key;
    struct sigaction before[ARRAY_LEN(crash_signals)];
} crash;

bool crash_signal(int signal)
{
    for (size_t i = 0; i < ARRAY_LEN(crash_signals); i++)
        if (crash_signals[i] == signal)
            return true;
    return false;
}

static void on_crash(int signal, siginfo_t *info, void *context)
{
    (void)context;
    for (size_t i = 0; i < ARRAY_LEN(crash_signals); i++)
        (void)sigaction(crash_signals[i], &crash.before[i], NULL);

    struct span head = session_current_head(crash.worker);
    if (head.len > 0)
        crash.worker->shared->death_fingerprint = death_fingerprint(crash.boot_key, head);

    /* A fault comes again by itself, with its address, for whoever handled it before; a sent
     * signal does not. */
    if (info->si_code <= 0 || signal == SIGABRT || signal == SIGTRAP)
        (void)raise(signal);
}

enum err crash_open(const struct worker *worker, const uint8_t *boot_key)
{
    void *pages = mmap(NULL, CRASH_STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = { .ss_sp = pages, .ss_size = CRASH_STACK_BYTES };
    if (pages == MAP_FAILED || sigaltstack(&stack, NULL) != 0)
        return ERR_MEMORY;
    crash.worker = worker;
    crash.boot_key = boot_key;

    struct sigaction action = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(crash_signals); i++)
        if (sigaction(crash_signals[i], &action, &crash.before[i]) != 0)
            return ERR_SYSTEM;
    return OK;
}
