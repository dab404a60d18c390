/*
 * Fields of the request on its way to upstream: set, added, removed, with parts of the request
 * in their values. A name stands for all its aliases (X_User, x.user). A field that is set is
 * the gateway's word on the whole site: routes without it drop a client's own copy, too.
 */
#include "auth/reqfields.h"

#include "conf/schema.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/template.h"
#include "gateway/chain/txn.h"
#include "gateway/http/chars.h"
#include "gateway/http/fields.h"

enum { FIELDS_MAX = 64 };

struct row {
    struct map_item item;
    struct span value;
};

struct change {
    struct span name;
    struct template value;
    enum edit_kind kind;
};

struct reqfields_conf {
    struct list set, add; /* of struct row */
    struct texts remove;
    struct change *changes;
    size_t count;
};

static const struct option row_options[] = {
    OPTION(struct row, value, OPT_TEXT, .flags = OPTION_SHORTHAND | OPTION_REQUIRED,
           .help =
               "Its value. Knows {path} {query} {host} {port} {scheme} {method} {client.ip} "
               "{id} {site}."),
    OPTIONS_END,
};

static const struct option reqfields_options[] = {
    OPTION(struct reqfields_conf, set, OPT_MAP, .options = row_options,
           .item_size = sizeof(struct row), .max = FIELDS_MAX,
           .example = "{X-Site: \"{site}\"}",
           .help = "Fields in place of the client's; on other routes of the site the client's "
                   "are dropped."),
    OPTION(struct reqfields_conf, add, OPT_MAP, .options = row_options,
           .item_size = sizeof(struct row), .max = FIELDS_MAX,
           .help = "Fields beside the client's."),
    OPTION(struct reqfields_conf, remove, OPT_TEXTS, .max = FIELDS_MAX,
           .help = "Fields of the client that upstream does not get."),
    OPTIONS_END,
};

static bool name_valid(struct span name)
{
    enum field_id id = field_id_of(name);

    return span_all(name, CHAR_TOKEN) && (field_flags(id) & FIELD_HOP) == 0 &&
           id != FIELD_CONTENT_LENGTH && id != FIELD_HOST;
}

static bool push(struct reqfields_conf *conf, struct setup *setup, enum edit_kind kind,
                 struct span name, struct span value)
{
    struct change *change = &conf->changes[conf->count++];
    const char *why = NULL;

    *change = (struct change){ .name = name, .kind = kind };
    if (!name_valid(name)) {
        complain(setup->complaint, SEVERITY_ERROR, "\"%.*s\" is no field that can be changed",
                 (int)name.len, name.p);
        return false;
    }
    if (value.len > 0 && scan_value(value.p, span_end(value)) != span_end(value))
        why = "a value has no control characters";
    else if (template_parse(&change->value, value, setup->arena, &why)) {
        if (change->value.groups == 0)
            return kind != EDIT_SET || lend_field(setup, name);
        why = "groups of a path are for rewrite and redirect";
    }
    complain(setup->complaint, SEVERITY_ERROR, "%.*s: %s", (int)name.len, name.p, why);
    return false;
}

static bool push_rows(struct reqfields_conf *conf, struct setup *setup, enum edit_kind kind,
                      const struct list *list)
{
    const struct row *rows = list->items;
    bool good = true;

    for (size_t i = 0; i < list->count; i++)
        good &= push(conf, setup, kind, rows[i].item.key, rows[i].value);
    return good;
}

static enum err open_reqfields(void *base, struct setup *setup)
{
    struct reqfields_conf *conf = base;
    size_t most = conf->set.count + conf->add.count + conf->remove.count;

    conf->count = 0;
    conf->changes = arena_array(setup->arena, struct change, most + 1);
    if (conf->changes == NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "out of memory");
        return ERR_CONFIG;
    }
    bool good = true;
    for (size_t i = 0; i < conf->remove.count; i++)
        good &= push(conf, setup, EDIT_DROP, conf->remove.items[i], SPAN(""));
    good &= push_rows(conf, setup, EDIT_SET, &conf->set);
    good &= push_rows(conf, setup, EDIT_ADD, &conf->add);
    return good ? OK : ERR_CONFIG;
}

static bool reqfields_idle(const void *base)
{
    const struct reqfields_conf *conf = base;

    return conf->set.count + conf->add.count + conf->remove.count == 0;
}

static struct verdict change_fields(struct call *c)
{
    const struct reqfields_conf *conf = c->conf;

    for (size_t i = 0; i < conf->count; i++) {
        const struct change *change = &conf->changes[i];
        struct span value = SPAN("");
        if (change->kind != EDIT_DROP)
            value = template_render(&change->value, c->txn);
        if (value.p == NULL ||
            !edit_field(c->txn, EDIT_REQUEST, change->kind, change->name, value))
            return fail(REASON_MEMORY);
    }
    return pass();
}

const struct stage_type request_headers_stage = {
    .name = "request_headers",
    .summary = "Sets, adds and removes fields of the request before upstream gets it.",
    .options = reqfields_options,
    .conf_size = sizeof(struct reqfields_conf),
    .open = open_reqfields,
    .idle = reqfields_idle,
    .on = { [PHASE_REQUEST_HEAD] = change_fields },
};
