/*
 * The stages of a level and of a route: options inherited, opened once per place in the file
 * that says something about them, and flattened into a chain per phase. And the routes of the
 * pages that stages answer themselves, below /.sallyport/.
 */
#include "gateway/load_site.h"

#include "gateway/http/chars.h"
#include "gateway/stages.h"

enum { PAGE_NAME_MAX = 32 };

void *load_need(struct site_load *sl, void *p)
{
    if (p == NULL)
        diag_add(sl->load->diags, SEVERITY_ERROR, DIAG_LIMIT, (struct place){ 0 },
                 SPAN("out of memory"), SPAN(""));
    return p;
}

struct complaint load_complaint(struct site_load *sl, struct place place, const char *option)
{
    return (struct complaint){ .schema = &sl->schema, .place = place, .option = option };
}

/* ---- levels ---- */

struct stage_slot *load_slot(struct site_load *sl, const struct stage_type *type,
                             const struct stage_slot *parent)
{
    struct arena *arena = sl->load->arena;
    struct stage_slot *slot = load_need(sl, arena_new(arena, struct stage_slot));

    if (slot == NULL)
        return NULL;
    if (parent != NULL)
        *slot = *parent;
    slot->opened = NULL;
    slot->raw = load_need(sl, arena_zero(arena, 1, type->conf_size + 1));
    if (slot->raw == NULL)
        return NULL;
    if (parent != NULL) {
        memcpy(slot->raw, parent->raw, type->conf_size);
        return slot;
    }
    schema_defaults(&sl->schema, type->options, slot->raw);
    schema_defaults(&sl->schema, stage_common_options, &slot->common);
    return slot;
}

void load_stages(struct site_load *sl, const struct node *node, struct level *level,
                 const char *site, const char *route)
{
    for (size_t i = 0; stages[i] != NULL; i++) {
        const struct stage_type *type = stages[i];
        const struct node *child = node_child(node, span_text(type->name));
        if (child == NULL || type->with != NULL)
            continue;
        struct stage_slot *slot = load_slot(sl, type, level->slots[i]);
        if (slot == NULL)
            return;
        struct section sections[] = { { type->options, slot->raw },
                                      { stage_common_rows(type), &slot->common } };
        slot->place = child->place;
        slot->site = site;
        slot->route = route;
        schema_apply(
            &sl->schema, child,
            &(struct shape){
                .what = type->name, .sections = sections, .count = 2, .complete = true });
        level->slots[i] = slot;
    }
}

/* ---- opening ---- */

static void close_stage(void *opened)
{
    const struct stage_instance *instance = opened;
    instance->type->close((void *)(uintptr_t)instance->conf);
}

static bool open_slot(struct site_load *sl, const struct stage_type *type,
                      struct stage_slot *slot)
{
    struct config *config = sl->config;

    if (slot->opened != NULL)
        return true;
    void *conf = load_need(sl, arena_zero(sl->load->arena, 1, type->conf_size + 1));
    if (conf == NULL)
        return false;
    memcpy(conf, slot->raw, type->conf_size);
    slot->opened = conf;
    struct complaint complaint = load_complaint(sl, slot->place, type->name);
    struct setup setup = {
        .arena = sl->load->arena,
        .config = config,
        .complaint = &complaint,
        .site = slot->site,
        .route = slot->route,
        .shared = sl->load->shared,
        .shared_owner = sl->load->shared_owner,
        .progress = sl->load->progress,
        .boot_key = config->boot_key,
        .outline = sl->load->outline,
    };
    unsigned errors = sl->load->diags->errors;
    if (type->open != NULL && type->open(conf, &setup) != OK &&
        sl->load->diags->errors == errors)
        complain(&complaint, SEVERITY_ERROR, "%s cannot be set up", type->name);
    INVARIANT(config->instance_count < sl->instance_max);
    slot->local = (unsigned)config->instance_count;
    config->instances[config->instance_count++] =
        (struct stage_instance){ .type = type, .conf = conf, .local = slot->local };
    if (type->close != NULL &&
        !arena_defer(sl->load->arena, close_stage, &config->instances[slot->local]))
        return load_need(sl, NULL) != NULL;
    return true;
}

static int least_strict(int a, int b)
{
    return a > b ? a : b;
}

static void hold_response(struct route *route, const struct stage_type *type, const void *conf)
{
    uint64_t limit = type->response_limit != NULL ? type->response_limit(conf) : RESPONSE_LIMIT;

    if (!route->holds_response || limit < route->response_limit)
        route->response_limit = limit;
    route->holds_response = true;
    route->response_over_denies |=
        type->response_over_denies != NULL && type->response_over_denies(conf);
}

/* Whoever a route of the site has, and answers pages. */
static void note_pages(struct site_load *sl, const struct stage_instance *instance,
                       struct place place)
{
    for (size_t i = 0; i < sl->owner_count; i++) {
        const struct stage_instance *owner = &sl->owners[i].stage;
        if (owner->conf == instance->conf ||
            (owner->type == instance->type && owner->type->pages_alike != NULL &&
             owner->type->pages_alike(owner->conf, instance->conf)))
            return;
    }
    if (sl->owner_count == PAGES_MAX) {
        struct complaint complaint = load_complaint(sl, place, instance->type->name);
        complain(&complaint, SEVERITY_ERROR, "more than %d features of a site have pages",
                 PAGES_MAX);
        return;
    }
    sl->owners[sl->owner_count++] = (struct page_owner){ .stage = *instance, .place = place };
}

/* The slot whose configuration the stage works by: its own, or that of the one it goes with. */
static struct stage_slot *slot_of(const struct level *level, const struct stage_type *type)
{
    const struct stage_type *owner = type->with != NULL ? type->with : type;
    size_t i = 0;

    while (stages[i] != owner)
        INVARIANT(stages[i++] != NULL);
    return level->slots[i];
}

/* Adds the stage to the route's phases, unless it is off or has nothing to do. */
static void add_stage(struct site_load *sl, struct route *route, const struct level *level,
                      size_t i)
{
    const struct stage_type *type = stages[i];
    struct stage_slot *slot = slot_of(level, type);
    if (slot == NULL)
        return;
    int mode = least_strict(least_strict(sl->config->server.mode, level->settings.mode),
                            slot->common.mode);

    if (mode == MODE_OFF || !open_slot(sl, type->with != NULL ? type->with : type, slot) ||
        (type->idle != NULL && type->idle(slot->opened)))
        return;
    struct stage_instance instance = {
        .type = type,
        .conf = slot->opened,
        .common = &slot->common,
        .mode = (enum mode)mode,
        .local = slot->local,
        .state_offset = route->state_size,
        .source = slot->place.source,
        .line = slot->place.line,
    };
    route->state_size += (uint32_t)((type->state_size + 15) & ~(size_t)15);
    if (type->on[PHASE_PAGE] != NULL)
        note_pages(sl, &instance, slot->place);
    bool wants_body = type->wants_body != NULL && type->wants_body(slot->opened);
    bool wants_response = type->wants_response != NULL && type->wants_response(slot->opened);
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        if (type->on[phase] == NULL || phase == PHASE_CONNECT || phase == PHASE_PAGE ||
            (phase == PHASE_REQUEST_BODY && !wants_body) ||
            (phase == PHASE_RESPONSE_BODY && !wants_response))
            continue;
        route->chain[phase][route->chain_count[phase]++] = instance;
    }
    if (wants_response)
        hold_response(route, type, slot->opened);
    if (!wants_body)
        return;
    route->holds_body = true;
    uint64_t limit =
        type->body_limit != NULL ? type->body_limit(slot->opened) : route->body_max;
    route->body_limit = limit < route->body_limit ? limit : route->body_limit;
}

void load_chain(struct site_load *sl, struct route *route, const struct level *level, bool page)
{
    size_t count = 0;

    while (stages[count] != NULL)
        count++;
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        route->chain[phase] =
            load_need(sl, arena_array(sl->load->arena, struct stage_instance, count + 1));
        if (route->chain[phase] == NULL)
            return;
    }
    route->body_max = route->body_limit = sl->config->server.limits.body;
    for (size_t i = 0; i < count; i++) {
        if (!(page && stages[i]->gate))
            add_stage(sl, route, level, i);
    }
}

/* ---- pages ---- */

static bool page_name_usable(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return name.len <= PAGE_NAME_MAX;
}

static bool page_taken(const struct site *site, struct span path)
{
    for (size_t i = 0; i < site->route_count && site->routes[i].handler == HANDLER_INTERNAL;
         i++) {
        if (span_equal(site->routes[i].path.prefix, path))
            return true;
    }
    return false;
}

/*
 * The page is answered whatever the mode and `unless` of its stage: those are about the
 * requests that the stage judges. A failure is never a pass.
 */
static bool add_page_stage(struct site_load *sl, struct route *route,
                           const struct page_owner *owner)
{
    struct stage_common *common =
        load_need(sl, arena_new(sl->load->arena, struct stage_common));

    if (common == NULL)
        return false;
    *common = *owner->stage.common;
    common->on_error = ON_ERROR_DENY;
    common->unless = NULL;
    struct stage_instance instance = owner->stage;
    instance.common = common;
    instance.mode = MODE_BLOCK;
    instance.state_offset = route->state_size;
    route->state_size += (uint32_t)((instance.type->state_size + 15) & ~(size_t)15);
    route->chain[PHASE_PAGE][route->chain_count[PHASE_PAGE]++] = instance;
    return true;
}

static void add_page(struct site_load *sl, struct site *site, const struct level *level,
                     const struct page_owner *owner, struct span name)
{
    const struct stage_type *type = owner->stage.type;
    struct complaint complaint = load_complaint(sl, owner->place, type->name);
    struct text text = text_growing(sl->load->arena, sizeof PAGE_PREFIX + PAGE_NAME_MAX + 4);

    if (!page_name_usable(name)) {
        complain(&complaint, SEVERITY_ERROR,
                 "a page's name has at most %d small letters, digits and \"-\"", PAGE_NAME_MAX);
        return;
    }
    text_lit(&text, PAGE_PREFIX);
    text_add(&text, name);
    if (page_taken(site, text_span(&text))) {
        complain(&complaint, SEVERITY_ERROR, "two features of the site have a page \"%.*s\"",
                 (int)text.len, text.p);
        return;
    }
    text_lit(&text, "/**");
    if (site->routes == site->room) {
        complain(&complaint, SEVERITY_ERROR, "the features of a site have more than %d pages",
                 PAGES_MAX);
        return;
    }
    if (load_need(sl, text.overflow ? NULL : text.p) == NULL)
        return;
    struct route *route = --site->routes;
    site->route_count++;
    *route = (struct route){ .site = site, .handler = HANDLER_INTERNAL };
    bool parsed = path_pattern_parse(text_span(&text), &route->path);
    INVARIANT(parsed);
    route->name = text_cstring(&text);
    load_chain(sl, route, level, true);
    if (!add_page_stage(sl, route, owner))
        return;
    route->body_max = type->page_body != NULL ? type->page_body(owner->stage.conf) : 0;
    if (route->body_limit > route->body_max)
        route->body_limit = route->body_max;
    route->holds_body = true;
}

void load_pages(struct site_load *sl, struct site *site, const struct level *level)
{
    for (size_t i = 0; i < sl->owner_count; i++) {
        const struct page_owner *owner = &sl->owners[i];
        INVARIANT(owner->stage.type->page != NULL);
        struct span name;
        for (unsigned n = 0; n <= PAGES_MAX; n++) {
            name = owner->stage.type->page(owner->stage.conf, n);
            if (name.len == 0)
                break;
            add_page(sl, site, level, owner, name);
        }
    }
    sl->owner_count = 0;
}

/* ---- connections ---- */

static const struct stage_type *connect_stage(struct span name)
{
    for (size_t i = 0; stages[i] != NULL; i++) {
        if (stages[i]->on[PHASE_CONNECT] != NULL &&
            span_equal(span_text(stages[i]->name), name))
            return stages[i];
    }
    return NULL;
}

/* In the order of the chain, whatever the file's. */
static void add_connect_stage(struct site_load *sl, const struct stage_type *type,
                              const struct node *node)
{
    struct config *config = sl->config;
    struct stage_slot *slot = load_slot(sl, type, NULL);
    struct complaint complaint = load_complaint(sl, node->place, type->name);

    if (slot == NULL)
        return;
    struct section sections[] = { { type->options, slot->raw },
                                  { stage_common_rows(type), &slot->common } };
    slot->place = node->place;
    schema_apply(&sl->schema, node,
                 &(struct shape){
                     .what = type->name, .sections = sections, .count = 2, .complete = true });
    if (slot->common.mode == MODE_DETECT)
        complain(&complaint, SEVERITY_ERROR,
                 "a connection is refused or it is not: here are only block and off");
    if (slot->common.mode != MODE_BLOCK || config->server.mode != MODE_BLOCK ||
        !open_slot(sl, type, slot) || (type->idle != NULL && type->idle(slot->opened)))
        return;
    config->connect[config->connect_count++] = (struct stage_instance){
        .type = type,
        .conf = slot->opened,
        .common = &slot->common,
        .mode = MODE_BLOCK,
        .local = slot->local,
    };
}

static void check_connect_keys(struct site_load *sl, const struct node *node)
{
    for (const struct node *child = node->child; child != NULL; child = child->next) {
        if (connect_stage(child->key->text) != NULL)
            continue;
        struct complaint complaint = load_complaint(sl, child->key->place, "connect");
        complain(&complaint, SEVERITY_ERROR,
                 "nothing named \"%.*s\" is asked about connections", (int)child->key->text.len,
                 child->key->text.p);
    }
}

void load_connect(struct site_load *sl, const struct node *node)
{
    struct config *config = sl->config;
    size_t count = 0;

    if (node == NULL)
        return;
    if (node->kind != NODE_MAP) {
        struct complaint complaint = load_complaint(sl, node->place, "connect");
        complain(&complaint, SEVERITY_ERROR,
                 "connect is a mapping, such as connect: {deny: ...}");
        return;
    }
    check_connect_keys(sl, node);
    while (stages[count] != NULL)
        count++;
    config->connect =
        load_need(sl, arena_array(sl->load->arena, struct stage_instance, count + 1));
    for (size_t i = 0; i < count && config->connect != NULL; i++) {
        const struct node *child = node_child(node, span_text(stages[i]->name));
        if (child != NULL && stages[i]->on[PHASE_CONNECT] != NULL)
            add_connect_stage(sl, stages[i], child);
    }
}
