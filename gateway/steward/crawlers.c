/*
 * Crawlers that workers were told of, asked after: the address has a name (PTR), the name is in
 * a domain of the crawler's, and has the address (A or AAAA). What is found stands in shared
 * memory for all workers, for as long as the records say, within bounds.
 *
 * Questions come from workers, and so from whoever sends a User-Agent: so many are asked at a
 * time and in a second, and the others are forgotten; who comes again is asked after again.
 * The same memory has what `ip why` and the metrics tell of bots.
 */
#include <jansson.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/bots/verify.h"
#include "gateway/net/resolver.h"
#include "gateway/process/process.h"
#include "gateway/steward/steward.h"

enum {
    LOOK_MS = 100,
    CHECKS_MAX = 16,    /* at a time */
    BEGUN_MAX = 5,      /* in each look: 50 a second */
    REVERSE_BYTES = 80, /* 32 digits with their dots, and ip6.arpa. */
};

struct crawlers;

struct check {
    struct question question; /* one name at a time */
    struct crawlers *crawlers;
    struct verify_question asked;
    char names[VERIFY_NAMES_MAX][DNS_NAME_BYTES + 1];
    unsigned count, at;
    uint32_t ttl;
    bool busy, partly; /* some name had no answer */
};

struct crawlers {
    struct steward *steward;
    struct resolver *resolver;
    struct bots_memory memory;
    struct timer timer;
    uint64_t cursor;
    struct check checks[CHECKS_MAX];
};

static uint64_t now_s(const struct crawlers *crawlers)
{
    return crawlers->steward->loop.clock.wall_us / 1000000;
}

/* ---- one address ---- */

static void finish(struct check *check, enum verify_state state)
{
    uint64_t ttl = state == VERIFY_TRUE    ? check->ttl
                   : state == VERIFY_FALSE ? VERIFY_FALSE_S
                                           : VERIFY_UNKNOWN_S;
    if (state == VERIFY_TRUE && ttl < VERIFY_LEAST_S)
        ttl = VERIFY_LEAST_S;
    if (ttl > VERIFY_MOST_S)
        ttl = VERIFY_MOST_S;
    verify_tell(&check->crawlers->memory, &check->asked, state, now_s(check->crawlers), ttl);
    check->busy = false;
}

static void ask_next_name(struct check *check);

static void on_addresses(struct question *question, enum err err,
                         const struct dns_answer *answer)
{
    struct check *check = CONTAINER(question, struct check, question);
    if (err == ERR_CLOSED)
        return;
    check->partly |= err != OK;
    for (unsigned i = 0; err == OK && i < answer->count; i++) {
        if (!addr_equal(&answer->records[i].addr, &check->asked.addr))
            continue;
        check->ttl = answer->ttl < check->ttl ? answer->ttl : check->ttl;
        finish(check, VERIFY_TRUE);
        return;
    }
    ask_next_name(check);
}

static void ask_next_name(struct check *check)
{
    if (check->at == check->count) {
        finish(check, check->partly ? VERIFY_UNKNOWN : VERIFY_FALSE);
        return;
    }
    const char *name = check->names[check->at++];
    check->question = (struct question){
        .done = on_addresses,
        .type = check->asked.addr.family == ADDR_V4 ? DNS_A : DNS_AAAA,
    };
    resolver_ask(check->crawlers->resolver, &check->question, name);
}

static void on_names(struct question *question, enum err err, const struct dns_answer *answer)
{
    struct check *check = CONTAINER(question, struct check, question);
    if (err == ERR_CLOSED)
        return;
    if (err != OK) {
        finish(check, VERIFY_UNKNOWN);
        return;
    }
    check->ttl = answer->ttl;
    for (unsigned i = 0; i < answer->count && check->count < VERIFY_NAMES_MAX; i++) {
        const char *host = answer->records[i].target;
        if (!verify_in_domains(&check->asked, host))
            continue;
        /* With a dot at its end, no domain to search is put behind it. */
        struct text name = text_fixed(check->names[check->count], DNS_NAME_BYTES);
        text_add(&name, span_text(host));
        text_char(&name, '.');
        if (text_cstring(&name) != NULL)
            check->count++;
    }
    ask_next_name(check);
}

static void begin(struct crawlers *crawlers, struct check *check,
                  const struct verify_question *asked)
{
    char buffer[REVERSE_BYTES];
    struct text name = text_fixed(buffer, sizeof(buffer));
    *check = (struct check){ .question = { .done = on_names, .type = DNS_PTR },
                             .crawlers = crawlers,
                             .asked = *asked,
                             .busy = true };
    verify_reverse_name(&name, &asked->addr);
    const char *reverse = text_cstring(&name);
    INVARIANT(reverse != NULL);
    resolver_ask(crawlers->resolver, &check->question, reverse);
}

static void on_timer(struct timer *timer)
{
    struct crawlers *crawlers = CONTAINER(timer, struct crawlers, timer);
    struct verify_question asked;
    unsigned begun = 0;
    for (size_t i = 0; i < CHECKS_MAX && begun < BEGUN_MAX; i++) {
        if (crawlers->checks[i].busy)
            continue;
        if (!verify_next(&crawlers->memory, &crawlers->cursor, &asked))
            break;
        begin(crawlers, &crawlers->checks[i], &asked);
        begun++;
    }
    timer_set(&crawlers->steward->loop, timer, LOOK_MS);
}

/* ---- life ---- */

enum err crawlers_open(struct steward *steward)
{
    struct stat info;
    if (fstat(ROLE_FD_BOTS, &info) != 0)
        return OK; /* no site has bots */
    void *memory = MAP_FAILED;
    if (info.st_size == (off_t)bots_memory_bytes())
        memory = mmap(NULL, bots_memory_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
                      ROLE_FD_BOTS, 0);
    (void)close(ROLE_FD_BOTS);
    struct crawlers *crawlers = arena_new(&steward->arena, struct crawlers);
    if (memory == MAP_FAILED || crawlers == NULL)
        return ERR_MEMORY;
    crawlers->steward = steward;
    bots_memory_over(&crawlers->memory, memory, steward->slots->boot_key);
    crawlers->resolver = resolver_open(&steward->loop, steward->settings->resolver);
    crawlers->cursor = __atomic_load_n(&crawlers->memory.shared->asked, __ATOMIC_RELAXED);
    crawlers->timer.fire = on_timer;
    steward->crawlers = crawlers;
    return crawlers->resolver != NULL ? OK : ERR_MEMORY;
}

void crawlers_start(struct steward *steward)
{
    if (steward->crawlers != NULL)
        timer_set(&steward->loop, &steward->crawlers->timer, LOOK_MS);
}

const struct bots_memory *crawlers_memory(const struct steward *steward)
{
    return steward->crawlers != NULL ? &steward->crawlers->memory : NULL;
}

/* ---- for people ---- */

static void write_routes(struct json *j, const struct crawlers *crawlers)
{
    json_begin_array(j, "under_attack");
    for (unsigned i = 0; i < BOTS_ROUTES; i++) {
        const struct route_pressure *route = &crawlers->memory.shared->routes[i];
        char name[BOTS_ROUTE_BYTES];
        if (!pressure_is_on(route, now_s(crawlers)))
            continue;
        memcpy(name, route->name, sizeof(name));
        name[sizeof(name) - 1] = '\0'; /* a worker may have written anything */
        json_begin_object(j, NULL);
        json_text(j, "route", span_text(name));
        json_uint(j, "since", __atomic_load_n(&route->began_s, __ATOMIC_RELAXED));
        json_end_object(j);
    }
    json_end_array(j);
}

/* What is known of an address, and of the whole. */
void bots_command(struct client *client, const json_t *request)
{
    static const char *const events[VISITOR_EVENTS] = {
        [VISITOR_MISSED] = "missed", [VISITOR_ASKED] = "challenged",
        [VISITOR_PASSED] = "passed", [VISITOR_FAILED] = "failed",
        [VISITOR_TRAPPED] = NULL, /* how much of its time is left, and not how often */
    };
    const struct crawlers *crawlers = client->steward->crawlers;
    const char *text = json_string_value(json_object_get(request, "ip"));
    struct addr addr;
    if (crawlers == NULL) {
        answer_error(client, "no site has bots");
        return;
    }
    if (text == NULL || !addr_parse(span_text(text), &addr)) {
        answer_error(client, "not an address");
        return;
    }
    struct visitor visitor = bots_visitor(&crawlers->memory, &addr, now_s(crawlers));
    struct json j = answer_begin(client, true);
    json_uint(&j, "score", visitor.score);
    json_uint(&j, "since", visitor.since_s);
    for (unsigned i = 0; i < VISITOR_EVENTS; i++)
        if (events[i] != NULL)
            json_uint(&j, events[i], visitor.counts[i]);
    json_bool(&j, "trapped", visitor.counts[VISITOR_TRAPPED] > 0);
    write_routes(&j, crawlers);
    answer_end(client, &j);
}
