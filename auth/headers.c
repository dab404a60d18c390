/*
 * Security fields on the answer, and fields that tell too much.
 *
 *     headers: strict
 *     headers: {preset: basic, set: {X-Robots-Tag: noindex}, remove: [X-Runtime], csp: "..."}
 *
 * A preset fills in what is missing: where the application sends a policy of its own, that one
 * stands, for it knows its pages. Only nosniff is forced, and what names the software is taken
 * away. What is set or removed by name goes before the preset's word on that field. HSTS is
 * never said over plain HTTP (RFC 6797 section 7.2). Local answers get the same fields.
 */
#include "auth/headers.h"

#include "conf/schema.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/txn.h"
#include "gateway/http/names.h"

enum preset { PRESET_OFF, PRESET_BASIC, PRESET_STRICT };
enum { IN_BASIC = 1 << PRESET_BASIC, IN_STRICT = 1 << PRESET_STRICT };
enum { FIELDS_MAX = 64, VALUE_BYTES_MAX = 8192 };

struct field_row { /* an item of `set` and `add` */
    struct map_item item;
    struct span value;
};

/* As the answer to one scheme gets them. */
struct ready {
    struct ready_edit *items;
    size_t count;
};

struct headers_conf {
    int preset; /* enum preset */
    struct list set, add;
    struct texts remove;
    struct span csp;

    struct ready plain, https;
};

static const struct preset_row {
    unsigned in;
    struct span name, value;
    enum edit_kind kind;
    bool https_only;
} preset_rows[] = {
    { IN_STRICT, SPAN_INIT("Strict-Transport-Security"),
      SPAN_INIT("max-age=31536000; includeSubDomains"), EDIT_DEFAULT, true },
    { IN_BASIC | IN_STRICT, SPAN_INIT("X-Content-Type-Options"), SPAN_INIT("nosniff"), EDIT_SET,
      false },
    { IN_STRICT, SPAN_INIT("X-Frame-Options"), SPAN_INIT("DENY"), EDIT_DEFAULT, false },
    { IN_BASIC, SPAN_INIT("X-Frame-Options"), SPAN_INIT("SAMEORIGIN"), EDIT_DEFAULT, false },
    { IN_BASIC | IN_STRICT, SPAN_INIT("Referrer-Policy"),
      SPAN_INIT("strict-origin-when-cross-origin"), EDIT_DEFAULT, false },
    { IN_STRICT, SPAN_INIT("Permissions-Policy"),
      SPAN_INIT("accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), "
                "microphone=(), payment=(), usb=()"),
      EDIT_DEFAULT, false },
    { IN_STRICT, SPAN_INIT("Cross-Origin-Opener-Policy"), SPAN_INIT("same-origin"),
      EDIT_DEFAULT, false },
    { IN_STRICT, SPAN_INIT("Content-Security-Policy"), SPAN_INIT("frame-ancestors 'none'"),
      EDIT_DEFAULT, false },
    { IN_BASIC | IN_STRICT, SPAN_INIT("Server"), SPAN_INIT(""), EDIT_DROP, false },
    { IN_BASIC | IN_STRICT, SPAN_INIT("X-Powered-By"), SPAN_INIT(""), EDIT_DROP, false },
    { IN_BASIC | IN_STRICT, SPAN_INIT("X-AspNet-Version"), SPAN_INIT(""), EDIT_DROP, false },
    { IN_BASIC | IN_STRICT, SPAN_INIT("X-AspNetMvc-Version"), SPAN_INIT(""), EDIT_DROP, false },
};

static const struct choice preset_choices[] = {
    { "strict", PRESET_STRICT,
      "HSTS over https, nosniff, no framing, and tight policies for referrer, permissions and "
      "windows." },
    { "basic", PRESET_BASIC,
      "nosniff, framing by the site itself only, and a referrer policy." },
    { "off", PRESET_OFF, "Only what is set, added and removed by name." },
    { NULL, 0, NULL },
};

static const struct option field_options[] = {
    OPTION(struct field_row, value, OPT_TEXT, .flags = OPTION_SHORTHAND | OPTION_REQUIRED,
           .help = "The field's value."),
    OPTIONS_END,
};

static const struct option headers_options[] = {
    OPTION(struct headers_conf, preset, OPT_ENUM, .flags = OPTION_SHORTHAND,
           .fallback = "strict", .choices = preset_choices,
           .help =
               "Security fields to fill in, and fields that name the software to hide. Where "
               "the application sends a policy of its own, that one stands."),
    OPTION(struct headers_conf, set, OPT_MAP, .options = field_options,
           .item_size = sizeof(struct field_row), .max = FIELDS_MAX,
           .help = "Fields to send in place of the application's.",
           .example = "{X-Robots-Tag: noindex}"),
    OPTION(struct headers_conf, add, OPT_MAP, .options = field_options,
           .item_size = sizeof(struct field_row), .max = FIELDS_MAX,
           .help = "Fields to send beside the application's."),
    OPTION(struct headers_conf, remove, OPT_TEXTS, .max = FIELDS_MAX,
           .help = "Fields of the application not to send.", .example = "[X-Runtime]"),
    OPTION(struct headers_conf, csp, OPT_TEXT,
           .help = "Content-Security-Policy, in place of the application's and the preset's.",
           .example = "\"default-src 'self'\""),
    OPTIONS_END,
};

/* ---- at load ------------------------------------------------------------------------------
 */

/* RFC 9110 section 5.6.2. */
static bool is_token(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.p[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') &&
            (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return name.len > 0 && name.len <= 128;
}

/* What ends a message or a connection has one author, the writer. */
static bool name_valid(struct span name)
{
    if (!is_token(name))
        return false;
    enum field_id id = field_id_of(name);
    return (field_flags(id) & FIELD_HOP) == 0 && id != FIELD_CONTENT_LENGTH && id != FIELD_HOST;
}

static bool value_valid(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return value.len <= VALUE_BYTES_MAX && span_trim(value).len == value.len;
}

static bool prepare(struct headers_conf *conf, struct setup *setup, enum edit_kind kind,
                    struct span name, struct span value)
{
    struct ready_edit *edit = &conf->plain.items[conf->plain.count];
    if (!name_valid(name)) {
        complain(setup->complaint, SEVERITY_ERROR, "\"%.*s\" is no field that can be changed",
                 (int)name.len, name.p);
        return false;
    }
    if (!value_valid(value) || !edit_make(edit, kind, name, value)) {
        complain(
            setup->complaint, SEVERITY_ERROR,
            "the value of %.*s has a control character, white space around it, or more than "
            "8192 bytes",
            (int)name.len, name.p);
        return false;
    }
    conf->https.items[conf->https.count++] = *edit;
    conf->plain.count++;
    return true;
}

static bool named(const struct headers_conf *conf, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal_nocase(conf->plain.items[i].field.name, name))
            return true;
    return false;
}

static bool prepare_rows(struct headers_conf *conf, struct setup *setup, enum edit_kind kind,
                         const struct list *rows)
{
    const struct field_row *items = rows->items;
    bool good = true;
    for (size_t i = 0; i < rows->count; i++)
        good &= prepare(conf, setup, kind, items[i].item.key, items[i].value);
    return good;
}

/* `by_name`: so many stand there by name, and go before the preset's word. */
static void prepare_preset(struct headers_conf *conf, size_t by_name)
{
    for (size_t i = 0; i < ARRAY_LEN(preset_rows); i++) {
        const struct preset_row *row = &preset_rows[i];
        struct ready_edit edit;
        if ((row->in >> conf->preset & 1) == 0 || named(conf, by_name, row->name))
            continue;
        INVARIANT(edit_make(&edit, row->kind, row->name, row->value));
        conf->https.items[conf->https.count++] = edit;
        if (!row->https_only)
            conf->plain.items[conf->plain.count++] = edit;
    }
}

static enum err open_headers(void *base, struct setup *setup)
{
    struct headers_conf *conf = base;
    size_t most =
        conf->set.count + conf->add.count + conf->remove.count + 1 + ARRAY_LEN(preset_rows);
    conf->plain = (struct ready){ arena_array(setup->arena, struct ready_edit, most), 0 };
    conf->https = (struct ready){ arena_array(setup->arena, struct ready_edit, most), 0 };
    if (conf->plain.items == NULL || conf->https.items == NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "out of memory");
        return ERR_CONFIG;
    }

    bool good = true;
    for (size_t i = 0; i < conf->remove.count; i++)
        good &= prepare(conf, setup, EDIT_DROP, conf->remove.items[i], SPAN(""));
    good &= prepare_rows(conf, setup, EDIT_SET, &conf->set);
    if (conf->csp.len > 0)
        good &= prepare(conf, setup, EDIT_SET, SPAN("Content-Security-Policy"), conf->csp);
    size_t by_name = conf->plain.count; /* an added field stands beside the preset's */
    good &= prepare_rows(conf, setup, EDIT_ADD, &conf->add);
    prepare_preset(conf, by_name);
    return good ? OK : ERR_CONFIG;
}

static bool headers_idle(const void *base)
{
    const struct headers_conf *conf = base;
    return conf->preset == PRESET_OFF && conf->set.count == 0 && conf->add.count == 0 &&
           conf->remove.count == 0 && conf->csp.len == 0;
}

/* ---- on the request path ------------------------------------------------------------------
 */

static struct verdict headers_response(struct call *c)
{
    const struct headers_conf *conf = c->conf;
    bool https = c->req != NULL && span_equal(c->req->scheme, SPAN("https"));
    const struct ready *ready = https ? &conf->https : &conf->plain;
    if (!edits_propose(c->txn, EDIT_RESPONSE, ready->items, ready->count))
        return fail(REASON_MEMORY);
    return pass();
}

const struct stage_type headers_stage = {
    .name = "headers",
    .summary = "Adds security fields to answers, and hides what names the software.",
    .options = headers_options,
    .conf_size = sizeof(struct headers_conf),
    .open = open_headers,
    .idle = headers_idle,
    .on = { [PHASE_RESPONSE_HEAD] = headers_response },
};
