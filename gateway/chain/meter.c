/*
 * Rows by name, and counting in them.
 */
#include "gateway/chain/meter.h"

#include "gateway/chain/config.h"

_Static_assert((int)METER_WORKERS == (int)WORKERS_MAX, "a row for each worker");

const uint32_t meter_bounds_us[METER_BUCKETS - 1] = { 10,   50,   100,   250,   500,
                                                      1000, 5000, 25000, 100000 };
const char *const meter_actions[METER_ACTIONS] = { "pass", "deny", "reply", "fail", "detect" };
const char *const meter_methods[METER_METHODS] = { "GET",   "HEAD",    "POST",  "PUT", "DELETE",
                                                   "PATCH", "OPTIONS", "other", "none" };

enum { METHOD_OTHER = METER_METHODS - 2, METHOD_NONE = METER_METHODS - 1 };

const char *const meter_outcomes[LIMIT_OUTCOMES] = { "pass", "deny", "shadow" };
const char *const meter_counters[LIMIT_COUNTERS] = { "local", "exact", "lease", "fallback" };

/* `names`: `count` rows of `width` bytes. */
static unsigned row_of(char *names, size_t width, unsigned count, struct span name)
{
    char key[METER_LIMIT_BYTES] = { 0 };
    INVARIANT(width <= sizeof(key));
    memcpy(key, name.p, name.len < width - 1 ? name.len : width - 1);
    for (unsigned i = 0; i < count - 1; i++) {
        if (names[i * width] == '\0')
            memcpy(names + i * width, key, width);
        if (memcmp(names + i * width, key, width) == 0)
            return i;
    }
    memcpy(names + (count - 1) * width, "other", sizeof("other"));
    return count - 1;
}

void meters_assign(struct meters *meters, struct config *config)
{
    for (struct metered *limit = config->limits; limit != NULL; limit = limit->next)
        limit->row = row_of(meters->limits[0], METER_LIMIT_BYTES, METER_LIMITS, limit->name);
    for (size_t s = 0; s < config->site_count; s++) {
        struct site *site = &config->sites[s];
        site->meter =
            row_of(meters->sites[0], METER_NAME_BYTES, METER_SITES, span_text(site->name));
        for (size_t r = 0; r < site->route_count; r++)
            for (unsigned phase = 0; phase < PHASE_COUNT; phase++)
                for (unsigned i = 0; i < site->routes[r].chain_count[phase]; i++) {
                    struct stage_instance *stage = &site->routes[r].chain[phase][i];
                    stage->meter = row_of(meters->stages[0], METER_NAME_BYTES, METER_STAGES,
                                          span_text(stage->type->name));
                }
    }
}

void meter_stage(struct worker_meters *meters, unsigned row, unsigned action, uint64_t us)
{
    if (meters == NULL || row >= METER_STAGES || action >= METER_ACTIONS)
        return;
    struct stage_meter *meter = &meters->stages[row];
    unsigned bucket = 0;
    while (bucket < METER_BUCKETS - 1 && us > meter_bounds_us[bucket])
        bucket++;
    meter->actions[action]++;
    meter->buckets[bucket]++;
    meter->sum_us += us;
}

void meter_request(struct worker_meters *meters, const struct site *site, struct span method,
                   int status)
{
    if (meters == NULL)
        return;
    unsigned row = site != NULL ? site->meter : METER_SITES - 1, column = METHOD_OTHER;
    for (unsigned i = 0; i < METHOD_OTHER; i++)
        if (span_equal(method, span_text(meter_methods[i])))
            column = i;
    if (method.len == 0)
        column = METHOD_NONE;
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 : 0;
    if (row < METER_SITES)
        meters->requests[row][column][class]++;
}

void meter_limit(struct worker_meters *meters, unsigned row, enum limit_outcome outcome,
                 enum limit_counter counter)
{
    if (meters != NULL && row < METER_LIMITS)
        meters->limits[row][outcome][counter]++;
}

uint64_t meter_limit_sum(const struct meters *meters, unsigned row, enum limit_outcome outcome,
                         enum limit_counter counter)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < METER_WORKERS; i++)
        sum += __atomic_load_n(&meters->workers[i].limits[row][outcome][counter],
                               __ATOMIC_RELAXED);
    return sum;
}
