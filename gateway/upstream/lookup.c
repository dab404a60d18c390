/* getaddrinfo, at load: see lookup.h. */
#include "gateway/upstream/lookup.h"

#include <netdb.h>
#include <sys/socket.h>

enum { HOST_BYTES_MAX = 253 };

unsigned lookup_at_load(struct span host, struct addr *out, unsigned max, const char **why)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char name[HOST_BYTES_MAX + 1];
    struct text text = text_fixed(name, sizeof name);
    unsigned count = 0;

    *why = "it has no IP address";
    if (max > 0 && addr_parse(host, &out[0]))
        return 1;
    text_add(&text, host);
    const char *wanted = text_cstring(&text);
    int code = wanted != NULL ? getaddrinfo(wanted, NULL, &hints, &found) : EAI_NONAME;
    if (code != 0) {
        *why = gai_strerror(code);
        return 0;
    }
    for (struct addrinfo *ai = found; ai != NULL && count < max; ai = ai->ai_next) {
        addr_from_sockaddr(&out[count], ai->ai_addr);
        count += out[count].family == ADDR_V4 || out[count].family == ADDR_V6;
    }
    freeaddrinfo(found);
    return count;
}

bool host_is_loopback(struct span host)
{
    struct addr addr;

    if (!addr_parse(host, &addr))
        return span_equal_nocase(host, SPAN("localhost"));
    if (addr.family == ADDR_V4)
        return addr.bytes[0] == 127;
    static const uint8_t one[16] = { [15] = 1 };
    return memcmp(addr.bytes, one, sizeof one) == 0;
}
