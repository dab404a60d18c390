/* HTML is written here and nowhere else in this folder. */
#include "auth/pages.h"

#include <sodium.h>

#include "conf/schema.h"
#include "gateway/base/file.h"

enum { PAGE_FIRST_BYTES = 6 * 1024 };

static const struct span built_in = SPAN_INIT(
    ":root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#1b1f27;--soft:#565f6b;"
    "--line:#737c89;--edge:#dfe3e9;--accent:#1a56b0;--on-accent:#fff;--alarm:#b3261e;"
    "--alarm-ground:#fdecea}"
    "@media(prefers-color-scheme:dark){:root{--ground:#111418;--card:#1a1e25;--ink:#e8ebf0;"
    "--soft:#a3adba;--line:#79838f;--edge:#2c333d;--accent:#8ab4f8;--on-accent:#0b1526;"
    "--alarm:#ffb4ab;--alarm-ground:#3a1a17}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;"
    "background:var(--ground);color:var(--ink);"
    "font:1rem/1.6 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}"
    "main{width:100%;max-width:26rem;padding:2.5rem;background:var(--card);"
    "border:1px solid var(--edge);border-radius:.75rem}"
    ".brand{margin:0;color:var(--soft);font-weight:600}"
    "h1{margin:.25rem 0 1.25rem;font-size:1.6rem;line-height:1.2}"
    "p{margin:0 0 1rem;overflow-wrap:anywhere}"
    "label{display:block;margin:0 0 .25rem;font-weight:600}"
    "input{display:block;width:100%;margin:0 0 1.25rem;padding:.65rem .75rem;font:inherit;"
    "color:var(--ink);background:var(--card);border:1px solid var(--line);"
    "border-radius:.5rem}"
    "button{width:100%;padding:.7rem 1rem;font:inherit;font-weight:600;cursor:pointer;"
    "color:var(--on-accent);background:var(--accent);border:1px solid transparent;"
    "border-radius:.5rem}"
    "a{color:var(--accent)}"
    ":focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
    ".trouble{padding:.75rem 1rem;color:var(--alarm);background:var(--alarm-ground);"
    "border-radius:.5rem;font-weight:600}"
    ".hint,.id{color:var(--soft);font-size:.875rem}"
    ".id{margin:1.75rem 0 0}"
    "@media(max-width:30rem){main{padding:1.5rem}}");

/* ---- at load ---- */

/* `</style` would end the block early; then the hash is wrong, and nothing is styled. */
static bool style_usable(struct span css)
{
    for (size_t i = 0; i < css.len; i++) {
        unsigned char c = (unsigned char)css.p[i];
        if (c == '<' || c == '\r' || c == 0x7f || (c < ' ' && c != '\n' && c != '\t'))
            return false;
    }
    return true;
}

static enum err read_style(struct setup *setup, struct span path, struct span *css)
{
    struct file file = { .text = SPAN("") };
    if (path.len > 0) {
        const char *why = file_read(path.p, PAGE_STYLE_MAX, setup->arena, &file);
        if (why == NULL && !style_usable(file.text))
            why = "it has a < or a control character";
        if (why != NULL) {
            complain(setup->complaint, SEVERITY_ERROR, "style %s cannot be used: %s", path.p,
                     why);
            return ERR_CONFIG;
        }
    }
    struct text text = text_growing(setup->arena, built_in.len + file.text.len);
    text_add(&text, built_in);
    text_add(&text, file.text);
    *css = text_span(&text);
    return text.overflow ? ERR_MEMORY : OK;
}

enum err page_style_open(struct page_style *style, struct setup *setup, struct span brand,
                         struct span file)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    char base64[sodium_base64_ENCODED_LEN(sizeof(hash), sodium_base64_VARIANT_ORIGINAL)];
    struct text policy = text_growing(setup->arena, 256);
    if (brand.len > PAGE_BRAND_MAX) {
        complain(setup->complaint, SEVERITY_ERROR, "brand has at most %d bytes",
                 PAGE_BRAND_MAX);
        return ERR_CONFIG;
    }
    TRY(read_style(setup, file, &style->css));
    (void)crypto_hash_sha256(hash, (const uint8_t *)style->css.p, style->css.len);
    (void)sodium_bin2base64(base64, sizeof(base64), hash, sizeof(hash),
                            sodium_base64_VARIANT_ORIGINAL);
    text_lit(&policy, "default-src 'none'; style-src 'sha256-");
    text_add(&policy, span_text(base64));
    text_lit(&policy, "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    style->policy = text_span(&policy);
    style->brand = brand;
    return policy.overflow ? ERR_MEMORY : OK;
}

/* ---- parts ---- */

void page_escape(struct text *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.p[i]) {
        case '&':
            text_lit(out, "&amp;");
            break;
        case '<':
            text_lit(out, "&lt;");
            break;
        case '>':
            text_lit(out, "&gt;");
            break;
        case '"':
            text_lit(out, "&quot;");
            break;
        case '\'':
            text_lit(out, "&#39;");
            break;
        default:
            text_char(out, s.p[i]);
        }
    }
}

static struct text page_begin(struct call *c, const struct page_style *style, struct span title)
{
    struct text out = text_growing(c->txn->arena, PAGE_FIRST_BYTES);
    text_lit(&out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                   "<meta name=\"robots\" content=\"noindex\">\n<title>");
    text_add(&out, title);
    if (style->brand.len > 0) {
        text_lit(&out, " · ");
        page_escape(&out, style->brand);
    }
    text_lit(&out, "</title>\n<style>");
    text_add(&out, style->css);
    text_lit(&out, "</style>\n</head>\n<body>\n<main>\n");
    if (style->brand.len > 0) {
        text_lit(&out, "<p class=\"brand\">");
        page_escape(&out, style->brand);
        text_lit(&out, "</p>\n");
    }
    text_lit(&out, "<h1>");
    text_add(&out, title);
    text_lit(&out, "</h1>\n");
    return out;
}

static struct reply *page_end(struct call *c, const struct page_style *style, struct text *out,
                              int status)
{
    struct reply *reply = reply_new(c->txn, status);
    text_lit(out, "<p class=\"id\">Request ");
    text_add(out, txn_id(c->txn));
    text_lit(out, "</p>\n</main>\n</body>\n</html>\n");
    if (reply == NULL || out->overflow ||
        !reply_field(reply, SPAN("Content-Security-Policy"), style->policy))
        return NULL;
    reply->body = text_span(out);
    reply->type = SPAN("text/html; charset=utf-8");
    return reply;
}

static void put_trouble(struct text *out, struct span trouble)
{
    if (trouble.len == 0)
        return;
    text_lit(out, "<p class=\"trouble\" id=\"trouble\" role=\"alert\">");
    page_escape(out, trouble);
    text_lit(out, "</p>\n");
}

static void put_form(struct text *out, const struct page_form *form)
{
    text_lit(out, "<form method=\"post\" action=\"");
    page_escape(out, form->action);
    text_lit(out, "\">\n");
    if (form->handle.len > 0) {
        text_lit(out, "<input type=\"hidden\" name=\"flow\" value=\"");
        page_escape(out, form->handle);
        text_lit(out, "\">\n");
    }
    text_lit(out, "<input type=\"hidden\" name=\"token\" value=\"");
    page_escape(out, form->token);
    text_lit(out, "\">\n");
}

static void put_link(struct text *out, struct span link, struct span link_text)
{
    if (link.len == 0)
        return;
    text_lit(out, "<p><a href=\"");
    page_escape(out, link);
    text_lit(out, "\">");
    text_add(out, link_text);
    text_lit(out, "</a></p>\n");
}

/* ---- pages ---- */

struct reply *page_name_and_password(struct call *c, const struct page_style *style, int status,
                                     const struct page_form *form, struct span trouble)
{
    struct text out = page_begin(c, style, SPAN("Sign in"));
    struct span described = trouble.len > 0 ? SPAN(" aria-describedby=\"trouble\"") : SPAN("");
    put_trouble(&out, trouble);
    put_form(&out, form);
    text_lit(&out, "<label for=\"user\">Name</label>\n<input id=\"user\" name=\"user\" "
                   "type=\"text\" autocomplete=\"username\" autocapitalize=\"none\" "
                   "spellcheck=\"false\" maxlength=\"255\" required autofocus");
    text_add(&out, described);
    text_lit(&out, ">\n<label for=\"password\">Password</label>\n<input id=\"password\" "
                   "name=\"password\" type=\"password\" autocomplete=\"current-password\" "
                   "maxlength=\"511\" required");
    text_add(&out, described);
    text_lit(&out, ">\n<button type=\"submit\">Sign in</button>\n</form>\n");
    return page_end(c, style, &out, status);
}

struct reply *page_second_factor(struct call *c, const struct page_style *style, int status,
                                 const struct page_form *form, struct span trouble)
{
    struct text out = page_begin(c, style, SPAN("One more step"));
    put_trouble(&out, trouble);
    put_form(&out, form);
    text_lit(&out,
             "<label for=\"code\">Code</label>\n<input id=\"code\" name=\"code\" type=\"text\" "
             "autocomplete=\"one-time-code\" autocapitalize=\"none\" spellcheck=\"false\" "
             "maxlength=\"32\" required autofocus aria-describedby=\"hint");
    if (trouble.len > 0)
        text_lit(&out, " trouble");
    text_lit(&out, "\">\n<p class=\"hint\" id=\"hint\">Six digits from your authenticator, or "
                   "one of your recovery codes.</p>\n"
                   "<button type=\"submit\">Continue</button>\n</form>\n");
    return page_end(c, style, &out, status);
}

static void put_sign_out(struct text *out, const struct page_form *form)
{
    put_form(out, form);
    text_lit(out, "<button type=\"submit\">Sign out</button>\n</form>\n");
}

struct reply *page_choose(struct call *c, const struct page_style *style,
                          const struct page_choice *choices, size_t count)
{
    struct text out = page_begin(c, style, SPAN("Sign in"));
    text_lit(&out, "<p>Where would you like to sign in?</p>\n<ul>\n");
    for (size_t i = 0; i < count; i++) {
        text_lit(&out, "<li><a href=\"");
        page_escape(&out, choices[i].link);
        text_lit(&out, "\">");
        page_escape(&out, choices[i].text);
        text_lit(&out, "</a></li>\n");
    }
    text_lit(&out, "</ul>\n");
    return page_end(c, style, &out, 200);
}

struct reply *page_signed_in(struct call *c, const struct page_style *style,
                             const struct page_form *form, struct span user)
{
    struct text out = page_begin(c, style, SPAN("Signed in"));
    text_lit(&out, "<p>You are signed in as <strong>");
    page_escape(&out, user);
    text_lit(&out, "</strong>.</p>\n<p><a href=\"/\">Go on</a></p>\n");
    put_sign_out(&out, form);
    return page_end(c, style, &out, 200);
}

struct reply *page_message(struct call *c, const struct page_style *style, int status,
                           const struct page_note *note)
{
    struct text out = page_begin(c, style, note->title);
    text_lit(&out, "<p>");
    text_add(&out, note->sentence);
    text_lit(&out, "</p>\n");
    put_link(&out, note->link, note->link_text);
    return page_end(c, style, &out, status);
}

struct reply *page_redirect(struct call *c, int status, struct span location)
{
    struct reply *reply = reply_new(c->txn, status);
    return reply != NULL && reply_field(reply, SPAN("Location"), location) ? reply : NULL;
}

/* ---- refused ---- */

/* A handle is made for a browser, which may have to be given a cookie for it: by this reply. */
static bool put_again(struct call *c, const struct signed_in *by, struct text *out,
                      struct reply *cookies)
{
    struct span handle;
    struct text link = text_growing(c->txn->arena, 160);
    struct signin signin = { .step = by->step, .target = return_target(c) };
    if (!signin_begin(c, by->sessions, &signin, cookies, &handle))
        return false;
    text_add(&link, by->again);
    text_add(&link, handle);
    put_link(out, text_span(&link), SPAN("Prove it again"));
    return !link.overflow;
}

static void say_why(struct call *c, struct text *out, struct span groups, bool prove)
{
    struct span rest = groups, one;
    text_lit(out, "<p>You are signed in as <strong>");
    page_escape(out, c->txn->facts.user);
    text_lit(out, "</strong>, ");
    if (prove) {
        text_lit(out, "but this asks for a sign-in that is more recent, or with a second "
                      "factor.</p>\n");
        return;
    }
    if (groups.len == 0) {
        text_lit(out, "but this is not open to you.</p>\n");
        return;
    }
    text_lit(out, "but not in ");
    for (bool first = true; rest.len > 0 && span_cut(&rest, ',', &one); first = false) {
        if (!first)
            text_lit(out, " or ");
        text_lit(out, "<strong>");
        page_escape(out, one);
        text_lit(out, "</strong>");
    }
    text_lit(out, ", which this is open to.</p>\n");
}

struct reply *page_refused(struct call *c, struct span groups, bool prove)
{
    const struct signed_in *by = c->txn->facts.signed_in;
    char token[FORM_TOKEN_BYTES];
    struct reply *cookies = reply_new(c->txn, 403);
    if (by == NULL || cookies == NULL || !reply_wants_page(c->req) ||
        !form_token(c, by->sessions, by->out, token))
        return NULL;
    struct page_form form = { .action = by->out, .token = span_of(token, sizeof(token)) };
    struct text out = page_begin(c, by->style, SPAN("Not open to you"));
    say_why(c, &out, groups, prove);
    if (prove && !put_again(c, by, &out, cookies))
        return NULL;
    put_sign_out(&out, &form);
    struct reply *reply = page_end(c, by->style, &out, 403);
    for (unsigned i = 0; reply != NULL && i < cookies->field_count; i++)
        if (!reply_field(reply, cookies->fields[i].name, cookies->fields[i].value))
            return NULL;
    return reply;
}
