/*
 * A generation: one configuration, loaded in a process of its own, so that nothing of the one
 * before is left in it. It reads, compiles, asks the master for sockets and memory, forks
 * workers, and then only watches over them. It refuses what is wrong before it has disturbed
 * anything.
 */
#include "gateway/process/generation.h"
#include "gateway/chain/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/store/snapshot.h"
#include "gateway/upstream/upstream.h"
#include "rules/waf.h"

enum { DIAGNOSTICS_BYTES = 16 * 1024, PROTECT_TRIES = 100, CUT_GRACE_MS = 2000 };

#define CONFIG_BYTES_MAX ((size_t)16 << 30)

/* ---- refusing ---- */

void refuse(struct home *home, struct span why)
{
    struct message message = { .kind = MESSAGE_REFUSED };
    int memfd = snapshot_seal(why);
    if (memfd >= 0)
        tell(home, &message, &memfd, 1);
    crew_signal(home, SIGKILL);
    _exit(2);
}

static void refuse_diagnostics(struct home *home)
{
    struct text out = text_growing(&home->arena, DIAGNOSTICS_BYTES);
    if (home->diags.count == 0)
        refuse(home, SPAN("error: the configuration cannot be used\n"));
    diags_write(&out, &home->diags, DIAG_HUMAN);
    refuse(home, out.overflow ? SPAN("error: too many errors to print\n") : text_span(&out));
}

static void print_warnings(struct home *home)
{
    if (home->diags.count == 0)
        return;
    struct text out = text_growing(&home->arena, DIAGNOSTICS_BYTES);
    diags_write(&out, &home->diags, DIAG_HUMAN);
    ssize_t written = write(STDERR_FILENO, out.p, out.len);
    (void)written;
}

/* ---- loading ---- */

static void *need_memory(struct home *home, struct span name, uint32_t layout, size_t size)
{
    void *p = ask_memory(home, name, layout, size);
    if (p == NULL)
        refuse(home, SPAN("error: no shared memory\n"));
    return p;
}

/* Old workers serve on meanwhile, and the master waits as long as this goes on. */
static void on_progress(struct setup *setup, unsigned done, unsigned all)
{
    struct message message = { .kind = MESSAGE_LOADING };
    log_info("compiling rules", F_INT("done", done), F_INT("all", all));
    tell(setup->shared_owner, &message, NULL, 0);
}

static void tell_rules(struct home *home)
{
    enum { SETS_TOLD_MAX = 16 };
    const struct ruleset *sets[SETS_TOLD_MAX];
    unsigned count = waf_sets(home->config, sets, SETS_TOLD_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct text text = text_growing(&home->arena, 256);
        ruleset_describe(sets[i], &text);
        log_info("rules", F_SPAN("set", text_span(&text)));
    }
}

static void load(struct home *home)
{
    home->slots = need_memory(home, SPAN("slots"), SLOTS_LAYOUT, sizeof(struct slots));
    home->tickets = need_memory(home, SPAN("tickets"), 1, sizeof(struct ticket_keys));
    home->peers = need_memory(home, SPAN("peers"), PEERS_LAYOUT, sizeof(struct peer_counts));
    ticket_keys_rotate(home->tickets, home->loop.clock.wall_us / 1000000u);

    struct load load = { .arena = &home->arena,
                         .diags = &home->diags,
                         .shared = setup_memory,
                         .shared_owner = home,
                         .progress = on_progress,
                         .boot_key = home->slots->boot_key,
                         .ticket_keys = home->tickets,
                         .watch = home->watches ? &home->files : NULL };
    home->config =
        home->protect ? load_protect(&load, home->source) : load_file(&load, home->source);
    if (home->config == NULL)
        refuse_diagnostics(home);
    print_warnings(home);
    tell_rules(home);
    memcpy(home->config->boot_key, home->slots->boot_key, sizeof(home->config->boot_key));
    struct server_states *servers =
        need_memory(home, SPAN("servers"), SERVER_STATES_LAYOUT, sizeof(struct server_states));
    server_states_fill(servers, home->config->upstreams, home->config->upstream_count,
                       home->number);
    if (home->config->audit.on)
        home->rings = need_memory(home, SPAN("audit"), RINGS_LAYOUT, sizeof(struct rings));

    home->meters = need_memory(home, SPAN("meters"), METERS_LAYOUT, sizeof(struct meters));
    meters_assign(home->meters, home->config);
    home->list_blocks = arena_array(&home->arena, struct span, home->config->list_count + 1);
    if (home->list_blocks == NULL)
        refuse(home, SPAN("error: out of memory\n"));
    for (size_t i = 0; i < home->config->list_count; i++)
        home->list_blocks[i] = home->config->lists[i].built;
}

/* ---- listening ---- */

static void refuse_address(struct home *home, struct span text, int reason)
{
    char buffer[512];
    struct text why = text_fixed(buffer, sizeof(buffer));
    text_lit(&why, "error: cannot listen on ");
    text_add(&why, span_sub(text, 0, 300));
    text_format(&why, ": %s\n", strerrordesc_np(reason));
    refuse(home, text_span(&why));
}

static bool put_path(struct message *message, struct span path)
{
    if (path.len == 0 || path.len >= sizeof(message->name))
        return false;
    message->addr = (struct addr){ .family = ADDR_UNIX };
    memcpy(message->name, path.p, path.len);
    return true;
}

/* Which of several equal addresses it is: 127.0.0.1:0 twice is two ports. */
static uint32_t ordinal(const struct config *config, size_t index)
{
    uint32_t before = 0;
    const struct listen_address *this = &config->listen[index];
    for (size_t i = 0; i < index; i++)
        before += config->listen[i].addr.port == this->addr.port &&
                  addr_equal(&config->listen[i].addr, &this->addr);
    return before;
}

static int bind_one(struct home *home, size_t index)
{
    const struct listen_address *listen = &home->config->listen[index];
    struct message message = { .kind = MESSAGE_BIND,
                               .layout = ordinal(home->config, index),
                               .number = listen->tls ? BIND_TLS : 0,
                               .addr = listen->addr };
    struct span path = listen->text;
    if (span_starts(path, SPAN("unix:")))
        path = span_sub(path, 5, path.len);
    if (listen->addr.family == ADDR_UNIX && !put_path(&message, path))
        return ENAMETOOLONG;
    /* ":80" means every address of both families, or of the one that the system has. */
    bool every = span_starts(listen->text, SPAN(":"));
    if (every)
        message.number |= BIND_DUAL;
    int reason = ask(home, &message, NULL, 0, &home->listen_fds[index]);
    if (every && (reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL)) {
        message.number &= ~(uint64_t)BIND_DUAL;
        message.addr = (struct addr){ .family = ADDR_V4, .port = listen->addr.port };
        reason = ask(home, &message, NULL, 0, &home->listen_fds[index]);
    }
    return reason;
}

/* The steward's, as the control socket is; the master has it. */
static void bind_metrics(struct home *home)
{
    const struct server_conf *server = &home->config->server;
    struct message message = { .kind = MESSAGE_BIND, .number = BIND_METRICS };
    int fd = -1;
    if (server->metrics.len == 0 || !addr_parse_port(server->metrics, &message.addr))
        return;
    int reason = ask(home, &message, NULL, 0, &fd);
    if (reason != 0)
        refuse_address(home, server->metrics, reason);
    if (fd >= 0)
        (void)close(fd);
}

static void bind_listeners(struct home *home)
{
    struct config *config = home->config;
    INVARIANT(config->listen_count <= LISTEN_MAX); /* load.c has complained */
    for (size_t i = 0; i < config->listen_count; i++) {
        int reason = bind_one(home, i);
        /* With --protect nobody asked for just this port. */
        for (int tries = 0; home->protect && reason == EADDRINUSE && tries < PROTECT_TRIES;
             tries++) {
            config->listen[i].addr.port++;
            reason = bind_one(home, i);
        }
        if (reason != 0 || home->listen_fds[i] < 0)
            refuse_address(home, config->listen[i].text, reason);
    }
    bind_metrics(home);
    if (config->server.control.text.len == 0)
        return;
    struct message message = { .kind = MESSAGE_BIND, .number = BIND_CONTROL };
    int fd = -1;
    int reason = ENAMETOOLONG;
    if (put_path(&message, config->server.control.text))
        reason = ask(home, &message, NULL, 0, &fd);
    if (home->protect && reason != 0)
        log_warn("no control socket: another gateway has its place", F_ERRNO(reason),
                 F_SPAN("path", config->server.control.text));
    else if (reason != 0)
        refuse_address(home, config->server.control.text, reason);
    if (fd >= 0)
        (void)close(fd); /* it is the steward's; the master has it */
}

/* ---- serving ---- */

static void retire(struct home *home, uint64_t drain_ms)
{
    home->retiring = true;
    if (drain_ms == 0) {
        home->cut = true;
        crew_signal(home, WORKER_CUT);
    } else if (home->retire_fd >= 0) {
        ssize_t written =
            write(home->retire_fd, "", 1); /* it stays unread: every worker sees it */
        (void)written;
    }
    /* Workers know their own drain time; this is for those that do not keep it. */
    timer_set(&home->loop, &home->deadline, drain_ms + CUT_GRACE_MS);
    if (crew_alive(home) == 0)
        _exit(0);
}

static void on_deadline(struct timer *timer)
{
    struct home *home = CONTAINER(timer, struct home, deadline);
    home->cut = true;
    crew_signal(home, SIGKILL);
}

static void on_message(struct watch *watch, uint32_t events)
{
    (void)events;
    struct home *home = CONTAINER(watch, struct home, master);
    struct message message;
    int fds[MESSAGE_FDS_MAX];
    unsigned count;
    enum err err = message_receive(watch->fd, &message, fds, &count);
    if (err == OK && message.kind == MESSAGE_RETIRE) {
        retire(home, message.number);
        return;
    }
    log_error("the master is gone, or says what it should not", F_ERR(err));
    _exit(1);
}

static void on_child(struct watch *watch, uint32_t events)
{
    (void)events;
    struct home *home = CONTAINER(watch, struct home, signals);
    struct signalfd_siginfo info;
    while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        continue;
    crew_reap(home);
    if (!home->ready && crew_alive(home) < home->crew_count)
        refuse(home, SPAN("error: a worker could not start; the log says why\n"));
    if (home->retiring && crew_alive(home) == 0)
        _exit(0);
}

static void on_report(struct watch *watch, uint32_t events)
{
    (void)events;
    struct home *home = CONTAINER(watch, struct home, report);
    uint32_t slot;
    if (read(watch->fd, &slot, sizeof(slot)) != (ssize_t)sizeof(slot))
        return;
    crew_reported(home, slot);
    if (home->ready || !crew_serving(home))
        return;
    home->ready = true;
    struct message message = { .kind = MESSAGE_READY,
                               .number = (uint64_t)home->config->server.drain_timeout.ms };
    tell(home, &message, NULL, 0);
}

/* Who edits writes more than once: only what is alike at two looks is taken up, and each state
 * once, for a configuration that is refused does not get better by itself. */
static void look_at_files(struct home *home)
{
    struct message message = { .kind = MESSAGE_RELOAD };
    uint64_t now = yaml_watch_now(&home->files);
    bool settled = now == home->files_last;

    home->files_last = now;
    if (!settled || now == home->files_told)
        return;
    home->files_told = now;
    log_info("a file of the configuration has changed");
    tell(home, &message, NULL, 0);
}

static void on_tick(struct timer *timer)
{
    struct home *home = CONTAINER(timer, struct home, tick);
    timer_set(&home->loop, timer, TICK_MS);
    crew_watch(home);
    if (home->retiring)
        return;
    ticket_keys_rotate(home->tickets, home->loop.clock.wall_us / 1000000u);
    if (home->watches && home->ready)
        look_at_files(home);
}

/* ---- life ---- */

static enum err open_home(struct home *home)
{
    TRY(loop_init(&home->loop));
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return ERR_SYSTEM;
    int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    int retire_pipe[2], report_pipe[2];
    if (signals < 0 || pipe2(retire_pipe, O_CLOEXEC) != 0 || pipe2(report_pipe, O_CLOEXEC) != 0)
        return ERR_SYSTEM;
    home->retire_read_fd = retire_pipe[0];
    home->retire_fd = retire_pipe[1];
    home->report_write_fd = report_pipe[1];
    home->tick.fire = on_tick;
    home->deadline.fire = on_deadline;
    home->signals.on_event = on_child;
    home->report.on_event = on_report;
    TRY(loop_add(&home->loop, &home->signals, signals, EPOLLIN));
    return loop_add(&home->loop, &home->report, report_pipe[0], EPOLLIN);
}

static void serve(struct home *home)
{
    timer_set(&home->loop, &home->tick, TICK_MS);
    home->master.on_event = on_message;
    if (loop_add(&home->loop, &home->master, ROLE_FD_MASTER, EPOLLIN) != OK)
        refuse(home, SPAN("error: cannot watch the master\n"));
    loop_run(&home->loop);
}

int generation_main(int argc, char **argv)
{
    process_open(ROLE_GENERATION);
    uint64_t number = 0;
    if (argc < 3 || argc > 4 || !span_uint(span_text(argv[0]), &number) ||
        number > UINT32_MAX || fcntl(ROLE_FD_MASTER, F_SETFD, FD_CLOEXEC) != 0) {
        log_error("started by somebody else than the master");
        return 2;
    }
    static struct home only;
    struct home *home = &only;
    home->number = (uint32_t)number;
    home->pid = getpid();
    home->master_pid = getppid();
    home->protect = span_equal(span_text(argv[1]), SPAN("--protect"));
    home->source = argv[2];
    home->watches = argc == 4;
    arena_init(&home->arena, NULL, 0, NULL, CONFIG_BYTES_MAX);
    diags_init(&home->diags, &home->arena);
    if (open_home(home) != OK) {
        log_error("cannot start", F_ERRNO(errno));
        return 1;
    }
    load(home);
    home->files_told = home->files_last = home->files.loaded;
    feeds_load(home);
    names_load(home);
    certificates_load(home);
    bind_listeners(home);
    settings_send(home);
    crew_start(home);
    serve(home);
    return 0;
}
