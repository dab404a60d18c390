/*
 * modsec-driver RULES...: libmodsecurity 3 as a driver of tests/conformance/run, and as what
 * tests/conformance/compare compares with. It gets the messages that the gateway read, and the
 * bodies as they came.
 */
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/conformance/driver.h"

static const char base_rules[] = "SecRuleEngine DetectionOnly\n"
                                 "SecRequestBodyAccess On\n"
                                 "SecResponseBodyAccess On\n"
                                 "SecResponseBodyMimeType text/plain text/html text/xml "
                                 "application/json\n"
                                 "SecRequestBodyLimit 13107200\n"
                                 "SecRequestBodyNoFilesLimit 13107200\n"
                                 "SecRequestBodyJsonDepthLimit 512\n"
                                 "SecAuditEngine Off\n"
                                 "SecRule REQUEST_HEADERS:Content-Type "
                                 "\"^(?:application(?:/soap\\+|/)|text/)xml\" "
                                 "\"id:200000,phase:1,t:none,t:lowercase,pass,nolog,"
                                 "ctl:requestBodyProcessor=XML\"\n"
                                 "SecRule REQUEST_HEADERS:Content-Type \"^application/json\" "
                                 "\"id:200001,phase:1,t:none,t:lowercase,pass,nolog,"
                                 "ctl:requestBodyProcessor=JSON\"\n";

struct engine {
    ModSecurity *modsec;
    RulesSet *rules;
};

/* What is in `[name "..."]` of a line of its log. */
static struct span bracket(struct span line, const char *name)
{
    char start[32];
    int len = snprintf(start, sizeof start, "[%s \"", name);
    ssize_t at = span_find(line, span_of(start, (size_t)len));
    if (at < 0)
        return SPAN("");
    struct span rest = span_sub(line, (size_t)at + (size_t)len, line.len);
    ssize_t end = span_find(rest, SPAN("\"]"));
    return end < 0 ? SPAN("") : span_sub(rest, 0, (size_t)end);
}

static void take_line(void *ctx, const void *data)
{
    struct json *matches = ctx;
    struct span line = span_text(data);
    uint64_t id;
    if (!span_uint(bracket(line, "id"), &id))
        return;
    json_begin_object(matches, NULL);
    json_uint(matches, "rule", id);
    json_text(matches, "msg", bracket(line, "msg"));
    json_text(matches, "logdata", bracket(line, "data"));
    json_end_object(matches);
}

static const char *text_of(struct arena *arena, struct span span)
{
    return must(arena_cstring(arena, span));
}

static void pass_request(Transaction *txn, const struct wire *wire, struct arena *arena)
{
    const struct request *req = &wire->req;
    msc_process_connection(txn, "127.0.0.1", 40000, "127.0.0.1", 80);
    msc_process_uri(txn, text_of(arena, req->target), text_of(arena, req->method),
                    text_of(arena, span_sub(req->protocol, 5, req->protocol.len)));
    for (unsigned i = 0; i < req->fields.count; i++) {
        const struct field *field = &req->fields.items[i];
        msc_add_n_request_header(txn, (const unsigned char *)field->name.p, field->name.len,
                                 (const unsigned char *)text_of(arena, field->value),
                                 field->value.len);
    }
    msc_process_request_headers(txn);
    msc_append_request_body(txn, (const unsigned char *)wire->body.p, wire->body.len);
    msc_process_request_body(txn);
}

static void pass_answer(Transaction *txn, const struct wire *wire, struct arena *arena)
{
    for (unsigned i = 0; i < wire->rsp.fields.count; i++) {
        const struct field *field = &wire->rsp.fields.items[i];
        msc_add_n_response_header(txn, (const unsigned char *)field->name.p, field->name.len,
                                  (const unsigned char *)text_of(arena, field->value),
                                  field->value.len);
    }
    msc_process_response_headers(txn, wire->rsp.status, "HTTP 1.1");
    msc_append_response_body(txn, (const unsigned char *)wire->answer.p, wire->answer.len);
    msc_process_response_body(txn);
}

static void run(void *ctx, const struct wire *wire, struct json *matches, struct arena *arena)
{
    struct engine *engine = ctx;
    Transaction *txn = msc_new_transaction(engine->modsec, engine->rules, matches);
    INVARIANT(txn != NULL);
    pass_request(txn, wire, arena);
    if (wire->answered)
        pass_answer(txn, wire, arena);
    msc_process_logging(txn);
    msc_transaction_cleanup(txn);
}

static void check(int result, const char *error, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "modsec-driver: %s: %s\n", what, error);
    exit(2);
}

int main(int argc, char **argv)
{
    struct engine engine = { msc_init(), msc_create_rules_set() };
    const char *error = NULL;
    msc_set_log_cb(engine.modsec, take_line);
    check(msc_rules_add(engine.rules, base_rules, &error), error, "base rules");
    for (int i = 1; i < argc; i++)
        check(msc_rules_add_file(engine.rules, argv[i], &error), error, argv[i]);
    driver_loop(run, &engine);
    msc_rules_cleanup(engine.rules);
    msc_cleanup(engine.modsec);
    return 0;
}
