/*
 * What a generation tells the recorder and the steward: structs of bounded strings in a sealed
 * memfd, so that these two parse no configuration. Made by the generation, passed on by the
 * master unread.
 */
#ifndef SALLYPORT_SETTINGS_H
#define SALLYPORT_SETTINGS_H

#include <sys/stat.h>

#include "gateway/chain/config.h"
#include "gateway/upstream/discovery.h"
#include "gateway/upstream/health.h"

enum {
    WATCHED_LISTS_MAX = 256, /* and two of a CrowdSec */
    WATCHED_USERS_MAX = 4,
    WATCHED_FILES_MAX =
        WATCHED_LISTS_MAX + 2 + 3 /* databases */ + 16 /* keys */ + WATCHED_USERS_MAX
};
enum { SETTINGS_LAYOUT = 9, SETTINGS_PATH_BYTES = 4096, SETTINGS_TEXT_BYTES = 256 };

struct recorder_settings {
    uint32_t layout;
    bool sandbox_off, compress;
    uint32_t durability, on_full;       /* enum durability, enum on_full */
    uint64_t spill_bytes, rotate_bytes; /* 0: none, never */
    uint64_t rotate_ms, keep_ms, keep_bytes;
    uint64_t capture_bytes;               /* 0: no captures are kept */
    char audit_path[SETTINGS_PATH_BYTES]; /* empty: standard output */
    char user[SETTINGS_TEXT_BYTES];       /* empty: keep */
};

enum { PROVIDER_URL_BYTES = 2048 + 1 };

struct watched_list {
    uint32_t id;      /* of the snapshot */
    uint32_t kind;    /* enum snapshot_kind */
    struct stat seen; /* of the file when the configuration was loaded; all zero: not kept */
    char name[SETTINGS_TEXT_BYTES];
    char path[SETTINGS_PATH_BYTES];
    /* Address lists: how the file is read, and what it may not do (geoip/listguard.h). */
    uint32_t format, max_cover, max_shrink, without_count;
    uint32_t entries; /* of the file when the configuration was loaded */
    bool denies;
    char reason[SETTINGS_TEXT_BYTES];
    struct cidr without[LIST_WITHOUT_MAX];
    /* Address lists of other servers. */
    char url[PROVIDER_URL_BYTES]; /* empty: it is a file */
    char ca[SETTINGS_PATH_BYTES];
    uint64_t refresh_ms, max_age_ms, max_bytes;
    bool allow_private;
    uint32_t remedy; /* a CrowdSec's decisions of kind remedy - 1; 0: it is no such list */
};

/* The top-level `crowdsec:`; its URL and limits stand with its lists. */
struct crowdsec_settings {
    char key[SETTINGS_TEXT_BYTES + 1]; /* empty: none is asked */
    char socket[SETTINGS_TEXT_BYTES];  /* not empty: the LAPI's */
    uint64_t resync_ms;
    char machine[SETTINGS_TEXT_BYTES]; /* empty: it is told nothing */
    char password[SETTINGS_TEXT_BYTES + 1];
    uint32_t as; /* enum crowdsec_as */
};

/* Whose keys are fetched: struct provider of gateway/chain/config.h in bounded strings. */
struct watched_provider {
    uint32_t id; /* of the snapshot */
    uint32_t algs;
    uint8_t key[PROVIDER_KEY_BYTES];
    char issuer[PROVIDER_URL_BYTES];           /* empty: keys alone, from `url` */
    char url[PROVIDER_URL_BYTES];              /* empty: the issuer tells it */
    char ca[SETTINGS_PATH_BYTES];              /* empty: the system's */
    struct addr addrs[PROVIDER_ADDRESSES_MAX]; /* of the configured host, when it was loaded */
    uint32_t addr_count;
};

/*
 * What one steward leaves to the next, in memory that no other process maps: the last good
 * documents, for a provider that is down when a configuration is loaded.
 */
enum { KEPT_LAYOUT = 1, KEPT_BYTES_MAX = 256 * 1024 };
struct kept_document {
    uint8_t key[PROVIDER_KEY_BYTES];
    uint8_t digest[32]; /* of the bytes: half a write counts as none */
    uint64_t len, fetched_s;
    char bytes[KEPT_BYTES_MAX];
};
struct kept {
    struct kept_document documents[PROVIDERS_MAX];
};

/* A name that servers are found by, and what it stood for at load. */
struct watched_name {
    struct discovery name;
    struct found found;
};

/* A certificate that the steward is to get. */
struct watched_certificate {
    uint32_t id; /* of the snapshot */
    char site[SETTINGS_TEXT_BYTES];
    char hosts[ACME_HOSTS_BYTES]; /* lower case, a newline behind each */
};

struct acme_settings {
    char directory[PROVIDER_URL_BYTES]; /* URL */
    char email[SETTINGS_TEXT_BYTES], eab_kid[SETTINGS_TEXT_BYTES];
    char eab_key[2 * SETTINGS_TEXT_BYTES];
    char folder[SETTINGS_PATH_BYTES];
    char ca[SETTINGS_PATH_BYTES]; /* empty: the system's */
    uint32_t challenge;           /* enum acme_challenge */
    uint32_t challenges_id;       /* of the snapshot */
    int64_t retry_s;
    uint32_t count; /* 0: none is to be got */
    struct watched_certificate items[ACME_SITES_MAX];
};

struct steward_settings {
    uint32_t layout;
    bool sandbox_off;
    uint32_t generation;
    char config[SETTINGS_PATH_BYTES]; /* or the URL of --protect */
    char hash[SETTINGS_TEXT_BYTES];
    uint8_t kept_key[32];     /* of the hashes of quotas */
    uint8_t sessions_key[32]; /* auth/session.h */
    bool sessions_shared;
    char state[SETTINGS_PATH_BYTES]; /* store.snapshot; empty: nothing is kept */
    char user[SETTINGS_TEXT_BYTES];
    char resolver[SETTINGS_TEXT_BYTES * 2]; /* name servers with commas; empty: the system's */
    uint32_t found_id;                      /* of the snapshot */
    uint32_t name_count;
    struct watched_name names[DISCOVERIES_MAX];
    uint32_t check_tls_count;
    struct check_tls check_tls[CHECK_TLS_MAX];
    uint32_t provider_count;
    struct watched_provider providers[PROVIDERS_MAX];
    uint32_t spared_count;
    struct cidr spared[SPARED_MAX];
    struct acme_settings acme;
    struct crowdsec_settings crowdsec;
    uint32_t list_count;
    struct watched_list lists[];
};

/* False when `text` is too long; then `to` is empty. */
MUST_USE bool settings_put(char *to, size_t size, struct span text);
/* The folder that `path` is in; false when it does not fit. */
MUST_USE bool settings_folder(char *to, size_t size, const char *path);
/* Maps the settings of this process (ROLE_FD_SETTINGS) for good and closes `fd`; ERR_PROTOCOL
 * when they are not whole. */
MUST_USE enum err recorder_settings_open(int fd, const struct recorder_settings **settings);
MUST_USE enum err steward_settings_open(int fd, const struct steward_settings **settings);

#endif
