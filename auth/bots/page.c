/*
 * The page in place of the one that was asked for, and its kin. It says what happens and for
 * how long, reads well aloud, follows the reader's light or dark, and shows the request's id.
 * It loads nothing but the worker, and its policy allows one style and one script, by hash.
 */
#include <sodium.h>

#include "auth/bots/stage.h"
#include "conf/schema.h"
#include "gateway/chain/reply.h"

enum { PAGE_FIRST_BYTES = 10 * 1024 };

static const struct span added_style =
    SPAN_INIT("[hidden]{display:none}progress{width:100%;height:.75rem;margin:0 0 1.25rem;"
              "accent-color:var(--accent)}");

/* ---- at load ---- */

static void add_hash(struct text *out, struct span bytes)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    char base64[sodium_base64_ENCODED_LEN(sizeof(hash), sodium_base64_VARIANT_ORIGINAL)];
    (void)crypto_hash_sha256(hash, (const uint8_t *)bytes.p, bytes.len);
    (void)sodium_bin2base64(base64, sizeof(base64), hash, sizeof(hash),
                            sodium_base64_VARIANT_ORIGINAL);
    text_lit(out, "'sha256-");
    text_add(out, span_text(base64));
    text_char(out, '\'');
}

enum err bots_page_open(struct bots_conf *conf, struct setup *setup)
{
    TRY(page_style_open(&conf->look, setup, conf->brand, conf->style.text));
    struct text css = text_growing(setup->arena, conf->look.css.len + added_style.len);
    struct text policy = text_growing(setup->arena, 320);
    text_add(&css, conf->look.css);
    text_add(&css, added_style);
    conf->css = text_span(&css);
    text_lit(&policy, "default-src 'none'; style-src ");
    add_hash(&policy, conf->css);
    text_lit(&policy, "; script-src ");
    add_hash(&policy, bots_script_main);
    text_lit(&policy, "; worker-src 'self'; form-action 'self'; base-uri 'none'; "
                      "frame-ancestors 'self'");
    conf->page_policy = text_span(&policy);
    return css.overflow || policy.overflow ? ERR_MEMORY : OK;
}

/* ---- parts ---- */

/* `refresh_s` 0: it stays as it is. With `script`, only for who runs none. */
static void put_refresh(struct text *out, struct span token, uint64_t refresh_s, bool script)
{
    if (refresh_s == 0)
        return;
    text_add(out, script ? SPAN("<noscript>") : SPAN(""));
    text_lit(out, "<meta http-equiv=\"refresh\" content=\"");
    text_uint(out, refresh_s);
    text_lit(out, ";url=" BOTS_WAIT "?token=");
    text_add(out, token);
    text_lit(out, "\">");
    text_add(out, script ? SPAN("</noscript>\n") : SPAN("\n"));
}

static struct text page_begin(struct call *c, struct span title)
{
    const struct bots_conf *conf = c->conf;
    struct text out = text_growing(c->txn->arena, PAGE_FIRST_BYTES);
    text_lit(&out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                   "<meta name=\"robots\" content=\"noindex\">\n<title>");
    text_add(&out, title);
    text_lit(&out, "</title>\n<style>");
    text_add(&out, conf->css);
    text_lit(&out, "</style>\n");
    return out;
}

static void put_brand(struct text *out, const struct bots_conf *conf)
{
    if (conf->look.brand.len == 0)
        return;
    text_lit(out, "<p class=\"brand\">");
    page_escape(out, conf->look.brand);
    text_lit(out, "</p>\n");
}

static struct reply *page_end(struct call *c, struct text *out, int status)
{
    const struct bots_conf *conf = c->conf;
    struct reply *reply = reply_new(c->txn, status);
    text_lit(out, "<p class=\"id\">Request ");
    text_add(out, txn_id(c->txn));
    text_lit(out, "</p>\n</main>\n");
    if (!reply_field(reply, SPAN("Content-Security-Policy"), conf->page_policy))
        return NULL;
    reply->type = SPAN("text/html; charset=utf-8");
    return reply;
}

static struct reply *page_done(struct reply *reply, struct text *out)
{
    text_lit(out, "</body>\n</html>\n");
    if (reply == NULL || out->overflow)
        return NULL;
    reply->body = text_span(out);
    return reply;
}

static void put_link(struct text *out, struct span link, struct span words)
{
    text_lit(out, "<a href=\"");
    page_escape(out, link);
    text_lit(out, "\">");
    text_add(out, words);
    text_lit(out, "</a>");
}

static void put_wait_link(struct text *out, struct span token, struct span words)
{
    text_lit(out, "<a href=\"" BOTS_WAIT "?token=");
    text_add(out, token); /* letters, digits, - _ . */
    text_lit(out, "\">");
    text_add(out, words);
    text_lit(out, "</a>");
}

/* For who runs no scripts. */
static void put_without_script(struct text *out, const struct bots_question *question)
{
    text_lit(out, "<noscript>\n<p>");
    if (question->again) {
        text_lit(out, "Your browser came back without the cookie that it was given. Please "
                      "allow cookies for this site, then ");
        put_wait_link(out, question->token, SPAN("go on"));
        text_lit(out, ".");
    } else if (question->wait_s > 0) {
        text_lit(out, "Your browser runs no scripts here, so this takes ");
        text_uint(out, question->wait_s);
        text_lit(out, " seconds. If nothing happens then, ");
        put_wait_link(out, question->token, SPAN("go on by hand"));
        text_lit(out, ".");
    } else {
        text_lit(out, "Your browser runs no scripts here, and this check needs one. Please "
                      "allow scripts for this site, then ");
        put_link(out, question->target, SPAN("try again"));
        text_lit(out, ".");
    }
    text_lit(out, "</p>\n</noscript>\n");
}

static void put_by_hand(struct text *out, const struct bots_question *question)
{
    text_lit(out, "<p id=\"manual\" hidden>");
    put_link(out, question->target, SPAN("Try again"));
    if (question->wait_s > 0) {
        text_lit(out, ", or ");
        put_wait_link(out, question->token, SPAN("wait instead"));
    }
    text_lit(out, ".</p>\n");
}

/* ---- pages ---- */

struct reply *bots_page_question(struct call *c, const struct bots_question *question)
{
    const struct bots_conf *conf = c->conf;
    struct text out = page_begin(c, SPAN("One moment, please"));
    put_refresh(&out, question->token, question->again ? 0 : question->wait_s, true);
    text_lit(&out, "</head>\n<body>\n<main data-worker=\"" BOTS_WORKER "\" data-seed=\"");
    text_add(&out, challenge_seed(question->token));
    text_lit(&out, "\" data-bits=\"");
    text_uint(&out, question->bits);
    text_lit(&out, "\">\n");
    put_brand(&out, conf);
    text_lit(&out,
             "<h1>One moment, please</h1>\n"
             "<p>Before it lets you in, this site checks that it is visited by a browser. That "
             "takes some seconds, and you need not do anything.</p>\n"
             "<p id=\"state\" role=\"status\">Checking.</p>\n"
             "<progress id=\"bar\" max=\"1\" value=\"0\" aria-label=\"Progress of the check\">"
             "</progress>\n");
    put_without_script(&out, question);
    put_by_hand(&out, question);
    text_lit(&out, "<form id=\"answer\" method=\"post\" action=\"" BOTS_ANSWER "\" hidden>\n"
                   "<input type=\"hidden\" name=\"token\" value=\"");
    text_add(&out, question->token);
    text_lit(&out, "\">\n<input type=\"hidden\" name=\"proof\" value=\"\">\n</form>\n");
    struct reply *reply = page_end(c, &out, question->later ? 503 : 403);
    if (question->later && !reply_field(reply, SPAN("Retry-After"), SPAN("10")))
        return NULL;
    text_lit(&out, "<script>");
    text_add(&out, bots_script_main);
    text_lit(&out, "</script>\n");
    return page_done(reply, &out);
}

struct reply *bots_page_wait(struct call *c, struct span token, uint64_t left_s)
{
    struct text out = page_begin(c, SPAN("One moment more"));
    put_refresh(&out, token, left_s, false);
    text_lit(&out, "</head>\n<body>\n<main>\n");
    put_brand(&out, c->conf);
    text_lit(&out, "<h1>One moment more</h1>\n<p>This takes ");
    text_uint(&out, left_s);
    text_add(&out, left_s == 1 ? SPAN(" more second") : SPAN(" more seconds"));
    text_lit(&out, ". If nothing happens then, ");
    put_wait_link(&out, token, SPAN("go on by hand"));
    text_lit(&out, ".</p>\n");
    return page_done(page_end(c, &out, 403), &out);
}

struct reply *bots_page_trouble(struct call *c, struct span sentence, struct span target)
{
    struct text out = page_begin(c, SPAN("That did not work"));
    text_lit(&out, "</head>\n<body>\n<main>\n");
    put_brand(&out, c->conf);
    text_lit(&out, "<h1>That did not work</h1>\n<p role=\"alert\">");
    text_add(&out, sentence);
    text_lit(&out, "</p>\n<p>");
    put_link(&out, target, SPAN("Back to the page, and try again"));
    text_lit(&out, ". If it goes on like this, tell whoever runs this site the number "
                   "below.</p>\n");
    return page_done(page_end(c, &out, 403), &out);
}

struct reply *bots_page_worker(struct call *c)
{
    struct reply *reply = reply_new(c->txn, 200);
    if (!reply_field(reply, SPAN("Content-Security-Policy"), SPAN("default-src 'none'")) ||
        !reply_field(reply, SPAN("X-Content-Type-Options"), SPAN("nosniff")))
        return NULL;
    reply->type = SPAN("text/javascript; charset=utf-8");
    reply->body = bots_script_worker;
    return reply;
}
