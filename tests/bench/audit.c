/*
 * What an audit record costs, and a log of many records to search in.
 *
 *     audit-bench cost            CPU of one record in the worker and in the recorder
 *     audit-bench log PATH N      N mixed records of many clients, as a recorder leaves them
 *
 * Records are those of usual traffic with a tenth of blocked requests; every one is different.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "gateway/audit/archive.h"
#include "gateway/audit/journal.h"
#include "gateway/base/uuid.h"

enum {
    BATCH = 256,
    ROUND_RECORDS = 200 * BATCH,
    BENCH_RECORDS = 10 * ROUND_RECORDS,
    CLIENTS = 5000,
    TARGET_EVERY = 4999
};

static const uint64_t first_us = 1700000000000000u; /* past: later than its file none is */
static struct journal journal;
static struct archive archive;
static struct uuid_source uuids;

static uint64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what, enum err err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err_text(err));
    exit(1);
}

/* ---- records ---- */

struct made {
    struct record record;
    char id[UUID_TEXT_BYTES], path[64], query[64];
};

static const struct trail_entry trail[] = {
    { .stage = "allow", .phase = "request_head", .action = "pass", .enforced = true },
    { .stage = "deny", .phase = "request_head", .action = "pass", .enforced = true },
    { .stage = "limits", .phase = "request_head", .action = "pass", .enforced = true, .us = 1 },
    { .stage = "waf", .phase = "request_head", .action = "pass", .enforced = true, .us = 31 },
    { .stage = "headers", .phase = "response_head", .action = "pass", .enforced = true },
};
static const struct finding finding = {
    .rule = SPAN_INIT("942100"),
    .field = SPAN_INIT("args:q"),
    .message = SPAN_INIT("SQL injection attack detected"),
    .sample = SPAN_INIT("1 union select password from users"),
    .offset = 0,
    .score = 5,
};

static void client_of(uint64_t n, struct addr *addr)
{
    /* One address stands out by nothing but that it is asked for. */
    uint64_t client = n % TARGET_EVERY == 7 ? 0 : 1 + (n * 2654435761u) % CLIENTS;
    *addr = (struct addr){ .family = ADDR_V4,
                           .bytes = { 198, 18, (uint8_t)(client >> 8), (uint8_t)client } };
}

static void make(struct made *made, uint64_t n, uint64_t wall_us)
{
    struct record *record = &made->record;
    bool blocked = n % 10 == 3;
    struct text path = text_fixed(made->path, sizeof(made->path));
    struct text query = text_fixed(made->query, sizeof(made->query));
    memset(record, 0, sizeof(*record));
    uuid_write(&uuids, wall_us, made->id);
    text_format(&path, "/catalogue/%llu/item", (unsigned long long)(n % 977));
    text_format(&query, "q=%llu&page=%llu", (unsigned long long)n,
                (unsigned long long)(n % 20));
    record->wall_us = wall_us;
    record->duration_us = 400 + n % 1000;
    record->id = span_of(made->id, sizeof(made->id));
    client_of(n, &record->client);
    record->peer = record->client;
    record->method = SPAN("GET");
    record->scheme = SPAN("https");
    record->host = SPAN("shop.example.com");
    record->path = text_span(&path);
    record->query = text_span(&query);
    record->version = SPAN("1.1");
    record->user_agent = SPAN("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101");
    record->referrer = SPAN("https://shop.example.com/catalogue");
    record->site = "shop.example.com";
    record->route = "default";
    record->action = blocked ? "block" : "pass";
    record->reason = blocked ? "rule" : NULL;
    record->status = blocked ? 403 : 200;
    record->response_bytes = 8123;
    record->trail = trail;
    record->trail_count = ARRAY_LEN(trail);
    record->findings = &finding;
    record->finding_count = blocked;
    record->config_hash =
        SPAN("9f1c8a5b2d3e4f60718293a4b5c6d7e8f9010203a4b5c6d7e8f901020304aabb");
    if (!blocked) {
        record->upstream = SPAN("10.0.0.7:8080");
        record->upstream_status = 200;
        record->upstream_us = 300;
        record->upstream_tries = 1;
    }
}

static const struct span secret_names[] = {
    SPAN_INIT("password"), SPAN_INIT("passwd"),  SPAN_INIT("pwd"),    SPAN_INIT("*secret*"),
    SPAN_INIT("*token*"),  SPAN_INIT("api_key"), SPAN_INIT("apikey"), SPAN_INIT("access_key"),
};
static const struct redaction redaction = { .params = secret_names,
                                            .param_count = ARRAY_LEN(secret_names) };

/* ---- cost ---- */

struct sums {
    uint64_t worker_ns, recorder_ns, bytes;
};

static void worker_half(struct ring_writer *writer, uint64_t from, struct sums *sums)
{
    static char line_bytes[RECORD_BYTES_MAX];
    static struct made made[BATCH];
    for (unsigned i = 0; i < BATCH; i++)
        make(&made[i], from + i, first_us + (from + i) * 50);
    uint64_t began = cpu_ns();
    for (unsigned i = 0; i < BATCH; i++) {
        struct text line = text_fixed(line_bytes, sizeof(line_bytes));
        record_write(&line, &made[i].record, &redaction);
        if (!ring_commit(writer, RECORD_DECIDED, text_span(&line)))
            die("ring", ERR_LIMIT);
        sums->bytes += line.len;
    }
    sums->worker_ns += cpu_ns() - began;
}

static void recorder_half(struct ring *ring, uint64_t *cursor, struct sums *sums)
{
    static char scratch[RECORD_BYTES_MAX];
    struct ring_record record;
    uint64_t began = cpu_ns();
    while (ring_peek(ring, cursor, &record, scratch)) {
        enum err err = journal_line(&journal, record.line);
        if (err != OK)
            die("line", err);
    }
    enum err err = journal_flush(&journal);
    if (err != OK)
        die("flush", err);
    ring_release(ring, *cursor);
    journal_tick(&journal, first_us);
    sums->recorder_ns += cpu_ns() - began;
}

static int cost(void)
{
    char folder[] = "/tmp/audit-bench-XXXXXX", path[64];
    struct sums sums = { 0 };
    struct rings *rings =
        mmap(NULL, sizeof(*rings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned slot;
    if (rings == MAP_FAILED || mkdtemp(folder) == NULL || ring_claim(rings, 1, &slot) != OK)
        die("set-up", ERR_SYSTEM);
    (void)snprintf(path, sizeof(path), "%s/audit.jsonl", folder);
    const struct journal_conf conf = { .path = path };
    enum err err = journal_open(&journal, &conf, NULL, first_us);
    if (err != OK)
        die("journal", err);
    struct ring_writer writer = { .rings = rings, .ring = &rings->ring[slot], .wake_fd = -1 };
    uint64_t cursor = 0;
    /* The least of several rounds: other processes can only add. */
    double worker = 1e9, recorder = 1e9;
    for (uint64_t n = 0; n < BENCH_RECORDS;) {
        struct sums round = { 0 };
        for (uint64_t end = n + ROUND_RECORDS; n < end; n += BATCH) {
            worker_half(&writer, n, &round);
            recorder_half(&rings->ring[slot], &cursor, &round);
        }
        double worker_us = (double)round.worker_ns / ROUND_RECORDS / 1000;
        double recorder_us = (double)round.recorder_ns / ROUND_RECORDS / 1000;
        worker = worker_us < worker ? worker_us : worker;
        recorder = recorder_us < recorder ? recorder_us : recorder;
        sums.bytes += round.bytes;
    }
    journal_close(&journal, first_us);
    static const char *const suffixes[] = { "", ".seal", ".state", ".spill" };
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char name[80];
        (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
    (void)rmdir(folder);
    (void)printf(
        "a record of %llu bytes: worker %.2f us (bar 3), recorder with chain and write "
        "%.2f us (bar 6)\n",
        (unsigned long long)(sums.bytes / BENCH_RECORDS), worker, recorder);
    return worker <= 3 && recorder <= 6 ? 0 : 1;
}

/* ---- a log ---- */

static int make_log(const char *path, uint64_t count)
{
    static char line_bytes[RECORD_BYTES_MAX];
    const struct journal_conf conf = { .path = path, .rotate_bytes = 64 * 1024 * 1024 };
    const struct archive_conf old = { .path = path, .compress = true };
    struct made made;
    enum err err = journal_open(&journal, &conf, NULL, first_us);
    if (err == OK)
        err = archive_open(&archive, &old);
    if (err != OK)
        die(path, err);
    for (uint64_t n = 0; n < count; n++) {
        struct text line = text_fixed(line_bytes, sizeof(line_bytes));
        make(&made, n, first_us + n * 1000);
        record_write(&line, &made.record, &redaction);
        err = journal_line(&journal, text_span(&line));
        if (err == OK && n % BATCH == BATCH - 1) {
            err = journal_flush(&journal);
            journal_tick(&journal, made.record.wall_us);
        }
        if (err != OK)
            die("line", err);
        if (journal.rotated)
            archive_look(&archive);
        journal.rotated = false;
        (void)archive_turn(&archive, &journal.seal, made.record.wall_us);
    }
    while (archive_turn(&archive, &journal.seal, first_us + count * 1000))
        continue;
    archive_close(&archive);
    journal_close(&journal, first_us + count * 1000);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t count = 0;
    uuid_source_init(&uuids);
    if (argc == 2 && strcmp(argv[1], "cost") == 0)
        return cost();
    if (argc == 4 && strcmp(argv[1], "log") == 0 && span_uint(span_text(argv[3]), &count))
        return make_log(argv[2], count);
    (void)fprintf(stderr, "audit-bench cost | audit-bench log PATH N\n");
    return 2;
}
