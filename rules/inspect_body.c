/* The values of a request's body: read in slices, then shown under the rules' variables. */
#include "rules/inspect.h"

#include "gateway/chain/txn.h"
#include "gateway/net/worker.h"
#include "rules/bodies.h"
#include "rules/own/values.h"

/* Counted work that takes about as long as to show rules one value, measured. */
enum { SHOWN_WORK = 128 };

static const struct {
    struct span name;
    enum body_processor processor;
    enum content_kind kind;
} processors[] = {
    { SPAN_INIT("URLENCODED"), PROCESSOR_URLENCODED, CONTENT_FORM },
    { SPAN_INIT("MULTIPART"), PROCESSOR_MULTIPART, CONTENT_MULTIPART },
    { SPAN_INIT("JSON"), PROCESSOR_JSON, CONTENT_JSON },
    { SPAN_INIT("XML"), PROCESSOR_XML, CONTENT_XML },
};

/* ---- which processor ------------------------------------------------------------------------
 */

/* As the reference engine's recommended configuration assigns them. */
struct span inspect_processor(const struct request *req)
{
    struct span type = fields_value(&req->fields, FIELD_CONTENT_TYPE);
    struct span none = { 0 };
    if (type.p == NULL || req->body == BODY_NONE)
        return none;
    enum content_kind kind = content_declared(type);
    for (size_t i = 0; i < ARRAY_LEN(processors); i++) {
        if (processors[i].kind == kind)
            return processors[i].name;
    }
    return none;
}

static enum body_processor processor_named(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(processors); i++) {
        if (span_equal_nocase(processors[i].name, name))
            return processors[i].processor;
    }
    return PROCESSOR_NONE;
}

/* Where no media type says what it is, mod_security2 reads nothing, and frameworks do. */
static enum body_processor processor_for(const struct call *c, struct span name)
{
    enum body_processor processor = processor_named(name);
    struct span type = fields_value(&c->req->fields, FIELD_CONTENT_TYPE);
    if (processor != PROCESSOR_NONE || content_declared(type) != CONTENT_EMPTY)
        return processor;
    return c->req->method_id == METHOD_POST ? PROCESSOR_UNTYPED : PROCESSOR_AUTO;
}

static struct body_limits limits_of(const struct call *c, const struct inspect_conf *conf)
{
    struct body_limits limits;
    bodies_limits(&limits, conf->values, &c->txn->worker->held_key);
    limits.json.names = JSONSCAN_NAMES_V2;
    return limits;
}

static enum err open_second(struct call *c, struct inspect_state *state)
{
    state->second =
        body_open(&c->req->fields, c->body, PROCESSOR_AUTO, &state->limits, state->run.arena);
    return state->second != NULL ? OK : ERR_MEMORY;
}

enum err inspect_begin_body(struct call *c, const struct inspect_conf *conf,
                            struct inspect_state *state)
{
    struct sec_run *run = &state->run;
    struct body_limits limits = limits_of(c, conf);
    struct span processor =
        run->body_processor.p != NULL ? run->body_processor : run->values.body.processor;
    state->first = state->last = SEC_REQUEST_BODY;
    run->values.body.length = c->body.len;
    state->wants_second =
        state->seclang && run->own.ask != NULL && run->plan->program->own->wants_body;
    state->limits = limits;
    state->body_begun = true;
    if (run->body_access_off)
        return state->wants_second ? open_second(c, state) : OK;
    state->body = body_open(&c->req->fields, c->body,
                            state->seclang ? processor_for(c, processor) : PROCESSOR_AUTO,
                            &limits, run->arena);
    return state->body != NULL ? OK : ERR_MEMORY;
}

/* ---- its values -----------------------------------------------------------------------------
 */

static enum err add_file(struct sec_values *values, const struct body_value *value)
{
    struct text size = text_growing(values->arena, 24);
    text_uint(&size, value->value.len);
    if (size.overflow)
        return ERR_MEMORY;
    values->body.files_size += value->value.len;
    TRY(sec_values_add(values, VAR_FILES_SIZES, value->name, text_span(&size)));
    return sec_values_add(values, VAR_FILES_TMP_CONTENT, value->name, value->value);
}

static enum err add_file_name(struct sec_values *values, const struct body_value *value)
{
    TRY(sec_values_add(values, VAR_FILES, value->name, value->value));
    return sec_values_add(values, VAR_FILES_NAMES, value->name, value->name);
}

static enum err add_value(struct sec_values *values, const struct body_value *value)
{
    switch (value->where) {
    case WHERE_ARGUMENT:
        return sec_values_add(values, VAR_ARGS_POST, value->name, value->value);
    case WHERE_NAME:
        return sec_values_add_name(values, value->name);
    case WHERE_FILE_NAME:
        return add_file_name(values, value);
    case WHERE_FILE:
        return add_file(values, value);
    case WHERE_PART_HEADER:
        return sec_values_add(values, VAR_MULTIPART_PART_HEADERS, value->name, value->value);
    case WHERE_XML_TEXT:
        return sec_values_add(values, VAR_XML, SPAN("/*"), value->value);
    case WHERE_XML_ATTRIBUTE:
        return sec_values_add(values, VAR_XML, SPAN("//@*"), value->value);
    case WHERE_XML_NAMESPACE:
    case WHERE_RAW:
        return OK;
    }
    return OK;
}

static uint32_t multipart_flags(const struct multipart *m)
{
    uint32_t flags = multipart_strict_error(m);
    for (unsigned i = 0; i < MULTIPART_FINDINGS; i++) {
        if (multipart_rows[i].variable == NULL || (m->findings & 1U << i) == 0)
            continue;
        enum variable var = variable_find(span_text(multipart_rows[i].variable));
        if (var >= VAR_MULTIPART_STRICT_ERROR && var <= VAR_MULTIPART_FILE_LIMIT_EXCEEDED)
            flags |= 1U << (var - VAR_MULTIPART_STRICT_ERROR);
    }
    /* One finding under its two names. */
    uint32_t missing = 1U << (VAR_MULTIPART_MISSING_SEMICOLON - VAR_MULTIPART_STRICT_ERROR);
    if ((flags & missing) != 0)
        flags |= 1U << (VAR_MULTIPART_SEMICOLON_MISSING - VAR_MULTIPART_STRICT_ERROR);
    return flags;
}

static struct span error_of(struct arena *arena, const struct body *body)
{
    struct text text = text_growing(arena, 128);
    if (body->error == NULL)
        return (struct span){ 0 };
    text_add(&text, span_text(body->error_prefix));
    text_add(&text, span_text(body->error));
    return text.overflow ? SPAN("error") : text_span(&text);
}

/* Shown as a whole where nothing else shows it. */
static bool is_whole(const struct sec_run *run, const struct body *body)
{
    bool unread = body->processor == PROCESSOR_NONE || body->guess;
    return body->processor == PROCESSOR_URLENCODED || (run->force_body_variable && unread);
}

/* Rules let its media type through, and no processor reads that: they were shown none of it.
 * Those of the configuration see it as text, where one of them looks at that. */
static bool is_unread(const struct call *c, const struct inspect_state *state)
{
    const struct body *body = state->body;
    const struct body *own = state->second != NULL ? state->second : body;
    size_t len = body != NULL ? body->text.len : c->body.len;
    bool shown =
        body != NULL && (body->processor != PROCESSOR_NONE || is_whole(&state->run, body));
    bool shown_own =
        state->wants_second && own != NULL &&
        (own->processor != PROCESSOR_NONE || state->run.plan->program->own->wants_text);
    return state->seclang && len > 0 && !shown && !shown_own;
}

/* As many more as a slice has time for. */
static enum err add_values(struct inspect_state *state, uint64_t slice)
{
    const struct body *body = state->body;
    uint64_t most = slice / SHOWN_WORK + 1;
    if (body->err != OK)
        return body->err;
    for (; state->added < body->count && most > 0; most--)
        TRY(add_value(&state->run.values, &body->values[state->added++]));
    return OK;
}

static enum err add_rest(struct sec_run *run, const struct body *body)
{
    struct sec_values *values = &run->values;
    struct span none = { 0 };
    bool form = body->processor == PROCESSOR_URLENCODED;
    values->body.error = error_of(run->arena, body);
    values->body.urlencoded_error = form && (body->findings & BODY_FOUND_ESCAPES) != 0;
    if (body->processor == PROCESSOR_MULTIPART)
        values->body.multipart = multipart_flags(&body->multipart);
    if (is_whole(run, body) && body->text.len > 0)
        TRY(sec_values_add(values, VAR_REQUEST_BODY, none, body->text));
    return OK;
}

/* What own rules look at besides, and whether it has to be read once more for them. */
static enum err show_own(struct call *c, struct inspect_state *state)
{
    const struct body *body = state->body;
    struct sec_values *values = &state->run.values;
    const struct own_rules *own = state->run.plan->program->own;
    TRY(own_values_trailers(values, c->req));
    if (own == NULL || !own->wants_body || state->run.own.ask == NULL)
        return OK;
    state->over_limit = !state->seclang && (body->findings & BODY_FOUND_VALUES) != 0;
    if (state->over_limit)
        return ERR_LIMIT;
    if (state->wants_second && !body->automatic && body->seen != body->declared)
        return open_second(c, state);
    return own_values_body(values, c->req, body, false);
}

static enum err show_second(struct call *c, struct inspect_state *state)
{
    const struct body *body = state->second;
    if (body->err != OK)
        return body->err;
    state->over_limit = (body->findings & BODY_FOUND_VALUES) != 0;
    return state->over_limit ? ERR_LIMIT
                             : own_values_body(&state->run.values, c->req, body, true);
}

static enum sec_end end_of(enum err err)
{
    if (err == ERR_LIMIT)
        return SEC_SPENT;
    return err == OK ? SEC_DONE : SEC_MEMORY;
}

enum sec_end inspect_read_body(struct call *c, struct inspect_state *state, uint64_t slice)
{
    size_t bytes = slice < SIZE_MAX ? (size_t)slice : SIZE_MAX;
    if (state->body != NULL && !state->body_read) {
        if (!body_run(state->body, bytes))
            return SEC_PAUSE;
        enum err err = add_values(state, slice);
        if (err == OK && state->added < state->body->count)
            return SEC_PAUSE;
        state->body_read = true;
        if (err == OK)
            err = add_rest(&state->run, state->body);
        state->over_limit = state->seclang && state->body->guess_cut;
        if (err == OK)
            err = state->over_limit ? ERR_LIMIT : show_own(c, state);
        if (err != OK)
            return end_of(err);
    }
    if (state->second != NULL && !state->second_read) {
        if (!body_run(state->second, bytes))
            return SEC_PAUSE;
        state->second_read = true;
        enum err err = show_second(c, state);
        if (err != OK)
            return end_of(err);
    }
    c->txn->body_unread |= state->body_begun && is_unread(c, state);
    return SEC_DONE;
}

bool inspect_body_refused(const struct call *c, const struct inspect_state *state)
{
    return bodies_refused(c->txn, state->body) ||
           (state->second_read && bodies_refused(c->txn, state->second));
}
