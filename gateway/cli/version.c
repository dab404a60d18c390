/*
 * `sallyport version`: what runs here, for reports. Versions are asked of the libraries at run
 * time; the headers may be others.
 */
#include "gateway/cli/version.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ares.h>
#include <brotli/encode.h>
#include <hiredis/hiredis.h>
#include <hs/hs.h>
#include <jansson.h>
#include <liboath/oath.h>
#include <maxminddb.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <seccomp.h>
#include <sodium.h>
#include <unistd.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

#include "gateway/base/json.h"
#include "gateway/cli/cli.h"

static const char *openssl_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

static const char *pcre2_version(void)
{
    static char buffer[64];
    return pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof(buffer) &&
                   pcre2_config(PCRE2_CONFIG_VERSION, buffer) > 0
               ? buffer
               : "unknown";
}

static const char *seccomp_version_text(void)
{
    static char buffer[64];
    const struct scmp_version *version = seccomp_version();
    struct text text = text_fixed(buffer, sizeof(buffer));
    text_format(&text, "%u.%u.%u", version->major, version->minor, version->micro);
    return text_cstring(&text);
}

/* hiredis tells only what it was built against. */
static const char *hiredis_version(void)
{
    static char buffer[64];
    struct text text = text_fixed(buffer, sizeof(buffer));
    text_format(&text, "%d.%d.%d", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return text_cstring(&text);
}

static const char *oath_version(void)
{
    return oath_check_version(NULL);
}

static const char *brotli_version(void)
{
    static char buffer[64];
    struct text text = text_fixed(buffer, sizeof(buffer));
    uint32_t version = BrotliEncoderVersion();
    text_format(&text, "%u.%u.%u", version >> 24, version >> 12 & 0xfff, version & 0xfff);
    return text_cstring(&text);
}

static const char *cares_version(void)
{
    return ares_version(NULL);
}

static const char *nghttp2_version_text(void)
{
    return nghttp2_version(0)->version_str;
}

static const struct {
    const char *name;
    const char *(*version)(void);
} libraries[] = {
    { "openssl", openssl_version },       { "hyperscan", hs_version },
    { "pcre2", pcre2_version },           { "libyaml", yaml_get_version_string },
    { "jansson", jansson_version_str },   { "libsodium", sodium_version_string },
    { "liboath", oath_version },          { "libseccomp", seccomp_version_text },
    { "libmaxminddb", MMDB_lib_version }, { "hiredis", hiredis_version },
    { "nghttp2", nghttp2_version_text },  { "zlib", zlibVersion },
    { "brotli", brotli_version },         { "zstd", ZSTD_versionString },
    { "c-ares", cares_version },
};

static void write_json(struct text *out)
{
    struct json j = json_writer(out);
    json_begin_object(&j, NULL);
    json_text(&j, "sallyport", SPAN(SALLYPORT_VERSION));
    json_begin_object(&j, "libraries");
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
        json_text(&j, libraries[i].name, span_text(libraries[i].version()));
    json_end_object(&j);
    json_end_object(&j);
    text_char(out, '\n');
}

int verb_version(const struct arguments *arguments)
{
    char buffer[4096];
    struct text out = text_fixed(buffer, sizeof(buffer));
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (json) {
        write_json(&out);
    } else {
        text_lit(&out, "sallyport " SALLYPORT_VERSION "\n");
        for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
            text_format(&out, "  %-13s %s\n", libraries[i].name, libraries[i].version());
    }
    return print_all(STDOUT_FILENO, text_span(&out)) ? EXIT_GOOD : EXIT_TROUBLE;
}
