/*
 * The server name of a ClientHello, as an extension of any bytes. What is read is one host name
 * in lower case that stands in the input; the site found is that of the name or of its
 * wildcard, or the default, as a plain search finds it.
 */
#include <stdlib.h>

#include "gateway/net/tls_state.h"

static struct server_site sites[3];
static struct tls_server server;

static void set_up(void)
{
    static struct arena arena;
    static const struct {
        struct span name;
        unsigned site;
    } names[] = { { SPAN_INIT("a.test"), 0 },
                  { SPAN_INIT("deep.a.test"), 1 },
                  { SPAN_INIT(".b.test"), 1 } };

    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    INVARIANT(table_init(&server.names, &arena, ARRAY_LEN(names)) == OK);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        INVARIANT(table_put(&server.names, names[i].name, &sites[names[i].site]) == OK);
    server.sites = sites;
    server.fallback = &sites[2];
}

/* The table by plain comparison. */
static const struct server_site *expected(struct span name)
{
    ssize_t dot = span_index(name, '.');

    if (span_equal(name, SPAN("a.test")))
        return &sites[0];
    if (span_equal(name, SPAN("deep.a.test")))
        return &sites[1];
    if (dot > 0 && span_equal(span_sub(name, (size_t)dot, name.len), SPAN(".b.test")))
        return &sites[1];
    return &sites[2];
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char lower[SNI_NAME_MAX];
    struct span name;

    if (server.sites == NULL)
        set_up();
    /* A block of its own, so that a byte beyond it is noticed. */
    unsigned char *extension = malloc(size > 0 ? size : 1);
    INVARIANT(extension != NULL);
    if (size > 0)
        memcpy(extension, data, size);
    enum sni_reading reading = sni_read(extension, size, lower, &name);
    if (reading == SNI_NAME) {
        INVARIANT(name.p == lower && name.len > 0 && name.len <= SNI_NAME_MAX);
        INVARIANT(name.len + 5 == size); /* the heads of list and entry, and nothing else */
        for (size_t i = 0; i < name.len; i++)
            INVARIANT(is_name_byte(name.p[i]) &&
                      name.p[i] == ascii_lower((char)extension[5 + i]));
        INVARIANT(name.p[0] != '.' && name.p[name.len - 1] != '.');
        INVARIANT(span_find(name, SPAN("..")) < 0);
        INVARIANT(sni_site(&server, name) == expected(name));
    }
    free(extension);
    return 0;
}
