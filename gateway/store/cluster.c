/* Nodes, slots, and the questions about them. */
#include "gateway/store/cluster.h"

#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/net/channel.h"
#include "gateway/store/topology.h"

enum { NS_PER_MS = 1000000 };

struct node {
    struct redis *redis; /* made before the sandbox closes; at rest while `used` is not set */
    bool used;
    bool holds; /* some slot, by the last map */
};

struct cluster {
    struct worker *worker;
    const struct redis_server *seeds;
    struct redis_server server; /* the same, with no address of its own */
    struct node nodes[CLUSTER_NODES_MAX];
    uint8_t owner[CLUSTER_SLOTS];
    uint64_t since_ns[CLUSTER_SLOTS];
    struct timer timer;
    struct task renew; /* takes `map`, not inside of the node's own answer */
    struct redis_call call;
    unsigned asked;    /* node of the question under way */
    unsigned restless; /* questions since all was well */
    bool asking, doubt, told, known;
    uint64_t renewed_ns;
    unsigned seed; /* the next one to try */
    struct slot_map map;
};

static uint64_t now_ns(const struct cluster *cluster)
{
    return cluster->worker->loop.clock.mono_ns;
}

/* ---- nodes ---- */

static bool same_place(const struct addr *a, const struct addr *b)
{
    return addr_equal(a, b) && a->port == b->port;
}

static unsigned find_node(struct cluster *cluster, const struct addr *addr)
{
    unsigned vacant = CLUSTER_NODES_MAX;
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->used && same_place(redis_addr(node->redis), addr))
            return i;
        if (!node->used && vacant == CLUSTER_NODES_MAX)
            vacant = i;
    }
    if (vacant == CLUSTER_NODES_MAX)
        return SLOT_NOBODY;
    cluster->nodes[vacant].used = true;
    cluster->nodes[vacant].holds = false;
    redis_point(cluster->nodes[vacant].redis, addr);
    return vacant;
}

/* Those that hold nothing any more. */
static void rest_idle_nodes(struct cluster *cluster)
{
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++) {
        struct node *node = &cluster->nodes[i];
        if (!node->used || node->holds)
            continue;
        node->used = false;
        redis_rest(node->redis);
    }
}

static void give(struct cluster *cluster, unsigned slot, unsigned node)
{
    uint8_t before = cluster->owner[slot];
    if (before == node)
        return;
    if (cluster->known)
        cluster->since_ns[slot] = now_ns(cluster);
    cluster->owner[slot] = (uint8_t)node;
}

/* ---- the map ---- */

static void take_map(struct cluster *cluster, const struct slot_map *map)
{
    uint8_t index[CLUSTER_NODES_MAX];
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        cluster->nodes[i].holds = false;
    /* Who is known first, so that a full table has room for who is new. */
    for (unsigned i = 0; i < map->node_count; i++)
        for (unsigned n = 0; n < CLUSTER_NODES_MAX; n++)
            if (cluster->nodes[n].used &&
                same_place(redis_addr(cluster->nodes[n].redis), &map->nodes[i]))
                cluster->nodes[n].holds = true;
    rest_idle_nodes(cluster);
    for (unsigned i = 0; i < map->node_count; i++) {
        unsigned node = find_node(cluster, &map->nodes[i]);
        index[i] = (uint8_t)node;
        if (node != SLOT_NOBODY)
            cluster->nodes[node].holds = true;
    }
    for (unsigned slot = 0; slot < CLUSTER_SLOTS; slot++) {
        uint8_t owner = map->owner[slot];
        give(cluster, slot, owner != SLOT_NOBODY ? index[owner] : SLOT_NOBODY);
    }
    cluster->known = true;
}

static void on_renew(struct task *task)
{
    struct cluster *cluster = CONTAINER(task, struct cluster, renew);
    take_map(cluster, &cluster->map);
    worker_flush(cluster->worker);
}

static void on_map(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct cluster *cluster = CONTAINER(call, struct cluster, call);
    struct node *node = &cluster->nodes[cluster->asked];
    cluster->asking = false;
    if (err != OK || !node->used)
        return;
    const struct addr self = *redis_addr(node->redis);
    if (!slot_map_read(value, &self, &cluster->map)) {
        if (!cluster->told)
            log_warn("the store tells no map of a Cluster; deciding locally",
                     F_TEXT("why", value->type == REDIS_ERROR
                                       ? "it refused"
                                       : "it has no slots, or no sense"));
        cluster->told = true;
        return;
    }
    cluster->told = cluster->doubt = false;
    cluster->renewed_ns = now_ns(cluster);
    loop_post(&cluster->worker->loop, &cluster->renew);
}

/* The next one in turn, so that one whose map is old is not the only one to be asked. */
static bool pick(struct cluster *cluster, unsigned *picked)
{
    for (unsigned i = 1; i <= CLUSTER_NODES_MAX; i++) {
        unsigned n = (cluster->asked + i) % CLUSTER_NODES_MAX;
        if (cluster->nodes[n].used && redis_usable(cluster->nodes[n].redis)) {
            *picked = n;
            return true;
        }
    }
    return false;
}

static bool all_usable(const struct cluster *cluster)
{
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        if (cluster->nodes[i].used && !redis_usable(cluster->nodes[i].redis))
            return false;
    return true;
}

/* A map of a large cluster is some work for who tells it. */
static bool is_due(struct cluster *cluster)
{
    uint64_t age_ms = (now_ns(cluster) - cluster->renewed_ns) / NS_PER_MS;
    if (cluster->known && !cluster->doubt && all_usable(cluster)) {
        cluster->restless = 0;
        return age_ms >= CLUSTER_QUIET_MS;
    }
    return ++cluster->restless < CLUSTER_HASTY_TURNS || age_ms >= CLUSTER_PATIENT_MS;
}

/* Nobody answers: from where the configuration says, one after the other. */
static void try_seed(struct cluster *cluster)
{
    const struct redis_server *seeds = cluster->seeds;
    (void)find_node(cluster, &seeds->addrs[cluster->seed++ % seeds->addr_count]);
}

static void on_turn(struct timer *timer)
{
    struct cluster *cluster = CONTAINER(timer, struct cluster, timer);
    const struct span question[] = { SPAN("CLUSTER"), SPAN("SLOTS") };
    unsigned node;
    timer_set(&cluster->worker->loop, timer, CLUSTER_TURN_MS);
    if (cluster->asking || !is_due(cluster))
        return;
    if (!pick(cluster, &node)) {
        try_seed(cluster);
        worker_flush(cluster->worker);
        return;
    }
    cluster->asked = node;
    cluster->call.done = on_map;
    cluster->asking = redis_send(cluster->nodes[node].redis, &cluster->call,
                                 ARRAY_LEN(question), question) == OK;
    worker_flush(cluster->worker);
}

/* ---- what others see ---- */

struct redis *cluster_server(const struct cluster *cluster, unsigned slot)
{
    uint8_t owner = cluster->owner[slot];
    return owner != SLOT_NOBODY ? cluster->nodes[owner].redis : NULL;
}

uint64_t cluster_since_ns(const struct cluster *cluster, unsigned slot)
{
    return cluster->since_ns[slot];
}

void cluster_doubt(struct cluster *cluster)
{
    cluster->doubt = true;
}

struct redis *cluster_redirect(struct cluster *cluster, const struct redirect *redirect)
{
    unsigned node = find_node(cluster, &redirect->addr);
    cluster->doubt = cluster->doubt || !redirect->ask;
    if (node == SLOT_NOBODY)
        return NULL;
    if (!redirect->ask)
        give(cluster, redirect->slot, node);
    return cluster->nodes[node].redis;
}

struct cluster *cluster_new(struct worker *worker, const struct redis_server *server)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));
    if (cluster == NULL)
        return NULL;
    cluster->worker = worker;
    cluster->seeds = server;
    cluster->server = *server;
    cluster->server.addr_count = 0;
    cluster->timer.fire = on_turn;
    cluster->renew.run = on_renew;
    memset(cluster->owner, SLOT_NOBODY, sizeof(cluster->owner));
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++) {
        cluster->nodes[i].redis = redis_new(worker, &cluster->server);
        if (cluster->nodes[i].redis == NULL) {
            cluster_free(cluster);
            return NULL;
        }
    }
    return cluster;
}

void cluster_free(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    timer_remove(&cluster->worker->loop, &cluster->timer);
    task_cancel(&cluster->renew);
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        redis_free(cluster->nodes[i].redis);
    free(cluster);
}

void cluster_keep_script(struct cluster *cluster, struct span script)
{
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        redis_keep_script(cluster->nodes[i].redis, script);
}

void cluster_start(struct cluster *cluster)
{
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        redis_start(cluster->nodes[i].redis);
    for (unsigned i = 0; i < cluster->seeds->addr_count; i++)
        try_seed(cluster);
    timer_set(&cluster->worker->loop, &cluster->timer, 1);
}
