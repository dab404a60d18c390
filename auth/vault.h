/*
 * Sealed values in shared memory, each found and opened only by who holds its ticket: sessions,
 * and sign-ins that are under way.
 *
 * A ticket is 64 random bytes. Half of it says where the value stands, and is kept hashed; the
 * other half, with a key of this boot, opens the value, and is kept nowhere. So who reads the
 * memory, or a dump of it, can neither use what stands there nor read it. In the open are only
 * times, tags (keyed hashes, to end all that have one) and a label for lists.
 *
 * Who keeps entries elsewhere, too (auth/sessionshare.h), takes them out whole and puts them
 * back: an image is sealed once more, with the vault's key, and names nobody.
 *
 * No lock: each entry has one word that is changed by compare-and-swap, and a writer that died
 * half-way loses its entry after a while. What is read is copied and checked again, then
 * authenticated: no value in the memory is an index, and a size is bounded before its use.
 */
#ifndef SALLYPORT_VAULT_H
#define SALLYPORT_VAULT_H

#include "gateway/base/span.h"

enum {
    TICKET_PART_BYTES = 32,
    TICKET_TEXT_BYTES = 86, /* base64url of both parts */
    VAULT_WAYS = 8,
    VAULT_TAGS = 4, /* the first is whose it is: who has too many loses his own, not others' */
    VAULT_LABEL_BYTES = 64,
    VAULT_VALUE_MAX = 8192,
    VAULT_HANDLE_BYTES = 8, /* how lists name an entry; says nothing of its ticket */
    VAULT_HALF_DONE_S = 10, /* after that the writer of an entry is dead */
    VAULT_LAYOUT = 2,
    VAULT_NAME_BYTES = 32,    /* of an entry in another place: hex digits */
    VAULT_OVERHEAD_MAX = 512, /* of an image over its value */
};

struct ticket {
    uint8_t id[TICKET_PART_BYTES], secret[TICKET_PART_BYTES];
};

void ticket_make(struct ticket *ticket);
void ticket_write(const struct ticket *ticket, char text[TICKET_TEXT_BYTES]);
/* Exactly what ticket_write writes, in its one spelling. */
MUST_USE bool ticket_read(struct ticket *ticket, struct span text);

/* What stands in the open. All times are wall clock, in seconds. */
struct vault_facts {
    uint64_t began_s, until_s;
    uint64_t idle_s;               /* it also ends when nobody has come for so long; 0: never */
    uint64_t seen_s;               /* filled in */
    uint64_t confirmed_ms;         /* filled in: when whoever else keeps it last said so */
    uint64_t tags[VAULT_TAGS];     /* 0: none */
    char label[VAULT_LABEL_BYTES]; /* NUL-terminated, cut */
};

struct vault_entry;

struct vault {
    char *memory;
    size_t entries, stride, value_max;
    uint8_t key[32];
};

/* `entries` is a power of two, at least VAULT_WAYS. */
size_t vault_bytes(size_t entries, size_t value_max);
/* `use` keeps apart what is kept under one boot key in several vaults. */
void vault_over(struct vault *vault, void *memory, size_t entries, size_t value_max,
                const char *use, const uint8_t boot_key[32]);

/* Keyed hash for a tag or other names; never 0. */
uint64_t vault_tag(const struct vault *vault, const char *kind, struct span bytes);

/*
 * Keeps the value. Under a ticket that stands there already it takes the old one's place, and
 * readers find one or the other all the time. False: the value is too long, or, which only
 * an attack in this very moment can bring about, no entry could be had.
 */
MUST_USE bool vault_put(const struct vault *vault, const struct ticket *ticket,
                        const struct vault_facts *facts, struct span value, uint64_t now_s);
struct vault_value {
    struct vault_facts facts;
    size_t len;
    char bytes[VAULT_VALUE_MAX]; /* of which value_max may be used; to be wiped */
};
/* It counts as a visit when `visit`. False leaves nothing in `value`. */
MUST_USE bool vault_get(const struct vault *vault, const struct ticket *ticket, uint64_t now_s,
                        bool visit, struct vault_value *value);
void vault_value_wipe(struct vault_value *value);
/*
 * For work that only one may do at a time: true for one caller, then for nobody until
 * vault_put has replaced the value or VAULT_HALF_DONE_S have passed.
 */
bool vault_lock(const struct vault *vault, const struct ticket *ticket, uint64_t now_s);
/* Ends it: true for one caller, whoever else tries it at the same time. */
bool vault_take(const struct vault *vault, const struct ticket *ticket, uint64_t now_s);

/* Ends all that have this tag in that place, and says how many. */
size_t vault_end_tagged(const struct vault *vault, unsigned place, uint64_t tag);
/* For lists: the next entry from `*cursor` on that holds; the cursor moves. */
MUST_USE bool vault_next(const struct vault *vault, size_t *cursor, uint64_t now_s,
                         struct vault_facts *facts, uint8_t handle[VAULT_HANDLE_BYTES]);

/* ---- elsewhere ---- */

/* What an entry is called there; it ends with the handle of lists, in hex. */
void vault_name(const struct vault *vault, const struct ticket *ticket,
                char name[VAULT_NAME_BYTES]);
/* The entry as it stands. `image` has room for value_max + VAULT_OVERHEAD_MAX bytes. */
MUST_USE bool vault_export(const struct vault *vault, const struct ticket *ticket,
                           uint64_t now_s, void *image, size_t *len);
/*
 * And back, as of now a visit and confirmed. BAD: not whole, not of this ticket, over, or no
 * entry could be had. OLDER: what stands here came after it, and stays.
 */
enum adopted { ADOPT_BAD, ADOPT_OLDER, ADOPT_TAKEN };
MUST_USE enum adopted vault_adopt(const struct vault *vault, const struct ticket *ticket,
                                  struct span image, uint64_t now_ms);
/* What stands in the open in an image of that name. */
MUST_USE bool vault_image_facts(const struct vault *vault, struct span name, struct span image,
                                struct vault_facts *facts);

/* ---- ends by a list ---- */

bool vault_end_handle(const struct vault *vault, const uint8_t handle[VAULT_HANDLE_BYTES]);

#endif
