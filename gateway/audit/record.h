/*
 * One record per transaction: who, what, when, why, outcome. The flow fills in the struct, the
 * writer makes the JSON line. ECS names where ECS has one, the rest below `sallyport`
 * (docs/audit.md). Redaction happens here, before anything leaves the worker: values of secret
 * fields and parameters are replaced by their keyed pseudonym, samples of matches are bounded.
 */
#ifndef SALLYPORT_RECORD_H
#define SALLYPORT_RECORD_H

#include "gateway/audit/ring.h"
#include "gateway/base/addrlist.h"
#include "gateway/base/json.h"
#include "gateway/base/siphash.h"
#include "gateway/net/tls.h"

enum { FINDINGS_MAX = 64, TRAIL_MAX = 48, SAMPLE_BYTES_MAX = 96 };

/* One stage in one phase. All strings are constants of the code or of the configuration. */
struct trail_entry {
    const char *stage, *phase, *action;
    const char *reason; /* slug, or NULL */
    bool enforced;      /* false: detect mode, the request went on */
    uint32_t us;
    uint16_t resumes;
};

struct finding_source {
    struct span field, value;
};

/* One match that a stage reports. Spans live in the transaction's arena. */
struct finding {
    struct span rule;  /* id or name */
    struct span field; /* "args:q", "path", "header:referer" */
    struct span message;
    struct span sample; /* the matched bytes; cut and redacted on writing */
    /*
     * All of the inspected text, where a field holds many values ("body", "uri"), so that the
     * sample can be told from a secret; the record needs it for nothing else. Without it such a
     * sample is redacted.
     */
    struct span value;
    uint32_t offset; /* of the match in the inspected value */
    int32_t score;
    bool decides;            /* what the stage says rests on it */
    const char *severity;    /* a constant's name, or NULL */
    const struct span *tags; /* `tag_count` of them */
    unsigned tag_count;
    /* What the rule makes of the match; bounded, and hidden when a field that it may tell of
     * is: `field`, or one that a chain met on its way. */
    struct span logdata;
    const struct finding_source *sources;
    unsigned source_count;
    const struct span *transformations; /* of the inspected text, in their order */
    unsigned transformation_count;
};

/* Sums that stages have come to. */
enum score_kind { SCORE_INBOUND, SCORE_OUTBOUND, SCORE_KINDS };
struct scores {
    bool set[SCORE_KINDS];
    int64_t value[SCORE_KINDS];
};

struct bots_told;

struct record {
    uint64_t wall_us, duration_us;
    struct span id;          /* request id */
    struct span traceparent; /* as received, when well-formed; else empty */
    struct addr client, peer;
    struct span forwarded; /* the chain as seen, or empty */
    struct span method, host, path, query, version, user_agent;
    struct span scheme, referrer;
    const struct tls_info *tls; /* gateway/net/tls.h; NULL: plain */
    const char *site, *route;   /* names of the configuration, or NULL */
    const char *action;         /* "pass" "block" "reply" "refuse" "fail" "detect" */
    const char *reason;         /* slug, or NULL */
    const char *detail; /* slug: the parser's error, what a credential lacked; or NULL */
    int status, upstream_status;            /* 0: none */
    uint64_t request_bytes, response_bytes; /* bodies */
    struct span upstream;                   /* server that answered, or empty */
    uint32_t upstream_us;
    unsigned upstream_tries;
    const char *cut;              /* why the answer was cut short, or NULL */
    bool body_unseen;             /* part of a body went by without inspection */
    bool response_unseen;         /* the same of the answer's, where stages wanted to see it */
    bool captured;                /* the request is kept whole (capture.h) */
    struct span ja4, field_order; /* what kind of client it is; empty when not known */
    struct span list;             /* that denied, by name; or empty */
    const struct list_hit *list_hits; /* all that the client was found on, and why */
    size_t list_hit_count;
    struct scores scores;
    const struct bots_told *bots;    /* record_bots.h; NULL: nobody looked */
    const char *country, *continent; /* where the client is; NULL or empty: not known */
    struct span city, as_org;
    uint32_t asn;                    /* 0: not known */
    struct span user, auth;          /* who, and by which method; empty when nobody */
    struct span limit, limit_shadow; /* that refused; that would have, but only watches */
    uint64_t limit_left;             /* what it would still have let pass */
    const char *limit_store;         /* who counted it, or NULL */
    const struct trail_entry *trail;
    size_t trail_count;
    const struct finding *findings;
    size_t finding_count, findings_dropped;
    struct span config_hash;
    struct span node;
};

struct redaction {
    const struct span
        *params; /* parameter names, `*` at either end matches any run: "password", "*token*" */
    size_t param_count;
    struct siphash_key key;  /* of the pseudonyms */
    const struct span *more; /* names that are secret in this one record */
    size_t more_count;
    bool all; /* every name is */
};

/* The line, without newline, at most RECORD_BYTES_MAX bytes: long values are cut, and say so.
 */
void record_write(struct text *out, const struct record *record,
                  const struct redaction *redaction);

/* A connection that never came to a request. */
struct connection_record {
    uint64_t wall_us;
    struct addr peer;     /* no family: the record is about several */
    const char *reason;   /* slug: "tls-failed", "address-denied", "connection-limit" */
    const char *detail;   /* constant text, or NULL */
    struct span sni;      /* as asked for, or empty */
    struct list_hit list; /* that denied, or empty */
    uint64_t suppressed;  /* records before this one that were not written */
    struct span config_hash, node;
};
/* record_connection.c */
void record_connection(struct text *out, const struct connection_record *record);

/* A line that says what is missing, and why: a slug such as "ring-full", "ring-damaged",
 * "torn-line". */
void record_gap(struct text *out, uint64_t wall_us, const char *reason,
                const uint64_t lost[RECORD_CLASSES]);

/* redact.c. Whether the values of this parameter or field are secret; the name as received,
 * encoded or not. */
bool redaction_covers(const struct redaction *redaction, struct span name);
/*
 * Cuts the next pair off a query or URL: at &, and at ; ? and # too, where some applications
 * split. A secret value reaches to the next &.
 */
struct redaction_pair {
    struct span name, value, end; /* `end`: the separator behind, or empty */
    bool has_value, secret;
};
bool redaction_pair(const struct redaction *redaction, struct span *rest,
                    struct redaction_pair *pair);
/* Whether the sample of this finding may not be shown. */
bool redaction_hides(const struct redaction *redaction, const struct record *record,
                     const struct finding *finding);
/* Whether its log data may not: it tells of whole values. */
bool redaction_hides_logdata(const struct redaction *redaction, const struct finding *finding);
/* <redacted:0123456789abcdef> */
void redaction_pseudonym(struct text *out, const struct redaction *redaction,
                         struct span value);

#endif
