/* Cookies, and the numbers and texts that sealed values are made of. */
#include "auth/session_parts.h"

#include "gateway/base/secret.h"
#include "gateway/http/params.h"

enum { COOKIE_TEXT_MAX = 256 };

uint64_t session_now_s(const struct call *c)
{
    return c->txn->clock->wall_us / 1000000u;
}

/* ---- what is sealed: numbers of eight bytes, texts with their length in front ---- */

void sealed_put_number(struct text *out, uint64_t number)
{
    text_add(out, span_of((const char *)&number, sizeof(number)));
}

void sealed_put_text(struct text *out, struct span s)
{
    uint16_t len = (uint16_t)s.len;
    if (s.len > UINT16_MAX)
        out->overflow = true;
    text_add(out, span_of((const char *)&len, sizeof(len)));
    text_add(out, s);
}

uint64_t sealed_take_number(struct sealed *r)
{
    uint64_t number = 0;
    if (r->bad || r->rest.len < sizeof(number)) {
        r->bad = true;
        return 0;
    }
    memcpy(&number, r->rest.p, sizeof(number));
    r->rest = span_sub(r->rest, sizeof(number), r->rest.len);
    return number;
}

struct span sealed_take_text(struct sealed *r)
{
    uint16_t len = 0;
    if (!r->bad && r->rest.len >= sizeof(len))
        memcpy(&len, r->rest.p, sizeof(len));
    if (r->bad || r->rest.len < sizeof(len) + len) {
        r->bad = true;
        return SPAN("");
    }
    struct span text = span_sub(r->rest, sizeof(len), len);
    r->rest = span_sub(r->rest, sizeof(len) + len, r->rest.len);
    return text;
}

/* ---- cookies ---- */

/*
 * The cookie of exactly that name. None when there are two: a neighbour's host,
 * or another reader of ours, could have meant either (and `__Host-` keeps neighbours from
 * setting one). Names are compared byte by byte: what some reader would fold, trim or unquote
 * into our name is another name here.
 */
struct span session_cookie(struct call *c, struct span name)
{
    struct params cookies = { 0 };
    const struct param *found = NULL;
    const struct field *field = fields_get(&c->req->fields, FIELD_COOKIE);
    for (; field != NULL; field = fields_next(&c->req->fields, field))
        if (cookies_parse(&cookies, field->value, SESSION_COOKIES_MAX, c->txn->arena) != OK)
            return SPAN("");
    for (unsigned i = 0; i < cookies.count; i++) {
        if (!span_equal(cookies.items[i].name, name))
            continue;
        if (found != NULL)
            return SPAN("");
        found = &cookies.items[i];
    }
    return found != NULL ? found->value : SPAN("");
}

bool session_cookie_ticket(struct call *c, struct span name, struct ticket *ticket)
{
    return ticket_read(ticket, session_cookie(c, name));
}

/* An age of 0 takes it away; SESSION_AGE_BROWSER: as long as the browser runs. */
bool session_put_cookie(struct call *c, struct reply *reply, struct span name,
                        struct span value, uint64_t max_age_s, bool strict)
{
    struct text out = text_growing(c->txn->arena, COOKIE_TEXT_MAX);
    text_add(&out, name);
    text_char(&out, '=');
    text_add(&out, value);
    text_lit(&out, "; Path=/; Secure; HttpOnly; SameSite=");
    text_add(&out, strict ? SPAN("Strict") : SPAN("Lax"));
    if (max_age_s != SESSION_AGE_BROWSER)
        text_format(&out, "; Max-Age=%llu", (unsigned long long)max_age_s);
    return !out.overflow && reply_field(reply, SPAN("Set-Cookie"), text_span(&out));
}

bool session_put_ticket(struct call *c, struct reply *reply, struct span name,
                        const struct ticket *ticket, bool strict)
{
    char text[TICKET_TEXT_BYTES];
    ticket_write(ticket, text);
    bool good = session_put_cookie(c, reply, name, span_of(text, sizeof(text)),
                                   SESSION_AGE_BROWSER, strict);
    wipe(text, sizeof(text));
    return good;
}
