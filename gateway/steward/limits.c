/* What limits have decided, for the command line. */
#include <jansson.h>

#include "gateway/chain/meter.h"
#include "gateway/steward/steward.h"
#include "gateway/store/slots.h"

static void put_row(struct json *j, const struct meters *meters, unsigned row)
{
    for (unsigned outcome = 0; outcome < LIMIT_OUTCOMES; outcome++)
        for (unsigned counter = 0; counter < LIMIT_COUNTERS; counter++) {
            uint64_t sum = meter_limit_sum(meters, row, (enum limit_outcome)outcome,
                                           (enum limit_counter)counter);
            if (sum == 0)
                continue;
            const char *name = meters->limits[row];
            json_begin_object(j, NULL);
            json_text(j, "limit", span_of(name, strnlen(name, METER_LIMIT_BYTES)));
            json_text(j, "outcome", span_text(meter_outcomes[outcome]));
            json_text(j, "store", span_text(meter_counters[counter]));
            json_uint(j, "count", sum);
            json_end_object(j);
        }
}

/* {"command":"limits"} */
void limits_command(struct client *client, const json_t *request)
{
    const struct steward *steward = client->steward;
    uint64_t evicted = 0;
    (void)request;
    if (steward->meters == NULL) {
        answer_error(client, "nothing is counted");
        return;
    }
    struct json j = answer_begin(client, true);
    json_begin_array(&j, "limits");
    for (unsigned row = 0; row < METER_LIMITS; row++)
        put_row(&j, steward->meters, row);
    json_end_array(&j);
    for (size_t i = 0; i < SLOTS_MAX; i++)
        evicted += __atomic_load_n(&steward->slots->workers[i].counters.limits_evicted,
                                   __ATOMIC_RELAXED);
    json_uint(&j, "evicted", evicted);
    answer_end(client, &j);
}
