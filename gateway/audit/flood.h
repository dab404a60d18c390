/*
 * Floods: of refusals that are alike (site, route, reason, first rule, client's network) the
 * first ones of each second are recorded one by one, the others in one line that says how many
 * there were. Of many clients that do alike fewer of each are recorded one by one, and where
 * there are more clients than lines, one line tells of them all. The first of a client is never
 * among those others; a table that is full lets everything be recorded.
 *
 * The counts stand in the ring, where the recorder reads them: a worker that is killed loses
 * none.
 */
#ifndef SALLYPORT_FLOOD_H
#define SALLYPORT_FLOOD_H

#include "gateway/audit/record.h"

/* FLOOD_CROWD: so many times what one client may have is for all that do alike. */
enum { FLOOD_WINDOW_US = 1000 * 1000, FLOOD_CROWD = 4 };

struct repeats {
    uint64_t per_window; /* recorded one by one; 0: all */
    struct siphash_key key;
    struct flood_count {
        uint64_t key, window; /* of time */
        uint64_t count;
    } counts[1024];
};

void flood_init(struct repeats *flood, uint64_t per_window, const struct siphash_key *key);
/* True when this record is counted and not to be written. */
MUST_USE bool flood_absorbs(struct repeats *flood, struct ring *ring,
                            const struct record *record);
/* The recorder's: the line for what was counted since last told, when its second is over (or
 * `all`). False: nothing to tell. Call flood_told when it is written. */
struct flood_news {
    uint64_t count;
    unsigned slot;
};
MUST_USE bool flood_line(struct ring *ring, unsigned slot, uint64_t now_us, bool all,
                         struct text *out, struct flood_news *news);
void flood_told(struct ring *ring, const struct flood_news *news);

#endif
