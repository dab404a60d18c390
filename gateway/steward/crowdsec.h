/* A CrowdSec in the steward. Shared by crowdsec*.c only. */
#ifndef SALLYPORT_CROWDSEC_H
#define SALLYPORT_CROWDSEC_H

#include "gateway/steward/lapi.h"
#include "gateway/store/bans.h"
#include "geoip/decisions.h"
#include "geoip/feedkept.h"
#include "geoip/geocover.h"

enum {
    ALERTS_QUEUE = 1024, /* bans that wait to be told; over it they are not, and are counted */
    ALERTS_BATCH = 32,
    ALERTS_LIFT_TRIES = 8,        /* of one end that the LAPI fails to take */
    ALERTS_BYTES_MAX = 64 * 1024, /* of a question, and of an answer */
    TOKEN_BYTES_MAX = 4096,
};

struct alerts {
    struct crowdsec *crowdsec;
    struct lapi_call call;
    struct timer timer;
    struct fetch_field field; /* Authorization */
    char token[TOKEN_BYTES_MAX + 8];
    size_t token_len; /* 0: none that is good */
    uint64_t token_until_s;
    struct arena arena; /* of a question */
    struct alert {
        struct ban_event event;
        uint64_t after;    /* the cursor behind it */
    } queue[ALERTS_QUEUE]; /* in a circle */
    unsigned first, count;
    unsigned batch;      /* of them under way; alerts, or one end of a ban */
    unsigned told;       /* of those, what the question has */
    unsigned lift_tries; /* of that end */
    bool busy, logs_in, lifts;
    uint64_t retry_ms;
    uint64_t sent, lifted, dropped, rejected;
    const char *trouble;
};

struct crowdsec {
    struct steward *steward;
    struct lapi lapi;
    struct lapi_call call;
    struct fetch_field field; /* X-Api-Key */
    struct timer timer;
    struct decisions *set; /* NULL: nothing has been heard */
    struct watched *lists[DECISION_KINDS];
    char own[SETTINGS_TEXT_BYTES + 16]; /* origin of what we tell; empty: nothing */
    bool whole;                         /* the question under way is for everything */
    bool begun;                         /* a whole answer was taken */
    bool places_told;
    struct geocover *cover; /* NULL: nobody knows what networks have */
    uint64_t cover_of;      /* which files were asked */
    uint64_t whole_ms;      /* when */
    uint64_t retry_ms;
    uint64_t rounds, unusable, refused;
    const char *trouble;
    struct alerts alerts;
};

/* crowdsec_cover.c: whether bans keep out too many. */
/* Percent of the public addresses that a network has; 0: nobody knows. */
unsigned crowdsec_network_share(void *crowdsec, uint32_t asn);
bool crowdsec_covers_too_much(struct crowdsec *crowdsec, struct span block, unsigned max_cover);

/* crowdsec_alerts.c */
void alerts_open(struct crowdsec *crowdsec);
void alerts_status(struct json *j, const struct crowdsec *crowdsec);

#endif
