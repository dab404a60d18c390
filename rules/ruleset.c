/* The rules of a stage `waf`. */
#include "rules/ruleset.h"

#include <sys/stat.h>
#include <time.h>

#include "conf/schema.h"
#include "conf/source.h"
#include "gateway/base/log.h"
#include "gateway/chain/config.h"
#include "rules/engine/build.h"
#include "rules/exclusion.h"
#include "rules/own/translate.h"
#include "rules/pack.h"

enum { SOURCES_MAX = 64 };

/* Where Debian's package modsecurity-crs puts things. */
#define DEBIAN_RULES "/usr/share/modsecurity-crs/rules"
#define DEBIAN_SETUP "/etc/modsecurity/crs/crs-setup.conf"
#define DEBIAN_BEFORE "/etc/modsecurity/crs/REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf"
#define DEBIAN_AFTER "/etc/modsecurity/crs/RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf"

struct sources {
    struct seclang_source items[SOURCES_MAX];
    size_t count;
    struct setup *setup;
    struct text before, behind; /* exclusions */
    bool failed;
};

/* ---- files ----------------------------------------------------------------------------------
 */

static enum { NOTHING, FILE_THERE, FOLDER_THERE } look(const char *path)
{
    struct stat stat_buffer;
    if (stat(path, &stat_buffer) != 0)
        return NOTHING;
    return S_ISDIR(stat_buffer.st_mode) ? FOLDER_THERE : FILE_THERE;
}

static void add(struct sources *sources, struct span path, struct span text)
{
    if (path.p == NULL) {
        sources->failed = true;
        return;
    }
    if (sources->count == SOURCES_MAX) {
        complain(sources->setup->complaint, SEVERITY_ERROR, "more than %d rule files are named",
                 SOURCES_MAX);
        sources->failed = true;
        return;
    }
    sources->items[sources->count++] = (struct seclang_source){ .path = path, .text = text };
}

static void add_text(struct sources *sources, struct span name, const struct text *text)
{
    if (text->overflow)
        sources->failed = true;
    else if (text->len > 0)
        add(sources, name, text_span(text));
}

static struct span joined(struct sources *sources, struct span folder, const char *rest)
{
    struct text text = text_growing(sources->setup->arena, folder.len + strlen(rest) + 1);
    text_add(&text, folder);
    text_add(&text, span_text(rest));
    return text_cstring(&text) != NULL ? text_span(&text) : (struct span){ 0 };
}

/* A file or glob as it is; of a folder its *.conf files. Relative to the YAML that names it. */
static void add_path(struct sources *sources, struct span path)
{
    struct setup *setup = sources->setup;
    const char *absolute = source_path(setup->complaint->place.source, path, setup->arena);
    struct span none = { 0 };
    if (absolute == NULL) {
        sources->failed = true;
        return;
    }
    if (look(absolute) == FOLDER_THERE)
        add(sources, joined(sources, span_text(absolute), "/*.conf"), none);
    else
        add(sources, span_text(absolute), none);
}

static void add_paths(struct sources *sources, const struct texts *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        add_path(sources, paths->items[i]);
}

static bool add_if_there(struct sources *sources, struct span path)
{
    struct span none = { 0 };
    if (path.p == NULL || look(path.p) != FILE_THERE)
        return false;
    add(sources, path, none);
    return true;
}

static void add_glob_if_folder(struct sources *sources, struct span folder, const char *glob)
{
    struct span none = { 0 };
    if (folder.p != NULL && look(folder.p) == FOLDER_THERE)
        add(sources, joined(sources, folder, glob), none);
}

/* ---- the Core Rule Set ----------------------------------------------------------------------
 */

/* The folder of the rules, absolute. */
static struct span rules_folder(struct sources *sources, const struct ruleset_conf *conf)
{
    struct setup *setup = sources->setup;
    if (conf->crs.path.len == 0)
        return SPAN(DEBIAN_RULES);
    const char *path =
        source_path(setup->complaint->place.source, conf->crs.path, setup->arena);
    return path != NULL ? span_text(path) : (struct span){ 0 };
}

/* Named or found by itself: its setup is in another place. */
static bool is_debians(struct span folder)
{
    while (folder.len > 1 && folder.p[folder.len - 1] == '/')
        folder.len--;
    return span_equal(folder, SPAN(DEBIAN_RULES));
}

static void add_setup(struct sources *sources, const struct ruleset_conf *conf,
                      struct span folder)
{
    if (conf->crs.setup.count > 0) {
        add_paths(sources, &conf->crs.setup);
        return;
    }
    if (is_debians(folder) && add_if_there(sources, SPAN(DEBIAN_SETUP)))
        return;
    if (add_if_there(sources, joined(sources, folder, "/../crs-setup.conf")) ||
        add_if_there(sources, joined(sources, folder, "/../crs-setup.conf.example")))
        return;
    complain(sources->setup->complaint, SEVERITY_ERROR,
             "no crs-setup.conf beside %.*s: name it in crs.setup", (int)folder.len, folder.p);
    sources->failed = true;
}

/* What the YAML says, in the variables of both generations of the set. */
static void add_values(struct sources *sources, const struct ruleset_conf *conf)
{
    static const struct {
        size_t offset;
        const char *names[3];
    } rows[] = {
        { offsetof(struct ruleset_conf, paranoia),
          { "paranoia_level", "blocking_paranoia_level", NULL } },
        { offsetof(struct ruleset_conf, detect_paranoia),
          { "executing_paranoia_level", "detection_paranoia_level", NULL } },
        { offsetof(struct ruleset_conf, inbound), { "inbound_anomaly_score_threshold", NULL } },
        { offsetof(struct ruleset_conf, outbound),
          { "outbound_anomaly_score_threshold", NULL } },
    };
    struct text text = text_growing(sources->setup->arena, 1024);
    bool any = false;
    text_lit(&text, "SecAction \"id:19000001,phase:1,pass,nolog,t:none");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value;
        memcpy(&value, (const char *)conf + rows[i].offset, sizeof(value));
        for (size_t j = 0; value != 0 && rows[i].names[j] != NULL; j++) {
            text_format(&text, ",setvar:tx.%s=", rows[i].names[j]);
            text_int(&text, value);
            any = true;
        }
    }
    text_lit(&text, "\"\n");
    if (!any)
        text.len = 0;
    /* Who did not ask for the set may have an interface behind it that takes more than forms. A
     * setup that says something of methods has the last word. */
    if (conf->found)
        text_lit(&text,
                 "SecRule &TX:allowed_methods \"@eq 0\" \"id:19000002,phase:1,pass,nolog,"
                 "t:none,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS PUT PATCH "
                 "DELETE'\"\n");
    if (text.overflow)
        sources->failed = true;
    else if (text.len > 0)
        add(sources, SPAN("(values of the configuration)"), text_span(&text));
}

static void add_crs(struct sources *sources, const struct ruleset_conf *conf)
{
    struct span folder = rules_folder(sources, conf);
    if (folder.p == NULL || look(folder.p) != FOLDER_THERE) {
        complain(sources->setup->complaint, SEVERITY_ERROR,
                 "there is no folder %.*s with the Core Rule Set: install modsecurity-crs, or "
                 "name it in crs.path",
                 (int)folder.len, folder.p);
        sources->failed = true;
        return;
    }
    struct span plugins = joined(sources, folder, "/../plugins");
    bool debian = is_debians(folder);
    add_setup(sources, conf, folder);
    add_values(sources, conf);
    add_glob_if_folder(sources, plugins, "/*-config.conf");
    if (debian)
        (void)add_if_there(sources, SPAN(DEBIAN_BEFORE));
    add_paths(sources, &conf->seclang.before);
    add_text(sources, SPAN("(exclusions of the configuration)"), &sources->before);
    add_glob_if_folder(sources, plugins, "/*-before.conf");
    add_glob_if_folder(sources, folder, "/*.conf");
    add_glob_if_folder(sources, plugins, "/*-after.conf");
    if (debian)
        (void)add_if_there(sources, SPAN(DEBIAN_AFTER));
}

/* ---- databases ------------------------------------------------------------------------------
 */

static void on_progress(void *owner, unsigned done, unsigned all)
{
    struct setup *setup = owner;
    if (setup->progress != NULL)
        setup->progress(setup, done, all);
}

static void open_maker(struct database_maker *maker, struct setup *setup)
{
    const struct cache_conf *conf = setup->config != NULL ? &setup->config->server.cache : NULL;
    struct cache *cache = NULL;
    if (conf != NULL && conf->mode == 0 && conf->folder.text.len > 0) {
        const char *folder = arena_cstring(setup->arena, conf->folder.text), *why;
        cache = folder != NULL ? cache_open(folder, conf->size, &why) : NULL;
        if (folder != NULL && cache == NULL)
            log_warn("no cache of compiled rules; each start compiles anew",
                     F_TEXT("folder", folder), F_TEXT("why", why));
    }
    database_maker_open(maker, cache);
    maker->progress = on_progress;
    maker->owner = setup;
}

/* ---- all of it ------------------------------------------------------------------------------
 */

static void gather(struct sources *sources, const struct ruleset_conf *conf)
{
    struct setup *setup = sources->setup;
    sources->before = text_growing(setup->arena, 256);
    sources->behind = text_growing(setup->arena, 256);
    exclusions_write(&conf->exclude, (uint64_t)time(NULL), setup->complaint, &sources->before,
                     &sources->behind);
    if (conf->base == RULESET_CRS) {
        add_crs(sources, conf);
    } else {
        add_paths(sources, &conf->seclang.before);
        add_text(sources, SPAN("(exclusions of the configuration)"), &sources->before);
    }
    add_paths(sources, &conf->seclang.after);
    /* Last: they act on the rules before them, those of `after` too. */
    add_text(sources, SPAN("(exclusions of the configuration)"), &sources->behind);
}

static bool collects(const struct sec_program *program)
{
    for (unsigned i = 0; i < program->rule_count; i++) {
        const struct sec_rule *rule = program->rules[i];
        for (unsigned j = 0; j < rule->step_count; j++) {
            enum sec_step_kind kind = rule->steps[j].kind;
            if (kind == STEP_INITCOL || kind == STEP_SETSID || kind == STEP_SETUID ||
                kind == STEP_SETRSC)
                return true;
        }
    }
    return false;
}

static enum err open_store(struct ruleset *set, struct setup *setup)
{
    set->collects = collects(set->program);
    if (!set->collects)
        return OK;
    void *memory =
        setup->shared(setup, "collections", STORE_LAYOUT, sec_store_bytes(STORE_ENTRIES));
    if (memory == NULL)
        return ERR_CONFIG;
    sec_store_over(&set->store, memory, STORE_ENTRIES, setup->boot_key);
    return OK;
}

/* The configuration's rules, and behind them those of the pack. */
static enum err add_own(struct ruleset *set, struct setup *setup, struct text *why)
{
    enum { INBOUND = 5, OUTBOUND = 4 };
    const struct ruleset_conf *conf = &set->conf;
    bool core = conf->base == RULESET_CORE;
    size_t own = conf->rules.count, count = own + (core ? pack_count(pack_core) : 0);
    if (count == 0)
        return OK;
    struct rule_source *rules = arena_array(setup->arena, struct rule_source, count);
    if (rules == NULL)
        return ERR_MEMORY;
    if (own > 0)
        memcpy(rules, conf->rules.items, own * sizeof(*rules));
    if (core)
        TRY(pack_read(pack_core, rules + own, setup->arena));
    struct own_threshold threshold = {
        .inbound = conf->inbound != 0 ? conf->inbound : INBOUND,
        .outbound = conf->outbound != 0 ? conf->outbound : OUTBOUND,
    };
    return own_translate(set->program, rules, count, threshold, setup->arena, why);
}

static enum err load(struct ruleset *set, const struct sources *sources)
{
    struct setup *setup = sources->setup;
    struct seclang_options options = { .unasked = set->conf.found,
                                       .skip_unsupported = set->conf.skip_unsupported };
    char buffer[1024];
    struct text why = text_fixed(buffer, sizeof(buffer));
    TRY(seclang_load(&set->program, sources->items, sources->count, &options, setup->arena,
                     setup->complaint->schema->diags));
    TRY(open_store(set, setup));
    enum err err = add_own(set, setup, &why);
    struct database_maker maker;
    open_maker(&maker, setup);
    if (err == OK)
        err = sec_plan_build_with(&maker, &set->plan, set->program, setup->arena, &why);
    database_maker_close(&maker);
    if (err == ERR_CONFIG)
        complain(setup->complaint, SEVERITY_ERROR, "%.*s", (int)why.len, why.p);
    return err;
}

static bool has_files(const struct ruleset_conf *conf)
{
    return conf->seclang.before.count + conf->seclang.after.count > 0;
}

static bool texts_equal(const struct texts *a, const struct texts *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = span_equal(a->items[i], b->items[i]);
    return equal;
}

bool ruleset_conf_equal(const struct ruleset_conf *a, const struct ruleset_conf *b)
{
    return a->base == b->base && a->found == b->found && a->paranoia == b->paranoia &&
           a->detect_paranoia == b->detect_paranoia && a->inbound == b->inbound &&
           a->outbound == b->outbound && a->skip_unsupported == b->skip_unsupported &&
           span_equal(a->crs.path, b->crs.path) && texts_equal(&a->crs.setup, &b->crs.setup) &&
           texts_equal(&a->seclang.before, &b->seclang.before) &&
           texts_equal(&a->seclang.after, &b->seclang.after) &&
           a->exclude.items == b->exclude.items && a->exclude.count == b->exclude.count &&
           a->rules.items == b->rules.items && a->rules.count == b->rules.count;
}

bool ruleset_conf_empty(const struct ruleset_conf *conf)
{
    return conf->base == RULESET_NONE && conf->rules.count == 0 && !has_files(conf);
}

/* A folder that is named has to be there; Debian's need not. */
struct ruleset_conf ruleset_found(const struct ruleset_conf *conf)
{
    struct ruleset_conf found = *conf;
    found.found = conf->base == RULESET_AUTO;
    if (found.found)
        found.base = conf->crs.path.len > 0 || look(DEBIAN_RULES) == FOLDER_THERE
                         ? RULESET_CRS
                         : RULESET_CORE;
    return found;
}

void ruleset_describe(const struct ruleset *set, struct text *out)
{
    const struct ruleset_conf *conf = &set->conf;
    struct span signature = set->program->settings.component_signature;
    unsigned heads = 0, own = 0;
    for (unsigned i = 0; i < set->program->rule_count; i++) {
        heads += set->program->rules[i]->head == set->program->rules[i];
        own += set->program->rules[i]->own != NULL;
    }
    if (conf->base == RULESET_CRS) {
        text_add(out, signature.len > 0 ? signature : SPAN("OWASP Core Rule Set"));
        text_lit(out, " (");
        text_add(out, conf->crs.path.len > 0 ? conf->crs.path : SPAN(DEBIAN_RULES));
        text_lit(out, ")");
    } else if (conf->base == RULESET_CORE) {
        text_lit(out, "the pack core");
        if (conf->found)
            text_lit(out, " (" DEBIAN_RULES " is not there: install modsecurity-crs)");
        own = (unsigned)conf->rules.count;
    } else {
        text_lit(out, "no rule set");
    }
    text_format(out, ", %u rules, %u of the configuration", heads, own);
}

struct ruleset *ruleset_open(const struct ruleset_conf *conf, struct ruleset *known,
                             struct setup *setup)
{
    if (known != NULL && ruleset_conf_equal(&known->conf, conf)) {
        known->users++;
        return known;
    }
    struct ruleset *set = arena_new(setup->arena, struct ruleset);
    struct sources *sources = arena_new(setup->arena, struct sources);
    if (set == NULL || sources == NULL)
        return NULL;
    set->conf = *conf;
    set->users = 1;
    sources->setup = setup;
    set->seclang = conf->base == RULESET_CRS || has_files(conf);
    if (set->seclang)
        gather(sources, conf);
    if (sources->failed || load(set, sources) != OK) {
        ruleset_close(set);
        return NULL;
    }
    return set;
}

void ruleset_close(struct ruleset *set)
{
    if (set == NULL || --set->users > 0)
        return;
    if (set->plan != NULL)
        sec_plan_free(set->plan);
    if (set->program != NULL)
        seclang_free(set->program);
}
