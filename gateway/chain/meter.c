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

static unsigned row_of(char (*names)[METER_NAME_BYTES], unsigned count, const char *name)
{
    char key[METER_NAME_BYTES] = { 0 };
    size_t len = strlen(name);
    memcpy(key, name, len < sizeof(key) - 1 ? len : sizeof(key) - 1);
    for (unsigned i = 0; i < count - 1; i++) {
        if (names[i][0] == '\0')
            memcpy(names[i], key, sizeof(key));
        if (memcmp(names[i], key, sizeof(key)) == 0)
            return i;
    }
    memcpy(names[count - 1], "other", sizeof("other"));
    return count - 1;
}

void meters_assign(struct meters *meters, struct config *config)
{
    for (size_t s = 0; s < config->site_count; s++) {
        struct site *site = &config->sites[s];
        site->meter = row_of(meters->sites, METER_SITES, site->name);
        for (size_t r = 0; r < site->route_count; r++)
            for (unsigned phase = 0; phase < PHASE_COUNT; phase++)
                for (unsigned i = 0; i < site->routes[r].chain_count[phase]; i++) {
                    struct stage_instance *stage = &site->routes[r].chain[phase][i];
                    stage->meter = row_of(meters->stages, METER_STAGES, stage->type->name);
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
