/* Allowances: see budget.h. One number each, as in the generic cell rate algorithm. */
#include "gateway/http2/budget.h"

enum { SECOND_US = 1000000 };

static const struct {
    unsigned burst, per_second;
    enum http_error error;
    struct span name;
} rows[FLOOD_COUNT] = {
    [FLOOD_RESETS] = { 200, 20, HTTP_H2_RESETS, SPAN_INIT("rapid_reset") },
    [FLOOD_PROVOKED] = { 100, 10, HTTP_H2_PROVOKED, SPAN_INIT("provoked_reset") },
    [FLOOD_CONTINUATIONS] = { 1, 1, HTTP_H2_CONTINUATIONS, SPAN_INIT("continuation") },
    [FLOOD_FIELDS] = { 1, 1, HTTP_H2_FIELDS, SPAN_INIT("field_bomb") },
    [FLOOD_SETTINGS] = { 50, 1, HTTP_H2_SETTINGS, SPAN_INIT("settings") },
    [FLOOD_PINGS] = { 1000, 100, HTTP_H2_PINGS, SPAN_INIT("ping") },
    [FLOOD_DATA] = { 200, 20, HTTP_H2_DATA, SPAN_INIT("empty_data") },
    [FLOOD_PRIORITIES] = { 1000, 100, HTTP_H2_PRIORITIES, SPAN_INIT("priority") },
    [FLOOD_WINDOWS] = { 1000, 200, HTTP_H2_WINDOWS, SPAN_INIT("window_update") },
    [FLOOD_UNKNOWN] = { 200, 20, HTTP_H2_UNKNOWN, SPAN_INIT("unknown_frame") },
};

static uint64_t cost_us(enum flood flood)
{
    return SECOND_US / rows[flood].per_second;
}

bool budget_spend(struct budgets *budgets, enum flood flood, uint64_t now_us)
{
    uint64_t *spent = &budgets->spent_us[flood];
    uint64_t after = (*spent > now_us ? *spent : now_us) + cost_us(flood);

    if (after - now_us > rows[flood].burst * cost_us(flood))
        return false;
    *spent = after;
    return true;
}

void budget_credit(struct budgets *budgets, enum flood flood, unsigned count)
{
    uint64_t *spent = &budgets->spent_us[flood], credit = count * cost_us(flood);

    *spent = *spent > credit ? *spent - credit : 0;
}

unsigned budget_burst(enum flood flood)
{
    return rows[flood].burst;
}

enum http_error flood_error(enum flood flood)
{
    return rows[flood].error;
}

struct span flood_name(enum flood flood)
{
    return rows[flood].name;
}
