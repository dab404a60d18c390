/*
 * What is counted by site and by stage for the metrics: rows of fixed size in shared memory
 * that live over reloads. Rows are found by name, which is the configuration's and never a
 * client's; when all are taken, the last one is for the others.
 */
#ifndef SALLYPORT_METER_H
#define SALLYPORT_METER_H

#include "gateway/base/span.h"

struct config;
struct site;

enum {
    METERS_LAYOUT = 2,
    METER_WORKERS = 64,
    METER_STAGES = 32,
    METER_SITES = 64,
    METER_NAME_BYTES = 64,
    METER_BUCKETS = 10, /* the last one has no bound */
    METER_ACTIONS = 5,  /* pass, deny, reply, fail, detect */
    METER_METHODS = 9,
    METER_CLASSES = 6,
    METER_LIMITS = 128,
    METER_LIMIT_BYTES = 128,
};

/* What came of a limit, and who counted. */
enum limit_outcome { LIMIT_PASSED, LIMIT_REFUSED, LIMIT_WATCHED, LIMIT_OUTCOMES };
enum limit_counter {
    COUNTED_LOCAL,
    COUNTED_EXACT,
    COUNTED_LEASE,
    COUNTED_FALLBACK,
    LIMIT_COUNTERS
};

struct stage_meter {
    uint64_t actions[METER_ACTIONS];
    uint64_t buckets[METER_BUCKETS];
    uint64_t sum_us;
};

struct worker_meters {
    struct stage_meter stages[METER_STAGES];
    uint64_t requests[METER_SITES][METER_METHODS][METER_CLASSES];
    uint64_t limits[METER_LIMITS][LIMIT_OUTCOMES][LIMIT_COUNTERS];
};

struct meters {
    char stages[METER_STAGES][METER_NAME_BYTES], sites[METER_SITES][METER_NAME_BYTES];
    char limits[METER_LIMITS][METER_LIMIT_BYTES];
    struct worker_meters workers[METER_WORKERS];
};

extern const uint32_t meter_bounds_us[METER_BUCKETS - 1];
extern const char *const meter_actions[METER_ACTIONS], *const meter_methods[METER_METHODS];
extern const char *const meter_outcomes[LIMIT_OUTCOMES], *const meter_counters[LIMIT_COUNTERS];

/* Gives each stage and site of the configuration its row. At load, in the generation. */
void meters_assign(struct meters *meters, struct config *config);
/* In the worker; `meters` NULL: nobody counts. */
void meter_stage(struct worker_meters *meters, unsigned row, unsigned action, uint64_t us);
void meter_request(struct worker_meters *meters, const struct site *site, struct span method,
                   int status);

void meter_limit(struct worker_meters *meters, unsigned row, enum limit_outcome outcome,
                 enum limit_counter counter);
/* Of all workers. */
uint64_t meter_limit_sum(const struct meters *meters, unsigned row, enum limit_outcome outcome,
                         enum limit_counter counter);

#endif
