/* One stage under the real chain. */
#include "tests/unit/stage_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/unit/check.h"

enum { KIT_ARENA = 64 << 20, KIT_LISTS = 16, KIT_TURNS = 2000 };

static struct kit *running; /* the chain's callback has no owner of its own */

static void *kit_shared(struct setup *setup, const char *name, uint32_t layout, size_t size)
{
    struct kit *kit = setup->shared_owner;
    (void)layout;
    for (unsigned i = 0; i < KIT_REGIONS; i++) {
        if (kit->regions[i].name == NULL) {
            kit->regions[i].name = name;
            kit->regions[i].size = size;
            kit->regions[i].memory =
                mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        }
        if (strcmp(kit->regions[i].name, name) == 0)
            return kit->regions[i].memory;
    }
    return NULL;
}

void kit_open(struct kit *kit, const struct stage_type *type)
{
    static const uint8_t boot_key[32] = "a key that is the same each time";
    memset(kit, 0, sizeof(*kit));
    arena_init(&kit->config_arena, NULL, 0, NULL, KIT_ARENA);
    arena_init(&kit->txn_arena, NULL, 0, NULL, KIT_ARENA);
    diags_init(&kit->diags, &kit->config_arena);
    kit->schema = (struct schema){ .arena = &kit->config_arena, .diags = &kit->diags };
    kit->complaint = (struct complaint){ .schema = &kit->schema, .option = type->name };
    assert_int_equal(loop_init(&kit->worker.loop), OK);
    slab_pool_init(&kit->worker.slabs, 4, 64);
    uuid_source_init(&kit->worker.uuids);
    assert_int_equal(snapshots_init(&kit->snapshots, &kit->config_arena, KIT_LISTS), OK);
    kit->worker.snapshots = &kit->snapshots;
    kit->worker.config = &kit->config;
    kit->config.arena = &kit->config_arena;
    kit->config.lists = arena_array(&kit->config_arena, struct list_conf, KIT_LISTS);
    kit->config.instances = &kit->instance;
    kit->config.instance_count = 1;
    memcpy(kit->config.boot_key, boot_key, sizeof(boot_key));
    kit->site = (struct site){ .name = "shop", .routes = &kit->route, .route_count = 1 };
    kit->route = (struct route){ .name = "default", .site = &kit->site };
    kit->common.deadline.ms = 30 * 1000;
    kit->instance = (struct stage_instance){ .type = type, .common = &kit->common };
    kit->setup = (struct setup){ .arena = &kit->config_arena,
                                 .config = &kit->config,
                                 .complaint = &kit->complaint,
                                 .site = "shop",
                                 .shared = kit_shared,
                                 .shared_owner = kit,
                                 .boot_key = kit->config.boot_key };
}

void kit_close(struct kit *kit)
{
    if (kit->began)
        txn_abort(&kit->txn);
    if (kit->attached)
        chain_detach(&kit->worker, &kit->config);
    if (kit->instance.type->close != NULL && kit->instance.conf != NULL)
        kit->instance.type->close((void *)(uintptr_t)kit->instance.conf);
    for (unsigned i = 0; i < KIT_REGIONS; i++)
        if (kit->regions[i].memory != NULL)
            munmap(kit->regions[i].memory, kit->regions[i].size);
    loop_close(&kit->worker.loop);
    arena_reset(&kit->txn_arena);
    arena_reset(&kit->config_arena);
    slab_pool_close(&kit->worker.slabs);
}

void kit_list(struct kit *kit, const char *name, struct span block)
{
    uint32_t id = (uint32_t)kit->config.list_count++;
    assert_true(id < KIT_LISTS);
    kit->config.lists[id].name = span_text(name);
    snapshot_initial(&kit->snapshots, id, block);
}

bool kit_configure(struct kit *kit, const char *yaml, const void *parent)
{
    const struct stage_type *type = kit->instance.type;
    struct text text = text_growing(&kit->config_arena, 256);
    text_lit(&text, "stage: ");
    text_add(&text, span_text(yaml));
    text_lit(&text, "\n");
    void *conf = arena_zero(&kit->config_arena, 1, type->conf_size);
    if (parent != NULL)
        memcpy(conf, parent, type->conf_size);
    else
        schema_defaults(&kit->schema, type->options, conf);

    unsigned errors = kit->diags.errors;
    struct node *root =
        yaml_load_text(text_span(&text), "test.yaml", &kit->config_arena, &kit->diags);
    if (root == NULL)
        fail_msg("%s is no YAML", yaml);
    struct section sections[] = { { type->options, conf },
                                  { stage_common_options, &kit->common } };
    struct node *node = node_child(root, SPAN("stage"));
    schema_apply(&kit->schema, node,
                 &(struct shape){ .what = type->name,
                                  .sections = sections,
                                  .count = ARRAY_LEN(sections),
                                  .complete = true });
    if (kit->diags.errors != errors)
        return false;
    kit->instance.conf = conf;
    kit->instance.mode = (enum mode)kit->common.mode;
    enum err err = type->open != NULL ? type->open(conf, &kit->setup) : OK;
    assert_int_equal(err != OK,
                     kit->diags.errors != errors); /* an error is always complained */
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        kit->route.chain[phase] = &kit->instance;
        kit->route.chain_count[phase] = type->on[phase] != NULL;
    }
    kit->route.state_size = (uint32_t)type->state_size;
    return err == OK;
}

const char *kit_complaint(const struct kit *kit)
{
    if (kit->diags.count == 0)
        return "";
    return arena_cstring((struct arena *)(uintptr_t)&kit->config_arena,
                         kit->diags.items[kit->diags.count - 1].message);
}

void kit_attach(struct kit *kit)
{
    assert_int_equal(chain_attach(&kit->worker, &kit->config), OK);
    kit->attached = true;
}

void kit_begin(struct kit *kit)
{
    if (kit->began)
        txn_abort(&kit->txn);
    arena_reset(&kit->txn_arena);
    kit->began = true;
    memset(&kit->req, 0, sizeof(kit->req));
    memset(&kit->rsp, 0, sizeof(kit->rsp));
    kit->req.method = SPAN("GET");
    kit->req.method_id = METHOD_GET;
    kit->req.path = kit->req.path_wire = kit->req.target = SPAN("/");
    kit->req.scheme = SPAN("http");
    kit->req.host = SPAN("example.org");
    assert_int_equal(fields_init(&kit->req.fields, &kit->txn_arena, 8), OK);
    assert_int_equal(fields_init(&kit->rsp.fields, &kit->txn_arena, 8), OK);
    kit->rsp.status = 200;
    kit->body = SPAN("");
    txn_init(&kit->txn, &kit->worker, &kit->txn_arena, &kit->req);
    kit->txn.site = &kit->site;
    kit->txn.route = &kit->route;
    kit->txn.rsp = &kit->rsp;
    kit_client(kit, "192.0.2.1");
}

void kit_field(struct kit *kit, const char *name, const char *value)
{
    assert_int_equal(
        fields_add(&kit->req.fields, &kit->txn_arena, span_text(name), span_text(value)), OK);
}

void kit_client(struct kit *kit, const char *address)
{
    assert_true(addr_parse(span_text(address), &kit->txn.client));
    kit->txn.peer = kit->txn.client;
}

static void note_verdict(struct txn *txn, struct verdict verdict)
{
    assert_ptr_equal(txn, &running->txn);
    running->done = true;
    running->verdict = verdict;
}

void kit_start(struct kit *kit, enum phase phase)
{
    running = kit;
    kit->done = false;
    chain_start(&kit->txn, phase, kit->body, note_verdict);
}

struct verdict kit_run(struct kit *kit, enum phase phase)
{
    kit_start(kit, phase);
    for (unsigned i = 0; !kit->done && i < KIT_TURNS; i++)
        loop_turn(&kit->worker.loop, 50);
    assert_true(kit->done);
    return kit->verdict;
}

struct verdict kit_ask(struct kit *kit)
{
    kit_begin(kit);
    return kit_run(kit, PHASE_REQUEST_HEAD);
}

struct span kit_reply_field(const struct verdict *verdict, const char *name)
{
    for (unsigned i = 0; verdict->reply != NULL && i < verdict->reply->field_count; i++)
        if (span_equal_nocase(verdict->reply->fields[i].name, span_text(name)))
            return verdict->reply->fields[i].value;
    return SPAN("");
}
