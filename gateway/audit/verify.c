/*
 * Walking over records and seals together.
 *
 * The head of the chain is computed from the lines alone and compared with each line's own
 * hash, which shows the very line that was changed, and with the signed heads, which nobody can
 * have changed. Behind something that is wrong the head is unknown up to the next seal, where
 * it is taken up again; so one problem does not hide the next.
 */
#include "gateway/audit/verify.h"

#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

enum { GAPS_MAX = 4096 };

/* Numbers that were passed over and may come yet. */
struct missing {
    uint64_t first, last;
};

struct walk {
    struct verify *verify;
    struct seal_list seals;
    size_t next_seal;
    uint8_t head[CHAIN_BYTES];
    bool known; /* the head is */
    uint64_t seq;
    struct missing missing[GAPS_MAX];
    unsigned missing_count;
    const char *file;
    bool began;    /* the first sealed line was seen */
    bool vanished; /* a file was deleted after it had been listed */
};

/* Seals at the number where we stand: they fix the head, or confirm it. */
static void meet_seals(struct walk *walk)
{
    for (; walk->next_seal < walk->seals.count; walk->next_seal++) {
        const struct seal_entry *seal = &walk->seals.items[walk->next_seal];
        if (seal->kind == SEAL_PRUNED)
            continue;
        if (seal->kind == SEAL_GENESIS && walk->next_seal > 0) {
            walk->seq = 0; /* another chain */
            walk->known = false;
        }
        if (seal->seq > walk->seq)
            return;
        if (seal->seq == walk->seq && walk->known &&
            memcmp(seal->head, walk->head, CHAIN_BYTES) != 0)
            verify_add(walk->verify, VERIFY_EDIT, walk->file, seal->seq,
                       "records up to this one are not those that were sealed");
        if (seal->seq == walk->seq) {
            memcpy(walk->head, seal->head, CHAIN_BYTES);
            walk->known = true;
        }
    }
}

static void note_missing(struct walk *walk, uint64_t first, uint64_t last)
{
    walk->known = false;
    if (walk->missing_count == GAPS_MAX) {
        verify_add(walk->verify, VERIFY_DELETE, walk->file, first, "records are missing");
        return;
    }
    walk->missing[walk->missing_count++] = (struct missing){ first, last };
}

/* Whether this number was passed over; then it no longer is. */
static bool was_missing(struct walk *walk, uint64_t seq)
{
    for (unsigned i = 0; i < walk->missing_count; i++) {
        struct missing *gap = &walk->missing[i];
        if (seq < gap->first || seq > gap->last)
            continue;
        struct missing rest = { seq + 1, gap->last };
        gap->last = seq - 1;
        if (rest.first <= rest.last && gap->first > gap->last)
            *gap = rest;
        else if (rest.first <= rest.last && walk->missing_count < GAPS_MAX)
            walk->missing[walk->missing_count++] = rest;
        else if (gap->first > gap->last)
            *gap = walk->missing[--walk->missing_count];
        return true;
    }
    return false;
}

static void tell_missing(struct walk *walk)
{
    for (unsigned i = 0; i < walk->missing_count; i++) {
        const struct missing *gap = &walk->missing[i];
        verify_add(walk->verify, VERIFY_DELETE, NULL, gap->first,
                   "%llu records are missing from here on",
                   (unsigned long long)gap->last - gap->first + 1);
    }
}

static void jump_over(struct walk *walk, uint64_t to)
{
    while (walk->seq + 1 < to) {
        uint64_t first = walk->seq + 1, last = to - 1;
        const struct seal_entry *seal =
            walk->next_seal < walk->seals.count ? &walk->seals.items[walk->next_seal] : NULL;
        if (seal != NULL && seal->seq >= first && seal->seq < last)
            last = seal->seq; /* the head is known again there */
        note_missing(walk, first, last);
        walk->seq = last;
        meet_seals(walk);
    }
}

static void take_next(struct walk *walk, const struct sealed *sealed)
{
    uint8_t leaf[CHAIN_BYTES];
    walk->seq = sealed->seq;
    walk->verify->records++;
    if (walk->known) {
        chain_leaf(sealed->body, leaf);
        chain_advance(walk->head, sealed->seq, leaf);
        if (memcmp(walk->head, sealed->hash, CHAIN_SHOWN) != 0) {
            verify_add(walk->verify, VERIFY_EDIT, walk->file, sealed->seq,
                       "this record was changed");
            walk->known = false;
        }
    }
    meet_seals(walk);
}

/* The first seal of a segment tells how much of its file was there before. */
static void note_older(struct walk *walk, struct span line)
{
    struct verify *verify = walk->verify;
    uint64_t before = verify->older_bytes, there = 0;
    verify->older_lines++;
    verify->older_bytes += line.len + 1;
    for (size_t i = 0; i < walk->seals.count && there == 0; i++)
        if (walk->seals.items[i].kind == SEAL_OPEN) {
            there = walk->seals.items[i].bytes;
            break;
        }
    if (before <= there && verify->older_bytes > there)
        verify_add(verify, VERIFY_INSERT, walk->file, 0,
                   "lines before the first record that were not there when the log began");
}

static void take_line(struct walk *walk, struct span line)
{
    struct sealed sealed;
    if (!sealed_parse(line, &sealed)) {
        if (walk->began)
            verify_add(walk->verify, VERIFY_INSERT, walk->file, walk->seq,
                       "a line that is not sealed stands behind this record");
        else
            note_older(walk, line);
        return;
    }
    walk->began = true;
    if (sealed.seq == walk->seq + 1) {
        take_next(walk, &sealed);
    } else if (sealed.seq > walk->seq) {
        jump_over(walk, sealed.seq);
        take_next(walk, &sealed);
    } else if (was_missing(walk, sealed.seq)) {
        walk->verify->records++;
        verify_add(walk->verify, VERIFY_REORDER, walk->file, sealed.seq,
                   "this record stands behind later ones");
    } else {
        verify_add(walk->verify, VERIFY_DUPLICATE, walk->file, sealed.seq,
                   "a record of this number was there before");
    }
}

static void walk_file(struct walk *walk, const struct segment *segment)
{
    struct lines lines;
    struct span line;
    walk->file = segment->path;
    enum err err = segment_open(&lines, segment);
    walk->vanished |= err == ERR_MISSING;
    while (err == OK && lines_next(&lines, &line))
        take_line(walk, line);
    if (err == OK)
        err = lines.error;
    if (err != OK)
        verify_add(walk->verify, VERIFY_UNREADABLE, segment->path, walk->seq, "%s",
                   err_text(err));
    /* The growing file may be in the middle of a write. */
    if (err == OK && lines.torn && segment->number != UINT64_MAX)
        verify_add(walk->verify, VERIFY_TRUNCATE, segment->path, walk->seq,
                   "ends within a line");
    lines_close(&lines);
}

/* ---- files ---- */

/* Number of the first sealed line in the file; UINT64_MAX: there is none. */
static uint64_t first_seq(const struct segment *segment)
{
    struct lines lines;
    struct span line;
    struct sealed sealed;
    uint64_t seq = UINT64_MAX;
    if (segment_open(&lines, segment) != OK)
        return seq;
    while (seq == UINT64_MAX && lines_next(&lines, &line))
        if (sealed_parse(line, &sealed))
            seq = sealed.seq;
    lines_close(&lines);
    return seq;
}

struct ordered {
    struct segment *segment;
    uint64_t first;
};

static int by_first(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return 0;
}

/* Files whose names say another order than their records are walked in that of the records. */
static void walk_files(struct walk *walk, struct segments *segments)
{
    struct verify *verify = walk->verify;
    struct ordered *order = arena_array(verify->arena, struct ordered, segments->count + 1);
    if (order == NULL) {
        verify_add(verify, VERIFY_UNREADABLE, NULL, 0, "out of memory");
        return;
    }
    uint64_t highest = 0;
    for (size_t i = 0; i < segments->count; i++) {
        order[i] = (struct ordered){ &segments->items[i], first_seq(&segments->items[i]) };
        if (order[i].first != UINT64_MAX && order[i].first < highest)
            verify_add(verify, VERIFY_SWAP, segments->items[i].path, order[i].first,
                       "the files' names and their records are in different orders");
        if (order[i].first != UINT64_MAX && order[i].first > highest)
            highest = order[i].first;
    }
    qsort(order, segments->count, sizeof(order[0]), by_first);
    for (size_t i = 0; i < segments->count; i++)
        walk_file(walk, order[i].segment);
}

static bool was_pruned(const struct seal_list *seals, uint64_t segment)
{
    for (size_t i = seals->count; i > 0; i--)
        if (seals->items[i - 1].kind == SEAL_PRUNED && seals->items[i - 1].segment == segment)
            return true;
    return false;
}

/* Where the records begin that retention has left. */
static void skip_pruned(struct walk *walk)
{
    for (size_t i = 0; i < walk->seals.count; i++) {
        const struct seal_entry *seal = &walk->seals.items[i];
        if (seal->kind != SEAL_CLOSE || !was_pruned(&walk->seals, seal->segment))
            continue;
        walk->verify->pruned++;
        if (seal->seq < walk->seq)
            continue;
        walk->seq = seal->seq;
        memcpy(walk->head, seal->head, CHAIN_BYTES);
        walk->next_seal = i + 1;
    }
}

/* ---- the end of the log ---- */

static void check_end(struct walk *walk, const struct seal_state *state, bool has_state)
{
    struct verify *verify = walk->verify;
    const struct seal_list *seals = &walk->seals;
    uint64_t sealed = seals->count > 0 ? seals->items[seals->count - 1].seq : 0;
    verify->unsealed = walk->seq > sealed ? walk->seq - sealed : 0;
    if (walk->seq < sealed)
        verify_add(verify, VERIFY_TRUNCATE, NULL, walk->seq,
                   "records up to %llu were sealed, and are not here",
                   (unsigned long long)sealed);
    if (!has_state)
        return;
    if (state->sealed_seq < sealed)
        verify_add(verify, VERIFY_RESEAL, NULL, state->sealed_seq,
                   "the state is older than the seals");
    if (walk->seq < state->chain.seq && walk->seq >= sealed && verify->reserved_bytes == 0)
        verify_add(verify, VERIFY_TRUNCATE, NULL, walk->seq,
                   "the recorder had written records up to %llu",
                   (unsigned long long)state->chain.seq);
    if (walk->seq == state->chain.seq && walk->known &&
        memcmp(walk->head, state->chain.head, CHAIN_BYTES) != 0)
        verify_add(verify, VERIFY_EDIT, NULL, walk->seq,
                   "records behind the last checkpoint are not those that were written");
}

static uint64_t reserved_bytes(const char *path)
{
    struct {
        uint64_t magic, base, len;
    } header = { 0, 0, 0 };
    char name[SEAL_PATH_MAX];
    struct text text = text_fixed(name, sizeof(name));
    text_format(&text, "%s.spill", path);
    const char *full = text_cstring(&text);
    struct lines lines;
    if (full == NULL || lines_open(&lines, full, false) != OK)
        return 0;
    ssize_t got = pread(lines.fd, &header, sizeof(header), 0);
    lines_close(&lines);
    return got == (ssize_t)sizeof(header) ? header.len : 0;
}

static enum err read_seals(struct walk *walk, const char *path, const char *pinned)
{
    struct text name = text_growing(walk->verify->arena, 256);
    text_format(&name, "%s.seal", path);
    const char *file = text_cstring(&name);
    struct lines lines;
    if (file == NULL)
        return ERR_MEMORY;
    TRY(lines_open(&lines, file, false));
    enum err err = seals_read(walk->verify, &walk->seals, &lines, file, pinned);
    lines_close(&lines);
    if (walk->seals.count > 0) {
        walk->verify->from = walk->seals.items[0].time;
        walk->verify->to = walk->seals.items[walk->seals.count - 1].time;
    }
    return err;
}

/*
 * A seal is in its file a moment before the state that says so. One that stays behind is told.
 */
static bool read_state(const struct walk *walk, const char *path, struct seal_state *state)
{
    enum { TRIES = 50, PAUSE_US = 20 * 1000 };
    const struct seal_list *seals = &walk->seals;
    uint64_t sealed = seals->count > 0 ? seals->items[seals->count - 1].seq : 0;
    bool has_state = seal_state_read(path, state);

    for (int i = 0; i < TRIES && has_state && state->sealed_seq < sealed; i++) {
        (void)usleep(PAUSE_US);
        has_state = seal_state_read(path, state);
    }
    return has_state;
}

static enum err verify_once(struct walk *walk, const char *path, const char *pinned)
{
    struct verify *verify = walk->verify;
    struct arena *arena = verify->arena;
    struct segments segments;
    struct seal_state state;

    memset(verify, 0, sizeof(*verify));
    verify->arena = arena;
    *walk = (struct walk){ .verify = verify };
    /* In this order a log that grows meanwhile looks whole: each may only be newer than what
     * was read before it. */
    TRY(read_seals(walk, path, pinned));
    bool has_state = read_state(walk, path, &state);
    verify->reserved_bytes = reserved_bytes(path);
    TRY(segments_list(&segments, path, arena));
    verify->segments = segments.count;

    walk->known = true; /* the head before the first record is all zero */
    skip_pruned(walk);
    meet_seals(walk);
    walk_files(walk, &segments);
    segments_close(&segments);
    tell_missing(walk);
    check_end(walk, &state, has_state);
    if (has_state)
        sodium_memzero(&state, sizeof(state));
    return OK;
}

enum err verify_log(struct verify *verify, const char *path, const char *pinned,
                    struct arena *arena)
{
    enum { TRIES = 3 };
    struct walk *walk = arena_new(arena, struct walk);

    memset(verify, 0, sizeof(*verify));
    verify->arena = arena;
    TRY(chain_init());
    if (walk == NULL)
        return ERR_MEMORY;
    walk->verify = verify;
    /* What retention deletes while we read is accounted for in seals that came after ours. */
    for (int i = 0; i < TRIES; i++) {
        TRY(verify_once(walk, path, pinned));
        if (!walk->vanished)
            break;
    }
    return OK;
}
