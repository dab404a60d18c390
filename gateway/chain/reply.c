/*
 * Local answers. One page for people, one document for programs; nothing of what the client
 * sent stands in either. The style is a constant, allowed in the page by its hash, so the page
 * runs and loads nothing else.
 */
#include "gateway/chain/reply.h"

#include "gateway/base/json.h"
#include "gateway/chain/txn.h"
#include "gateway/http/chars.h"
#include "gateway/http/write.h"

enum { PAGE_BYTES = 3 * 1024, PROBLEM_BYTES = 512, FIELDS_OF_OURS = 8 };

/* reply_test.c computes this anew from the page. */
#define STYLE_HASH "+3tJ0nlKB/pN+lWpHllDMyxP9gkH8HuJj6NE1mMFGhA="

static const struct span page_style = SPAN_INIT(
    ":root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#1b1f27;--soft:#5c6572;"
    "--line:#dfe3e9;--mark:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--ground:#111418;--card:#1a1e25;--ink:#e8ebf0;"
    "--soft:#98a2b0;--line:#2c333d;--mark:#ff8a80}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;"
    "background:var(--ground);color:var(--ink);"
    "font:1rem/1.6 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}"
    "main{width:100%;max-width:34rem;padding:2.5rem;background:var(--card);"
    "border:1px solid var(--line);border-radius:.75rem}"
    ".status{margin:0;color:var(--mark);font-weight:600;letter-spacing:.04em}"
    "h1{margin:.25rem 0 .75rem;font-size:1.75rem;line-height:1.2}"
    "p{margin:0 0 1rem}"
    "dl{margin:2rem 0 0;padding-top:1.25rem;border-top:1px solid var(--line);"
    "font-size:.875rem;color:var(--soft)}"
    "dt{margin-top:.5rem}dd{margin:0;color:var(--ink)}"
    "code{font:.875rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;"
    "user-select:all;-webkit-user-select:all;overflow-wrap:anywhere}"
    "@media(max-width:30rem){main{padding:1.5rem}}");

struct reply *reply_new(struct txn *txn, int status)
{
    struct reply *reply = arena_new(txn->arena, struct reply);
    if (reply != NULL)
        reply->status = status;
    return reply;
}

bool reply_field(struct reply *reply, struct span name, struct span value)
{
    if (reply == NULL || reply->field_count == REPLY_FIELDS_MAX)
        return false;
    /* A line end here would be a response split (CWE-113). */
    if (value.len > 0 && (scan_value(value.p, span_end(value)) != span_end(value) ||
                          span_trim(value).len != value.len))
        return false;
    reply->fields[reply->field_count].name = name;
    reply->fields[reply->field_count].value = value;
    reply->field_count++;
    return true;
}

/* ---- what the client would like ---- */

/* A weight of nothing: "0", "0.", "0.000" (RFC 9110 section 12.4.2). */
static bool is_zero(struct span weight)
{
    for (size_t i = 0; i < weight.len; i++)
        if (weight.p[i] != '0' && weight.p[i] != '.')
            return false;
    return weight.len > 0 && weight.p[0] == '0';
}

static bool is_refused(struct span parameters)
{
    struct span parameter, name;
    while (span_cut(&parameters, ';', &parameter))
        if (span_cut(&parameter, '=', &name) && span_equal_nocase(span_trim(name), SPAN("q")))
            return is_zero(span_trim(parameter));
    return false;
}

/* Browsers ask for text/html by name; what takes anything gets the document. */
bool reply_wants_page(const struct request *req)
{
    if (req == NULL)
        return false;
    struct list_walk walk = list_walk(&req->fields, FIELD_ACCEPT);
    struct span member, type;
    while (list_next(&walk, &member))
        if (span_cut(&member, ';', &type) &&
            span_equal_nocase(span_trim(type), SPAN("text/html")))
            return !is_refused(member);
    return false;
}

/* ---- the two forms ---- */

/* Title and sentence: constants of reason.def, or the standard phrase of another status. */
struct wording {
    int status;
    struct span title, sentence, slug;
    struct span problem, policy; /* of the reply */
};

static void write_page(struct text *out, const struct txn *txn, const struct wording *words)
{
    text_lit(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                  "<meta name=\"robots\" content=\"noindex\">\n<title>");
    text_add(out, words->title);
    text_lit(out, "</title>\n<style>");
    text_add(out, page_style);
    text_lit(out, "</style>\n</head>\n<body>\n<main>\n<p class=\"status\">");
    text_int(out, words->status);
    text_lit(out, "</p>\n<h1>");
    text_add(out, words->title);
    text_lit(out, "</h1>\n");
    if (words->sentence.len > 0) {
        text_lit(out, "<p>");
        text_add(out, words->sentence);
        text_lit(out, "</p>\n");
    }
    text_lit(out, "<dl>\n<dt>If you write to the operator of this site, please include this "
                  "request id:</dt>\n<dd><code>");
    text_add(out, txn_id(txn));
    text_lit(out, "</code></dd>\n<dt>Time</dt>\n<dd><time>");
    clock_write_iso(out, txn->clock->wall_us);
    text_lit(out, "</time></dd>\n</dl>\n</main>\n</body>\n</html>\n");
}

static void write_problem(struct text *out, const struct txn *txn, const struct wording *words)
{
    struct json j = json_writer(out);
    char instance[sizeof("urn:uuid:") - 1 + UUID_TEXT_BYTES];
    struct text urn = text_fixed(instance, sizeof(instance));
    text_lit(&urn, "urn:uuid:");
    text_add(&urn, txn_id(txn));

    json_begin_object(&j, NULL);
    json_text(&j, "type", words->problem.len > 0 ? words->problem : SPAN("about:blank"));
    json_text(&j, "title", words->title);
    json_int(&j, "status", words->status);
    if (words->sentence.len > 0)
        json_text(&j, "detail", words->sentence);
    json_text(&j, "instance", text_span(&urn));
    json_text(&j, "reason", words->slug);
    if (words->policy.len > 0) {
        json_begin_array(&j, "violated-policies");
        json_text(&j, NULL, words->policy);
        json_end_array(&j);
    }
    json_end_object(&j);
    text_char(out, '\n');
}

/* ---- rendering ---- */

static struct wording wording_of(enum reason reason, int status)
{
    const struct reason_row *row = reason_row(reason);
    struct wording words = { .status = status,
                             .title = span_text(row->title),
                             .sentence = span_text(row->text),
                             .slug = span_text(row->slug) };
    /* Under another status the reason's title would be wrong: a parser's errors have many. */
    if (status != row->status)
        words.title = status_reason(status);
    return words;
}

static bool may_have_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static enum err add(struct txn *txn, struct response *rsp, struct span name, struct span value)
{
    return fields_add(&rsp->fields, txn->arena, name, value);
}

static enum err add_body(struct txn *txn, enum reason reason, const struct reply *reply,
                         struct response *rsp, struct span *body)
{
    struct wording words = wording_of(reason, rsp->status);
    if (reply != NULL) {
        words.problem = reply->problem;
        words.policy = reply->policy;
    }
    bool page = reply_wants_page(txn->req);
    struct text text = text_growing(txn->arena, page ? PAGE_BYTES : PROBLEM_BYTES);

    if (page)
        write_page(&text, txn, &words);
    else
        write_problem(&text, txn, &words);
    if (text.overflow)
        return ERR_MEMORY;
    *body = text_span(&text);
    TRY(add(txn, rsp, field_name(FIELD_CONTENT_TYPE),
            page ? SPAN("text/html; charset=utf-8") : SPAN("application/problem+json")));
    return add(txn, rsp, SPAN("Content-Security-Policy"),
               page ? SPAN("default-src 'none'; style-src 'sha256-" STYLE_HASH
                           "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
                    : SPAN("default-src 'none'; frame-ancestors 'none'"));
}

static enum err add_date(struct txn *txn, struct response *rsp)
{
    struct text date = text_growing(txn->arena, 32);
    clock_write_http(&date, txn->clock->wall_us);
    if (date.overflow)
        return ERR_MEMORY;
    return add(txn, rsp, field_name(FIELD_DATE), text_span(&date));
}

enum err reply_render(struct txn *txn, enum reason reason, const struct reply *reply,
                      struct response *rsp, struct span *body)
{
    int status =
        reply != NULL && reply->status != 0 ? reply->status : reason_row(reason)->status;
    INVARIANT(status >= 200 && status <= 599);

    *rsp = (struct response){ .status = status, .minor = 1, .keep_alive = true };
    *body = span_of("", 0);
    TRY(fields_init(&rsp->fields, txn->arena, FIELDS_OF_OURS + REPLY_FIELDS_MAX));
    TRY(add_date(txn, rsp)); /* RFC 9110 section 6.6.1 */

    if (reply != NULL && reply->type.len > 0 && may_have_body(status)) {
        *body = reply->body;
        TRY(add(txn, rsp, field_name(FIELD_CONTENT_TYPE), reply->type));
    } else if (status >= 400) {
        TRY(add_body(txn, reason, reply, rsp, body));
    }
    TRY(add(txn, rsp, field_name(FIELD_CACHE_CONTROL), SPAN("no-store")));
    TRY(add(txn, rsp, SPAN("X-Content-Type-Options"), SPAN("nosniff")));
    TRY(add(txn, rsp, SPAN("Referrer-Policy"), SPAN("no-referrer")));
    for (unsigned i = 0; reply != NULL && i < reply->field_count; i++)
        TRY(add(txn, rsp, reply->fields[i].name, reply->fields[i].value));

    rsp->body = may_have_body(status) ? BODY_LENGTH : BODY_NONE;
    rsp->length = body->len;
    return OK;
}
