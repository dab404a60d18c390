/* Sessions of which the browser carries a copy (sessioncarry.h): out with answers, and back. */
#include "auth/session_parts.h"
#include "gateway/chain/edit.h"

/* Its cookie, as text; empty where it has no room: then no copy is carried. False: memory. */
bool session_carried_write(struct call *c, const struct sessions *sessions,
                           const struct ticket *ticket, const struct vault_facts *facts,
                           const struct session_content *content, struct span *cookie)
{
    struct span site = span_text(c->txn->site->name);
    struct text value = text_growing(c->txn->arena, 1024),
                out = text_growing(c->txn->arena, 1024);
    struct carried what = { .issued_s = session_now_s(c),
                            .began_s = facts->began_s,
                            .until_s = facts->until_s,
                            .idle_s = facts->idle_s };
    if (!session_content_write(&value, site, content))
        return false;
    what.content = text_span(&value);
    *cookie = SPAN("");
    if (carry_write(&sessions->carry, &(struct carry_owner){ ticket, site }, &what, &out))
        *cookie = text_span(&out);
    wipe(value.p, value.len);
    return true;
}

/* With the answer to this request, whoever gives it. Without memory it goes on as it was. */
void session_carry_on(struct call *c, const struct sessions *sessions,
                      const struct ticket *ticket, const struct vault_facts *facts,
                      const struct session_content *content)
{
    struct span cookie;
    struct text line = text_growing(c->txn->arena, 1024);
    if (sessions->carry.count == 0 || c->txn->session_carried ||
        !session_carried_write(c, sessions, ticket, facts, content, &cookie))
        return;
    text_lit(&line, CARRIED_COOKIE "=");
    text_add(&line, cookie);
    text_lit(&line, "; Path=/; Secure; HttpOnly; SameSite=Lax");
    if (cookie.len == 0)
        text_lit(&line, "; Max-Age=0");
    c->txn->session_carried =
        !line.overflow &&
        edit_field(c->txn, EDIT_RESPONSE, EDIT_ADD, SPAN("Set-Cookie"), text_span(&line));
}

/* A quarter of the time that it may be unused: then a visit is on record there. */
static bool is_due(const struct carried *carried, uint64_t now_s)
{
    return carried->old_key || now_s > carried->issued_s + carried->idle_s / 4;
}

static bool was_ended(const struct sessions *sessions, struct arena *arena,
                      const struct ticket *ticket, const struct carried *carried,
                      const struct session_content *content)
{
    const struct {
        unsigned place;
        uint64_t tag;
    } tags[] = {
        { SESSION_TAG_USER, sessions_user_tag(&sessions->live, content->identity->user) },
        { SESSION_TAG_SUBJECT,
          session_tag(sessions, arena, "subject", content->realm, content->subject) },
        { SESSION_TAG_SID, session_tag(sessions, arena, "sid", content->realm, content->sid) }
    };
    if (ended_when(&sessions->ended, &sessions->live, ENDED_HANDLE,
                   ended_handle(&sessions->live, ticket)) != 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(tags); i++)
        if (ended_when(&sessions->ended, &sessions->live, tags[i].place, tags[i].tag) >=
            carried->began_s)
            return true;
    return false;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One that this node does not know, or not any more: from the copy, into the memory. */
bool session_carried_take(struct call *c, const struct sessions *sessions,
                          const struct ticket *ticket)
{
    struct arena *arena = c->txn->arena;
    struct carry_owner owner = { ticket, span_text(c->txn->site->name) };
    struct span site;
    struct carried carried;
    struct session_content content;
    if (sessions->carry.count == 0 ||
        !carry_read(&sessions->carry, &owner, session_cookie(c, SPAN(CARRIED_COOKIE)),
                    session_now_s(c), arena, &carried) ||
        !session_content_read(carried.content, arena, &site, &content) ||
        !span_equal(site, owner.site) || was_ended(sessions, arena, ticket, &carried, &content))
        return false;
    struct vault_facts facts = {
        .began_s = carried.began_s,
        .until_s = lesser(carried.until_s, carried.began_s + sessions->max_s),
        .idle_s = lesser(carried.idle_s, sessions->idle_s),
        .seen_s = session_now_s(c),
    };
    return session_put(c, sessions, ticket, &facts, &content);
}

void session_carried_renew(struct call *c, const struct sessions *sessions,
                           const struct ticket *ticket, const struct vault_facts *facts,
                           const struct session_content *content)
{
    struct carry_owner owner = { ticket, span_text(c->txn->site->name) };
    struct carried carried;
    if (sessions->carry.count == 0 || c->txn->session_carried ||
        (carry_read(&sessions->carry, &owner, session_cookie(c, SPAN(CARRIED_COOKIE)),
                    session_now_s(c), c->txn->arena, &carried) &&
         !is_due(&carried, session_now_s(c))))
        return;
    session_carry_on(c, sessions, ticket, facts, content);
}
