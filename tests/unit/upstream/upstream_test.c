/* Servers as configured: how many addresses of a name are used. The resolver is the test's own.
 */
#include "gateway/upstream/upstream.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "conf/schema.h"

#include "tests/unit/check.h"

static unsigned known; /* addresses that the name has */

struct answer {
    struct addrinfo info;
    struct sockaddr_in name;
};

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)node;
    (void)service;
    (void)hints;
    struct answer *all = calloc(known, sizeof *all);
    if (all == NULL)
        return EAI_MEMORY;
    for (unsigned i = 0; i < known; i++) {
        all[i].name = (struct sockaddr_in){ .sin_family = AF_INET,
                                            .sin_addr.s_addr = htonl(0xc0000200u + i) };
        all[i].info.ai_addr = (struct sockaddr *)&all[i].name;
        all[i].info.ai_next = i + 1 < known ? &all[i + 1].info : NULL;
    }
    *found = &all[0].info;
    return 0;
}

void freeaddrinfo(struct addrinfo *found)
{
    free(found);
}

static void so_many_addresses_of_a_name_are_used(void **state)
{
    (void)state;
    for (known = 1; known <= SERVER_ADDRESSES_MAX + 1; known++) {
        struct arena arena;
        struct diags diags;
        arena_init(&arena, NULL, 0, NULL, 1 << 20);
        diags_init(&diags, &arena);
        struct schema schema = { .arena = &arena, .diags = &diags };
        struct complaint complaint = { .schema = &schema, .option = "upstream" };
        struct server_item item = { .url = { .text = SPAN("http://name.test:81"),
                                             .scheme = SPAN("http"),
                                             .host = SPAN("name.test"),
                                             .port = 81 },
                                    .weight = 1 };
        struct upstream_conf conf = { 0 };
        schema_defaults(&schema, upstream_options, &conf);
        conf.servers.items = &item;
        conf.servers.count = 1;
        struct upstream upstream;
        assert_int_equal(upstream_open(&upstream, &conf, &arena, &complaint), OK);
        const struct upstream_server *server = &upstream.servers[0];
        unsigned used = known < SERVER_ADDRESSES_MAX ? known : SERVER_ADDRESSES_MAX;
        assert_int_equal(server->addr_count, used);
        assert_int_equal(server->addrs[used - 1].port, 81);
        assert_int_equal(server->addrs[used - 1].bytes[3], used - 1);
        arena_reset(&arena);
    }
}

int main(void)
{
    return RUN(TEST(so_many_addresses_of_a_name_are_used));
}
