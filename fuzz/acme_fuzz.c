/*
 * A certificate authority that says whatever it likes. An order comes to an end; nobody but the
 * directory's own server is asked; what is published is a well-formed block for the names that
 * were asked for; a certificate that is taken is one for them and for our key; what is said of
 * a failure is visible ASCII.
 *
 * The first byte chooses the job; 8 in it: what follows is a chain of certificates, or what was
 * kept as one. Otherwise answers, with a NUL behind each: a line with status,
 * nonce, Location and Retry-After, spaces between them, and the body.
 */
#include "auth/strictjson.h"
#include "gateway/acme/order.h"
#include "gateway/net/certs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIRECTORY "https://ca.test/dir"
static const struct span hosts[] = { SPAN_INIT("a.test"), SPAN_INIT("b.test") };

static void answer(struct acme_run *run, struct span chunk)
{
    struct span line, fields[4] = { { NULL, 0 } };
    uint64_t status = 0;

    (void)span_cut(&chunk, '\n', &line);
    for (size_t i = 0; i < ARRAY_LEN(fields) && line.p != NULL; i++)
        (void)span_cut(&line, ' ', &fields[i]);
    if (!span_uint(fields[0], &status) || status < 100 || status > 599) {
        acme_broken(run, "no answer");
        return;
    }
    struct acme_answer said = { .status = (int)status,
                                .body = chunk,
                                .nonce = fields[1],
                                .location = fields[2],
                                .retry_after = fields[3] };
    acme_answered(run, &said);
}

static void check_question(const struct acme_run *run)
{
    INVARIANT(span_equal(run->url, SPAN(DIRECTORY)) ||
              acme_url_allowed(SPAN(DIRECTORY), span_sub(run->url, 0, ACME_URL_MAX)));
    if (run->post.len == 0)
        return;
    json_t *post = strict_json_object(run->post, 256 * 1024);
    INVARIANT(post != NULL && json_object_size(post) == 3);
    json_decref(post);
}

static void check_block(const struct acme_run *run)
{
    const struct challenges *block = &run->block;

    INVARIANT(challenges_valid(span_of((const char *)block, challenges_size(block->count))));
    for (uint32_t i = 0; i < block->count; i++)
        INVARIANT(span_equal(span_text(block->items[i].name), hosts[0]) ||
                  span_equal(span_text(block->items[i].name), hosts[1]));
}

static void check_end(const struct acme_run *run, enum acme_need need)
{
    struct acme_dates dates;

    if (need == ACME_FAILED) {
        INVARIANT(run->why[0] != '\0' && run->retry_after_s >= 0);
        for (const char *p = run->why; *p != '\0'; p++)
            INVARIANT(*p >= ' ' && *p < 0x7f);
    } else if (run->job.info_only) {
        INVARIANT(!run->window_known || run->window.from_s < run->window.until_s);
    } else {
        struct span bundle = text_span(&run->bundle);
        INVARIANT(tls_bundle_valid(bundle));
        INVARIANT(acme_bundle_read(bundle, run->job.hosts, &dates) == NULL);
    }
}

static void drive(struct acme_run *run, struct span rest)
{
    for (;;) {
        struct span chunk = { NULL, 0 };
        enum acme_need need = acme_next(run);
        switch (need) {
        case ACME_ASK:
            check_question(run);
            if (span_cut(&rest, '\0', &chunk))
                answer(run, chunk);
            else
                acme_broken(run, "no answer");
            break;
        case ACME_PUBLISH:
            check_block(run);
            acme_published(run);
            break;
        case ACME_WAIT:
            INVARIANT(run->wait_ms <= ACME_POLL_MOST_MS);
            INVARIANT(run->waited_ms <= ACME_WAIT_MOST_MS);
            break;
        case ACME_DONE:
        case ACME_FAILED:
            check_end(run, need);
            return;
        }
    }
}

/* What is taken of a chain is good for TLS, for all the names and now. */
static void try_chain(struct span text, const EVP_PKEY *key)
{
    static const struct acme_hosts both = { hosts, ARRAY_LEN(hosts) };
    enum { NOW = 1800000000, MEMORY = 1024 * 1024 };
    struct acme_dates dates;
    struct arena arena;

    arena_init(&arena, NULL, 0, NULL, MEMORY);
    struct text bundle = text_growing(&arena, 4096);
    /* Nobody but us has the key: a chain for it cannot come by chance. */
    INVARIANT(acme_bundle(&bundle, text, key, both, NOW) != NULL);
    if (acme_bundle_read(text, both, &dates) == NULL) {
        INVARIANT(tls_bundle_valid(text));
        INVARIANT(dates.until_s - dates.from_s >= ACME_LIFE_LEAST_S);
        INVARIANT(dates.serial_len <= sizeof(dates.serial));
        bool now = dates.from_s <= NOW && NOW < dates.until_s;
        INVARIANT(acme_bundle_covers(text, both, NOW) == (now ? ARRAY_LEN(hosts) : 0));
    }
    INVARIANT(acme_bundle_covers(text, both, NOW) <= ARRAY_LEN(hosts));
    arena_reset(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct acme_run run;
    static struct acme_account account;
    static const struct acme_dates held = {
        .serial = { 1 }, .serial_len = 1, .key_id = { 2 }, .key_id_len = 1
    };

    if (size < 1 || size > 256 * 1024)
        return 0;
    strict_json_init();
    if (account.key == NULL)
        account.key = acme_key_new();
    INVARIANT(account.key != NULL);
    if ((data[0] & 8) != 0) {
        try_chain(span_of((const char *)data + 1, size - 1), account.key);
        return 0;
    }
    account.url.text[0] = '\0';
    struct acme_job job = { .directory = SPAN(DIRECTORY),
                            .challenge = (data[0] & 1) != 0 ? "tls-alpn-01" : "http-01",
                            .hosts = { hosts, ARRAY_LEN(hosts) },
                            .account = &account,
                            .held = (data[0] & 2) != 0 ? &held : NULL,
                            .info_only = (data[0] & 4) != 0 };
    acme_begin(&run, &job);
    run.now_s = 1800000000;
    drive(&run, span_of((const char *)data + 1, size - 1));
    acme_end(&run);
    return 0;
}
