/* Fetches as operations: see asker.h. */
#include "gateway/upstream/asker.h"

#include <stdlib.h>

#include "conf/schema.h"
#include "gateway/base/text.h"

struct question {
    struct op op; /* first */
    struct asker *asker;
    struct question *next;
    struct fetch fetch;
};

struct asker {
    struct worker *worker;
    const struct remote *remote;
    struct upstream_local local;
    struct question *free;
    unsigned open;
    const char *why;
};

/* ---- one server ---- */

enum err remote_open(struct remote *remote, const struct remote_conf *conf, struct arena *arena,
                     struct complaint *complaint)
{
    bool socket = span_equal(conf->url.scheme, SPAN("unix"));
    struct server_item item = { .url = conf->url, .weight = 1 };
    struct upstream_conf made = { .servers = { &item, 1 },
                                  .hash = SPAN("client.ip"),
                                  .keepalive = conf->keepalive,
                                  .retries = 1,
                                  .passive = { .mode = 1 },
                                  .tls = { .ca = conf->ca, .verify = true } };
    struct text base = text_growing(arena, conf->url.host.len + 32);
    bool brackets = span_index(conf->url.host, ':') >= 0;

    if (!socket)
        item.url.path = SPAN("");
    made.timeout.connect.ms = (int64_t)conf->connect_ms;
    made.timeout.response.ms = made.timeout.idle.ms = (int64_t)conf->total_ms;
    made.timeout.total.ms = (int64_t)conf->total_ms;
    made.timeout.kept.ms = made.timeout.tunnel.ms = 60 * 1000;
    TRY(upstream_open(&remote->upstream, &made, arena, complaint));
    text_add(&base, socket ? SPAN("http") : conf->url.scheme);
    text_lit(&base, "://");
    text_add(&base, brackets ? SPAN("[") : SPAN(""));
    text_add(&base, socket ? SPAN("localhost") : conf->url.host);
    text_add(&base, brackets ? SPAN("]") : SPAN(""));
    if (!socket) {
        text_char(&base, ':');
        text_uint(&base, conf->url.port);
    }
    remote->base = text_span(&base);
    remote->policy = (struct fetch_policy){ .body_bytes = conf->body_bytes,
                                            .connect_ms = conf->connect_ms,
                                            .total_ms = conf->total_ms };
    return base.overflow ? ERR_MEMORY : OK;
}

/* ---- questions ---- */

static void release(struct op *op)
{
    struct question *question = (struct question *)(void *)op;

    fetch_close(&question->fetch);
    question->next = question->asker->free;
    question->asker->free = question;
    question->asker->open--;
}

static bool copy_field(struct fields *to, struct arena *arena, const struct field *from)
{
    struct span name = arena_copy(arena, from->name), value = arena_copy(arena, from->value);

    return name.p != NULL && value.p != NULL && fields_add(to, arena, name, value) == OK;
}

static const struct fetch_answer *copy_answer(const struct fetch *f, struct arena *arena)
{
    struct fetch_answer *answer = arena_new(arena, struct fetch_answer);

    if (answer == NULL || fields_init(&answer->fields, arena, 16) != OK)
        return NULL;
    answer->status = f->status;
    for (unsigned i = 0; i < f->fields->count; i++)
        if (!f->fields->items[i].dropped &&
            !copy_field(&answer->fields, arena, &f->fields->items[i]))
            return NULL;
    answer->body = arena_copy(arena, f->body);
    return answer->body.p != NULL ? answer : NULL;
}

static void on_done(struct fetch *f)
{
    struct question *question = CONTAINER(f, struct question, fetch);
    struct asker *asker = question->asker;
    struct arena *arena = op_arena(&question->op);
    const struct fetch_answer *answer = NULL;
    enum err err = f->err;

    if (err != OK)
        asker->why = f->why;
    else if (arena == NULL || (answer = copy_answer(f, arena)) == NULL)
        err = ERR_MEMORY;
    op_finish(&question->op, asker->worker, err, answer);
}

static struct question *take(struct asker *asker)
{
    struct question *question = asker->free;

    if (asker->open == ASKER_QUESTIONS_MAX)
        return NULL;
    if (question != NULL) {
        asker->free = question->next;
    } else {
        question = calloc(1, sizeof *question);
        if (question == NULL)
            return NULL;
        question->asker = asker;
    }
    asker->open++;
    return question;
}

struct op *asker_ask(struct asker *asker, const struct fetch_policy *policy,
                     const struct fetch_ask *ask)
{
    struct question *question = take(asker);

    if (question == NULL)
        return NULL;
    op_init(&question->op);
    question->op.release = release;
    question->op.abandon = release;
    question->fetch.done = on_done;
    question->fetch.via = policy == NULL ? &asker->local : NULL;
    fetch_start(&question->fetch, asker->worker,
                policy != NULL ? policy : &asker->remote->policy, ask);
    return &question->op;
}

const char *asker_why(const struct asker *asker)
{
    return asker->why != NULL ? asker->why : "";
}

/* ---- beginning and end ---- */

struct asker *asker_new(struct worker *worker, const struct remote *remote)
{
    struct asker *asker = calloc(1, sizeof *asker);

    if (asker == NULL)
        return NULL;
    asker->worker = worker;
    asker->remote = remote;
    if (remote == NULL)
        return asker;
    if (upstream_attach(&asker->local, worker, &remote->upstream) == OK)
        return asker;
    free(asker);
    return NULL;
}

/* Nobody asks any more: what is left are idle connections and free questions. */
void asker_free(struct asker *asker)
{
    if (asker == NULL)
        return;
    if (asker->remote != NULL)
        upstream_detach(&asker->local);
    while (asker->free != NULL) {
        struct question *question = asker->free;
        asker->free = question->next;
        free(question);
    }
    free(asker);
}
