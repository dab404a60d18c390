/*
 * `compress:` of sites and routes: its rows, and what a route makes of them.
 */
#include "gateway/load_site.h"

#include "gateway/http/accept.h"

static const struct choice compress_choices[] = {
    { "auto", COMPRESS_AUTO, "Where codings are named." },
    { "on", COMPRESS_ON, "With br, zstd and gzip where none is named." },
    { "off", COMPRESS_OFF, "Answers are passed on as they are." },
    { NULL, 0, NULL },
};

static void check_codings(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;

    for (size_t i = 0; i < texts->count; i++) {
        if (coding_named(texts->items[i]) == CODING_IDENTITY)
            complain(complaint, SEVERITY_ERROR, "\"%.*s\" is none of br, zstd, gzip",
                     (int)texts->items[i].len, texts->items[i].p);
    }
    if (texts->count > COMPRESS_CODINGS_MAX)
        complain(complaint, SEVERITY_ERROR, "each coding once");
}

static void check_types(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;

    for (size_t i = 0; i < texts->count; i++) {
        struct span type = texts->items[i];
        ssize_t slash = span_index(type, '/');
        if (slash <= 0 || (size_t)slash + 1 == type.len || span_index(type, ';') >= 0)
            complain(complaint, SEVERITY_ERROR,
                     "\"%.*s\" is no media type: text/html, or text/ and a star", (int)type.len,
                     type.p);
    }
}

static void check_guard(const void *field, struct complaint *complaint)
{
    const bool *guard = field;

    if (!*guard)
        diag_add(complaint->schema->diags, SEVERITY_WARNING, DIAG_UNSAFE, complaint->place,
                 SPAN("where an answer holds both a secret and what the request said, its "
                      "length tells the secret (BREACH)"),
                 SPAN(""));
}

const struct option compress_rows[] = {
    OPTION_NAMED("mode", struct settings, compress.mode, OPT_ENUM, .flags = OPTION_SHORTHAND,
                 .fallback = "auto", .choices = compress_choices,
                 .help = "Whether answers of upstream are compressed."),
    OPTION_NAMED("codings", struct settings, compress.codings, OPT_TEXTS,
                 .flags = OPTION_SHORTHAND, .check = check_codings,
                 .example = "[br, zstd, gzip]",
                 .help = "Of what the client likes equally, the first of these."),
    OPTION_NAMED("types", struct settings, compress.types, OPT_TEXTS, .check = check_types,
                 .fallback =
                     "text/*, application/javascript, application/json, application/ld+json, "
                     "application/manifest+json, application/problem+json, application/xml, "
                     "application/xhtml+xml, application/rss+xml, application/atom+xml, "
                     "application/wasm, image/svg+xml, font/ttf, font/otf",
                 .help = "Media types; text/* for all of text but event streams."),
    OPTION_NAMED("min", struct settings, compress.min, OPT_SIZE, .fallback = "1KiB", .min = 1,
                 .help = "Shorter answers go out plain; those of unknown length do not."),
    OPTION_NAMED(
        "breach_guard", struct settings, compress.breach_guard, OPT_BOOL, .fallback = "true",
        .check = check_guard,
        .help =
            "Answers that are made for somebody (a request with cookies, a password or a "
            "client "
            "certificate; an answer that sets a cookie) are compressed only when the browser "
            "says that its own site or its user asked (Sec-Fetch-Site), or when they are "
            "`public`; styles, scripts and fonts too, unless `private` or `no-store`."),
    OPTIONS_END,
};

const struct compress_conf *load_compress(struct site_load *sl, const struct settings *settings)
{
    static const enum coding all[] = { CODING_BR, CODING_ZSTD, CODING_GZIP };
    struct texts codings = settings->compress.codings;
    int mode = settings->compress.mode;
    struct compress_conf *conf;

    if (mode == COMPRESS_OFF || (mode == COMPRESS_AUTO && codings.count == 0) ||
        codings.count > COMPRESS_CODINGS_MAX)
        return NULL;
    conf = load_need(sl, arena_new(sl->load->arena, struct compress_conf));
    if (conf == NULL)
        return NULL;
    *conf = (struct compress_conf){ .types = settings->compress.types,
                                    .min = settings->compress.min,
                                    .breach_guard = settings->compress.breach_guard };
    for (size_t i = 0; i < codings.count; i++)
        conf->codings[conf->coding_count++] = coding_named(codings.items[i]);
    if (codings.count == 0) {
        memcpy(conf->codings, all, sizeof all);
        conf->coding_count = ARRAY_LEN(all);
    }
    return conf;
}
