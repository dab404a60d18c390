/*
 * The stage's own, shared by its files: conf.c reads the configuration, stage.c judges
 * requests, challenge.c asks and takes answers, page.c and script.c are what people see.
 */
#ifndef SALLYPORT_BOTS_STAGE_H
#define SALLYPORT_BOTS_STAGE_H

#include "auth/bots/memory.h"
#include "auth/bots/signs.h"
#include "auth/bots/token.h"
#include "auth/bots/verify.h"
#include "auth/pages.h"
#include "gateway/audit/record_bots.h"
#include "gateway/chain/txn.h"

#define BOTS_PAGE PAGE_PREFIX "bots"
#define BOTS_WORKER BOTS_PAGE "/worker.js"
#define BOTS_ANSWER BOTS_PAGE "/answer"
#define BOTS_WAIT BOTS_PAGE "/wait"

enum {
    BOTS_PATHS_MAX = 128,
    BOTS_LISTS_MAX = 32,
    BOTS_NETWORKS_MAX = 256,
    BOTS_CRAWLERS_MAX = 64,
    BOTS_BODY_MAX = 4096,
    BOTS_FIELDS_MAX = 8,
    NOT_FOUND_MANY = 20, /* missing pages that are a sign */
    ASKED_MANY = 8,      /* challenges without an answer */
};

enum bots_mode { BOTS_OFF, BOTS_SCORE, BOTS_CHALLENGE, BOTS_BLOCK };
enum bots_others { OTHERS_PASS, OTHERS_DENY };
enum attack_mode { ATTACK_OFF, ATTACK_AUTO, ATTACK_ON };

struct bots_paths {
    struct path_pattern *items;
    size_t count;
};

struct bots_lists {
    int *items;
    size_t count;
};

struct bots_crawler_row {
    struct map_item item;
    struct span agent;
    struct texts domains, lists;
};

struct bots_crawler {
    struct span name;
    struct span agent;               /* small letters */
    struct verify_question question; /* but for the address */
    bool has_domains;
    struct bots_lists lists;
};

struct bots_attack {
    int mode; /* enum attack_mode */
    struct rate requests, suspicious;
    bool learn;
    struct duration hold;
};

struct bots_conf {
    int mode;   /* enum bots_mode */
    int others; /* enum bots_others */
    struct bots_threshold {
        int64_t challenge, block;
    } threshold;
    int64_t difficulty;
    struct duration clearance, no_js_wait;
    bool no_js, signed_in;
    struct texts exempt, honeypots, lists, tor, datacentres;
    struct list weight_rows, crawler_rows;
    struct texts verify;
    struct bots_attack attack;
    struct secret secret;
    struct span brand;
    struct path style;
    /* ready */
    struct bots_memory memory;
    struct pressure_rules pressure_rules;
    int32_t weights[SIGN_COUNT];
    struct bots_paths exempt_paths, honeypot_paths;
    struct bots_lists sign_lists, tor_lists;
    struct bots_crawler *crawlers;
    size_t crawler_count;
    uint32_t *networks;
    size_t network_count;
    struct bot_keys keys;      /* copied by each worker */
    struct sessions *sessions; /* NULL: nobody is spared for one */
    struct page_style look;
    struct span css, page_policy;
};

/* Where routes stand in the shared memory, found once. */
enum { BOTS_PLACES = 64 };
struct bots_local {
    struct bot_keys keys;
    struct worker *worker;
    const struct sessions *sessions;
    struct {
        const struct route *route;
        struct route_pressure *pressure;
    } places[BOTS_PLACES];
};

struct bots_state {
    bool watched; /* it was looked at: a missing page is noted */
};

extern const struct option bots_options[];
MUST_USE enum err bots_open(void *base, struct setup *setup);
extern const struct option bots_crawler_options[];

static inline uint64_t bots_now(const struct call *c)
{
    return c->txn->clock->wall_us / 1000000u;
}

/* crawlers.c */
bool bots_crawlers_open(struct bots_conf *conf, struct setup *setup);
bool bots_lists_open(struct bots_lists *lists, const struct texts *texts, struct setup *setup);
bool bots_is_listed(const struct bots_lists *lists, struct txn *txn);
/* The crawler that the request claims to be; NULL: none that is known. And whether it is. */
const struct bots_crawler *bots_crawler_of(struct call *c, struct span user_agent);
enum verify_state bots_crawler_state(struct call *c, const struct bots_crawler *crawler);

/* challenge.c */
struct bot_holder bots_holder(const struct call *c);
/* Whether the request has a clearance that is good for at least so many bits. */
bool bots_is_cleared(struct call *c, unsigned bits);
/* `later`: a crawler may be proved to be one meanwhile, and is to come again. */
struct verdict bots_challenge(struct call *c, unsigned bits, bool later);
struct verdict bots_page(struct call *c);

/* page.c: all in the transaction's arena; NULL when it is exhausted. */
struct bots_question {
    struct span token, target;
    unsigned bits, wait_s; /* wait_s 0: no way without a script */
    bool later;            /* 503 in place of 403 */
    bool again;            /* it has come back from here without a clearance */
};
MUST_USE enum err bots_page_open(struct bots_conf *conf, struct setup *setup);
struct reply *bots_page_question(struct call *c, const struct bots_question *question);
/* Who came too soon; `left_s` to go. */
struct reply *bots_page_wait(struct call *c, struct span token, uint64_t left_s);
struct reply *bots_page_trouble(struct call *c, struct span sentence, struct span target);
struct reply *bots_page_worker(struct call *c);

/* script.c */
extern const struct span bots_script_main, bots_script_worker;

#endif
