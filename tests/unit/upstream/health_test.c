/* The table of servers: rows kept over reloads, room for new ones, and its end. */
#include <stdio.h>

#include "gateway/upstream/upstream.h"
#include "tests/unit/check.h"

enum { UPSTREAMS = 17, ALL = UPSTREAMS * SERVERS_MAX }; /* 64 more than rows */

static struct server_states states;
static struct upstream upstreams[UPSTREAMS];
static struct upstream_server servers[UPSTREAMS][SERVERS_MAX];
static char labels[ALL][32];

static void name_all(const char *prefix)
{
    for (size_t i = 0; i < ALL; i++) {
        struct upstream_server *server = &servers[i / SERVERS_MAX][i % SERVERS_MAX];
        (void)snprintf(labels[i], sizeof labels[i], "http://%s%zu:1", prefix, i);
        *server = (struct upstream_server){ .label = span_text(labels[i]), .addr_count = 1 };
        server->addrs[0] = (struct addr){ .family = ADDR_V4 };
    }
    for (size_t i = 0; i < UPSTREAMS; i++)
        upstreams[i] = (struct upstream){ .servers = servers[i], .server_count = SERVERS_MAX };
}

static void test_status(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = { { "200", true },  { "200-399", true },  { "100-599", true }, { "99", false },
                 { "600", false }, { "399-200", false }, { "200-", false },   { "-200", false },
                 { "", false },    { "200-600", false }, { "2xx", false } };
    uint32_t from, to;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(health_status_parse(span_text(rows[i].text), &from, &to),
                         rows[i].good);
    assert_true(health_status_parse(SPAN("204"), &from, &to) && from == 204 && to == 204);
}

static void test_rows_are_kept(void **state)
{
    (void)state;
    memset(&states, 0, sizeof states);
    name_all("a");
    server_states_fill(&states, upstreams, 2, 1);
    struct server_state *row = (struct server_state *)(uintptr_t)servers[0][3].state;
    assert_non_null(row);
    assert_false(server_is_down(row) || server_is_drained(row));
    row->down = row->drained = 1;
    name_all("a");
    server_states_fill(&states, upstreams, 2, 2);
    assert_ptr_equal(servers[0][3].state, row);
    assert_true(server_is_down(row) && server_is_drained(row) && row->generation == 2);

    /* Another check of the same server: not known to be down, but out of service still. */
    upstreams[0].health =
        (struct health_conf){ .path = SPAN("/x"), .status = SPAN("200"), .rise = 1, .fall = 1 };
    server_states_fill(&states, upstreams, 2, 3);
    assert_ptr_not_equal(servers[0][3].state, row);
    assert_false(server_is_down(servers[0][3].state));
    assert_true(server_is_drained(servers[0][3].state));
    assert_true(servers[0][3].state->check.on);
}

static void test_full(void **state)
{
    size_t without = 0;

    (void)state;
    memset(&states, 0, sizeof states);
    name_all("a");
    server_states_fill(&states, upstreams, UPSTREAMS, 1);
    for (size_t i = 0; i < ALL; i++)
        without += servers[i / SERVERS_MAX][i % SERVERS_MAX].state == NULL;
    assert_int_equal(without, ALL - SERVER_STATES_MAX);
    /* Others take the places of those that nobody names any more. */
    name_all("b");
    server_states_fill(&states, upstreams, UPSTREAMS - 1, 2);
    for (size_t i = 0; i < SERVER_STATES_MAX; i++)
        assert_non_null(servers[i / SERVERS_MAX][i % SERVERS_MAX].state);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_status),
                                        cmocka_unit_test(test_rows_are_kept),
                                        cmocka_unit_test(test_full) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
