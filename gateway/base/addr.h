/*
 * Network addresses and prefixes, without the socket structures. An IPv4-mapped IPv6 address is
 * always held as IPv4, so that one client has one spelling.
 */
#ifndef SALLYPORT_ADDR_H
#define SALLYPORT_ADDR_H

#include "gateway/base/text.h"

enum addr_family { ADDR_NONE, ADDR_V4, ADDR_V6, ADDR_UNIX };

struct addr {
    uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
    uint16_t port;
    uint8_t family;
};

struct cidr {
    struct addr addr; /* host bits zero */
    uint8_t bits;
};

struct cidrs {
    struct cidr *items;
    size_t count;
};

/* Strict: dotted quad without leading zeros, RFC 4291 text, no zone, no port, no brackets. */
MUST_USE bool addr_parse(struct span text, struct addr *addr);
/* 192.0.2.1, 192.0.2.1:80, [2001:db8::1]:80, 2001:db8::1; port 0 when there is none. */
MUST_USE bool addr_parse_port(struct span text, struct addr *addr);
/* An address or address/bits; set host bits are an error unless `lenient`, which clears them.
 */
MUST_USE bool cidr_parse(struct span text, bool lenient, struct cidr *cidr);

bool addr_equal(const struct addr *a, const struct addr *b); /* without the port */
bool cidr_contains(const struct cidr *cidr, const struct addr *addr);
bool cidrs_contain(const struct cidrs *cidrs,
                   const struct addr *addr); /* a short list: linear */
void addr_mask(struct addr *addr, unsigned bits);
/*
 * What caps and shares count as one client: an IPv4 address, or the /64 that one IPv6
 * subscriber is given; without port. False: no network address, not counted.
 */
bool addr_subscriber(const struct addr *addr, struct addr *subscriber);
/*
 * Whether somebody on the Internet may have it: false for what the registries of RFC 6890 call
 * not global (loopback, private, link-local, documentation, ...), multicast, what is no network
 * address, and IPv6 addresses that lead to such an IPv4 one (NAT64, 6to4).
 */
bool addr_is_global(const struct addr *addr);
void addr_write(struct text *out, const struct addr *addr); /* RFC 5952, no port */
/* 192.0.2.1:80, [2001:db8::1]:80 */
void addr_write_port(struct text *out, const struct addr *addr);
void cidr_write(struct text *out, const struct cidr *cidr);

struct sockaddr;
/* AF_INET, AF_INET6 (mapped unmapped) and AF_UNIX. */
void addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa);
/* `storage` has room for a sockaddr_storage; answers its length. Not for ADDR_UNIX. */
unsigned addr_to_sockaddr(const struct addr *addr, struct sockaddr *storage);

#endif
