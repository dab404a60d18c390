/*
 * Answers of name servers (RFC 1035 section 4): the A, AAAA, PTR or SRV records (RFC 2782) of
 * the name that was asked for, aliases followed. A message is hostile: lengths, counts and
 * compression have bounds, and what is not of the name that was asked for is passed over,
 * whatever else the message holds.
 */
#ifndef SALLYPORT_DNS_H
#define SALLYPORT_DNS_H

#include "gateway/base/addr.h"

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_SRV = 33 };
enum {
    DNS_NAME_BYTES = 256, /* with its end */
    DNS_RECORDS_MAX = 64, /* kept of one answer */
    DNS_WALKED_MAX = 256, /* records of a message that are looked at */
    DNS_ALIASES_MAX = 8,
};

struct dns_record {
    struct addr addr;                /* A, AAAA; no port */
    uint16_t priority, weight, port; /* SRV */
    char target[DNS_NAME_BYTES];     /* SRV, PTR; small letters, no dot at the end */
};

struct dns_answer {
    struct dns_record records[DNS_RECORDS_MAX];
    unsigned count;
    uint32_t ttl; /* seconds: the least of all records on the way; without any 0 */
};

/* OK, also without records; ERR_PROTOCOL: the message is malformed. */
MUST_USE enum err dns_parse(struct span message, enum dns_type type, struct dns_answer *answer);

#endif
