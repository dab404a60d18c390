/* The plan's side of an exchange. */
#include "tests/conformance/differ.h"

enum { ARGUMENTS_MAX = 10000, SLICE = 50000, SLICES_MAX = 100000 };

/* In slices, so that giving way and going on is part of what is compared. */
static bool run_phase(struct sec_run *run, enum sec_phase phase)
{
    for (unsigned i = 0; i < SLICES_MAX; i++) {
        enum sec_end end = sec_run_phase(run, phase, SLICE);
        if (end != SEC_PAUSE)
            return end == SEC_DONE;
    }
    return false;
}

/* Some arguments have nothing but a name. */
static bool copy_arguments(struct sec_run *run, const struct transaction *txn)
{
    const struct pairs *list = &txn->values[VAR_ARGS_POST];
    const struct pairs *names = &txn->values[VAR_ARGS_POST_NAMES];
    unsigned at = 0;
    for (unsigned i = 0; i < names->count; i++) {
        const struct pair *next = at < list->count ? &list->items[at] : NULL;
        bool whole = next != NULL && next->name.p == names->items[i].name.p;
        at += whole;
        if ((whole ? sec_values_add(&run->values, VAR_ARGS_POST, next->name, next->value)
                   : sec_values_add_name(&run->values, names->items[i].name)) != OK)
            return false;
    }
    return true;
}

/* What the reader of bodies makes; all else the plan makes of these itself. */
static bool copy_values(struct sec_run *run, const struct transaction *txn)
{
    static const enum variable copied[] = {
        VAR_FILES,
        VAR_FILES_NAMES,
        VAR_FILES_SIZES,
        VAR_FILES_TMP_CONTENT,
        VAR_MULTIPART_PART_HEADERS,
        VAR_REQUEST_BODY,
        VAR_MULTIPART_FILENAME,
        VAR_MULTIPART_NAME,
    };
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        const struct pairs *list = &txn->values[copied[i]];
        for (unsigned k = 0; k < list->count; k++) {
            if (sec_values_add(&run->values, copied[i], list->items[k].name,
                               list->items[k].value) != OK)
                return false;
        }
    }
    if (!copy_arguments(run, txn))
        return false;
    const struct pairs *xml = &txn->values[VAR_XML];
    for (unsigned k = 0; k < xml->count; k++) {
        struct span path = xml->items[k].name.len > 0 ? SPAN("//@*") : SPAN("/*");
        if (sec_values_add(&run->values, VAR_XML, path, xml->items[k].value) != OK)
            return false;
    }
    return true;
}

static bool is_set(const struct transaction *txn, enum variable var)
{
    return span_equal(transaction_scalar(txn, var), SPAN("1"));
}

static void copy_findings(struct sec_run *run, const struct transaction *txn,
                          const struct wire *wire)
{
    struct sec_body *body = &run->values.body;
    body->length = wire->body.len;
    body->urlencoded_error = is_set(txn, VAR_URLENCODED_ERROR);
    if (is_set(txn, VAR_REQBODY_ERROR))
        body->error = transaction_scalar(txn, VAR_REQBODY_ERROR_MSG);
    for (enum variable var = VAR_MULTIPART_STRICT_ERROR;
         var <= VAR_MULTIPART_FILE_LIMIT_EXCEEDED; var++) {
        if (is_set(txn, var))
            body->multipart |= UINT32_C(1) << (var - VAR_MULTIPART_STRICT_ERROR);
    }
    const struct pairs *files = &txn->values[VAR_FILES_TMP_CONTENT];
    for (unsigned i = 0; i < files->count; i++)
        body->files_size += files->items[i].value.len;
}

/* Reads the body as the plan's phase 1 left it to be read, with the transaction's reader. */
static bool read_body(struct sec_run *run, const struct wire *wire, struct arena *arena)
{
    struct transaction txn;
    struct span processor =
        run->body_processor.p != NULL ? run->body_processor : run->values.body.processor;
    transaction_init(&txn, arena, &(struct transaction_peer){ 0 });
    transaction_head(&txn, &wire->req);
    transaction_body(&txn, wire->body,
                     &(struct transaction_reading){
                         .processor = processor.p == NULL ? SPAN("") : processor,
                         .force_variable = run->force_body_variable,
                         .separator = run->plan->program->settings.argument_separator,
                     });
    copy_findings(run, &txn, wire);
    return copy_values(run, &txn);
}

static bool begin(struct sec_run *run, const struct wire *wire,
                  const struct transaction_peer *peer, struct arena *arena)
{
    struct addr *client = must(arena_new(arena, struct addr));
    struct addr *server = must(arena_new(arena, struct addr));
    struct transaction txn;
    if (!addr_parse(peer->client, client) || !addr_parse(peer->server, server))
        return false;
    client->port = (uint16_t)peer->client_port;
    server->port = (uint16_t)peer->server_port;
    run->values.peer = (struct sec_peer){ .client = client,
                                          .server = server,
                                          .server_name = peer->server_name,
                                          .unique_id = peer->unique_id };
    run->wall_s = (uint64_t)peer->now;
    transaction_init(&txn, arena, peer);
    transaction_head(&txn, &wire->req);
    run->values.body.processor = transaction_processor(&txn);
    return sec_values_head(&run->values, &wire->req, ARGUMENTS_MAX) == OK;
}

static bool run_answer(struct sec_run *run, const struct wire *wire)
{
    if (sec_values_answer(&run->values, &wire->rsp) != OK ||
        !run_phase(run, SEC_RESPONSE_HEADERS))
        return false;
    if (wire_inspects(&wire->rsp) &&
        sec_values_add(&run->values, VAR_RESPONSE_BODY, SPAN(""), wire->answer) != OK)
        return false;
    return run_phase(run, SEC_RESPONSE_BODY);
}

bool plan_run(struct sec_run *run, const struct sec_plan *plan, struct sec_local *local,
              const struct wire *wire, const struct transaction_peer *peer,
              enum engine_mode mode, struct arena *arena)
{
    if (sec_run_init(run, plan, local, arena) != OK || !begin(run, wire, peer, arena))
        return false;
    run->engine = run->ceiling = mode;
    if (!run_phase(run, SEC_REQUEST_HEADERS))
        return false;
    if (wire->req.body != BODY_NONE && !run->body_access_off && !read_body(run, wire, arena))
        return false;
    if (!run_phase(run, SEC_REQUEST_BODY))
        return false;
    if (wire->answered && !run_answer(run, wire))
        return false;
    return run_phase(run, SEC_LOGGING);
}
