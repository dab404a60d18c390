/*
 * All numbers begin with a point in time, for a full set of cells gives up its smallest.
 * Counts: the second of the last attempt above 24 bits of how many failed. Spread: the second
 * in which the window began above a bit for each of 24 groups of accounts. Shut: the second
 * until which above zeros. Marks are steps of 30 seconds.
 */
#include "auth/lockout.h"

#include "gateway/base/text.h"

enum { PAYLOAD_BITS = 24, KEY_BYTES_MAX = 512, MARK_STEP_S = 30 };
#define PAYLOAD ((UINT64_C(1) << PAYLOAD_BITS) - 1)

enum kind {
    KIND_PAIR,
    KIND_ADDRESS,
    KIND_ACCOUNT,
    KIND_SECOND,
    KIND_SPREAD,
    KIND_SHUT,
    KIND_STEP,
    KIND_CODE,
    KIND_HOME,
    KIND_TOOL_SPREAD,
    KIND_TOOL_WRONG,
    KIND_TOOL_RIGHT,
    KIND_TOOL_PACE,
};

static const struct pauses {
    unsigned free;
    uint64_t longest_s;
} pauses[] = {
    [KIND_PAIR] = { LOCKOUT_PAIR_FREE, LOCKOUT_PAUSE_MAX_S },
    [KIND_ADDRESS] = { LOCKOUT_ADDRESS_FREE, LOCKOUT_PAUSE_MAX_S },
    [KIND_ACCOUNT] = { LOCKOUT_ACCOUNT_FREE, LOCKOUT_ACCOUNT_PAUSE_MAX_S },
    [KIND_SECOND] = { LOCKOUT_SECOND_FREE, LOCKOUT_PAUSE_MAX_S },
};

size_t lockout_bytes(void)
{
    return ((cells_bytes(LOCKOUT_CELLS) + 63) & ~(size_t)63) + cells_bytes(LOCKOUT_MARKS);
}

void lockout_over(struct lockout *lockout, void *memory, const uint8_t boot_key[32])
{
    char *marks = (char *)memory + ((cells_bytes(LOCKOUT_CELLS) + 63) & ~(size_t)63);
    struct siphash_key boot;
    uint64_t words[4];
    cells_over(&lockout->counts, memory, LOCKOUT_CELLS);
    cells_over(&lockout->marks, marks, LOCKOUT_MARKS);
    memcpy(&boot, boot_key, sizeof(boot));
    for (unsigned i = 0; i < 4; i++) {
        char use[8] = "signin0";
        use[6] = (char)('0' + i);
        words[i] = siphash(&boot, use, sizeof(use));
    }
    lockout->place = (struct siphash_key){ words[0], words[1] };
    lockout->fingerprint = (struct siphash_key){ words[2], words[3] };
}

/* ---- keys ---- */

static struct cell_key key_of(const struct lockout *lockout, enum kind kind,
                              const struct addr *client, struct span user, struct span more)
{
    char buffer[KEY_BYTES_MAX];
    struct text text = text_fixed(buffer, sizeof(buffer));
    struct addr subscriber = { 0 };
    if (client != NULL && !addr_subscriber(client, &subscriber))
        subscriber = *client;
    uint64_t len = user.len;
    text_char(&text, (char)kind);
    text_add(&text, span_of((const char *)subscriber.bytes, sizeof(subscriber.bytes)));
    text_char(&text, (char)subscriber.family);
    text_add(&text, span_of((const char *)&len, sizeof(len)));
    text_add(&text, user);
    text_add(&text, more);
    INVARIANT(!text.overflow);
    return (struct cell_key){ .place = siphash(&lockout->place, text.p, text.len),
                              .fingerprint = siphash(&lockout->fingerprint, text.p, text.len) };
}

static const struct span none = SPAN_INIT("");

static struct cell_key count_key(const struct lockout *lockout, enum kind kind,
                                 const struct attempt *attempt)
{
    return key_of(lockout, kind, kind == KIND_ACCOUNT ? NULL : attempt->client,
                  kind == KIND_ADDRESS ? none : attempt->user,
                  attempt->known ? SPAN("known") : none);
}

/* ---- counting ---- */

static uint64_t failures_of(uint64_t number, uint64_t now_s)
{
    uint64_t last_s = number >> PAYLOAD_BITS;
    bool old = now_s > last_s && now_s - last_s > LOCKOUT_FORGET_S;
    return old ? 0 : number & PAYLOAD;
}

/* How long after the last attempt the next one may come, less what has passed. */
static uint64_t wait_of(enum kind kind, uint64_t number, uint64_t now_s)
{
    uint64_t failures = failures_of(number, now_s), last_s = number >> PAYLOAD_BITS;
    if (failures < pauses[kind].free)
        return 0;
    uint64_t doublings = failures - pauses[kind].free;
    uint64_t pause = doublings < 32 ? UINT64_C(1) << doublings : pauses[kind].longest_s;
    if (pause > pauses[kind].longest_s)
        pause = pauses[kind].longest_s;
    uint64_t passed = now_s > last_s ? now_s - last_s : 0;
    return passed < pause ? pause - passed : 0;
}

struct counting {
    enum kind kind;
    uint64_t now_s, wait_s;
};

static bool step_count(void *ctx, uint64_t seen, uint64_t *next)
{
    struct counting *counting = ctx;
    uint64_t failures = failures_of(seen, counting->now_s);
    counting->wait_s = wait_of(counting->kind, seen, counting->now_s);
    failures += failures < PAYLOAD;
    *next = counting->now_s << PAYLOAD_BITS | failures;
    return counting->wait_s == 0;
}

static uint64_t stale_number(uint64_t now_s)
{
    return now_s > LOCKOUT_FORGET_S ? (now_s - LOCKOUT_FORGET_S) << PAYLOAD_BITS : 0;
}

static uint64_t count_one(const struct lockout *lockout, struct cell_key key, enum kind kind,
                          uint64_t now_s)
{
    struct counting counting = { .kind = kind, .now_s = now_s };
    enum err err =
        cells_change(&lockout->counts, key, stale_number(now_s), step_count, &counting, NULL);
    return err != OK ? 1 : counting.wait_s; /* so many at once: one second for this one */
}

/* One attempt back, or all of them. */
struct taking_back {
    bool all;
};

static bool step_back(void *ctx, uint64_t seen, uint64_t *next)
{
    const struct taking_back *back = ctx;
    uint64_t failures = seen & PAYLOAD;
    if (failures == 0)
        return false;
    *next = (seen & ~PAYLOAD) | (back->all ? 0 : failures - 1);
    return true;
}

static void take_back(const struct lockout *lockout, struct cell_key key, bool all)
{
    struct taking_back back = { .all = all };
    enum err err = cells_change(&lockout->counts, key, 0, step_back, &back, NULL);
    (void)err; /* under a storm it stays counted: the strict side */
}

/* ---- passwords ---- */

static const enum kind kinds[] = { KIND_PAIR, KIND_ADDRESS, KIND_ACCOUNT };

static bool counts_for(enum kind kind, const struct attempt *attempt)
{
    return kind == KIND_PAIR || !attempt->known;
}

static uint64_t shut_left(const struct lockout *lockout, const struct attempt *attempt)
{
    uint64_t number =
        cells_get(&lockout->counts, key_of(lockout, KIND_SHUT, attempt->client, none, none));
    uint64_t until_s = number >> PAYLOAD_BITS;
    /* The memory could say anything. */
    uint64_t left = until_s > attempt->now_s ? until_s - attempt->now_s : 0;
    return left < LOCKOUT_SHUT_S ? left : LOCKOUT_SHUT_S;
}

/* ---- tools ---- */

struct windowed {
    uint64_t now_s, payload;
};

static bool in_window(uint64_t number, uint64_t now_s)
{
    uint64_t began_s = number >> PAYLOAD_BITS;
    return began_s <= now_s && now_s - began_s <= LOCKOUT_SPREAD_S;
}

static bool step_one_more(void *ctx, uint64_t seen, uint64_t *next)
{
    const struct windowed *window = ctx;
    bool same = in_window(seen, window->now_s);
    uint64_t count = same ? seen & PAYLOAD : 0;
    count += count < PAYLOAD;
    *next = (same ? seen & ~PAYLOAD : window->now_s << PAYLOAD_BITS) | count;
    return true;
}

static void count_tool(const struct lockout *lockout, enum kind kind,
                       const struct attempt *attempt)
{
    struct windowed window = { .now_s = attempt->now_s };
    if (attempt->ja4.len == 0)
        return;
    enum err err =
        cells_change(&lockout->counts, key_of(lockout, kind, NULL, attempt->ja4, none),
                     stale_number(attempt->now_s), step_one_more, &window, NULL);
    (void)err; /* under a storm one more or less is of no weight */
}

static uint64_t tool_number(const struct lockout *lockout, enum kind kind,
                            const struct attempt *attempt)
{
    uint64_t number =
        cells_get(&lockout->counts, key_of(lockout, kind, NULL, attempt->ja4, none));
    return in_window(number, attempt->now_s) ? number & PAYLOAD : 0;
}

static bool is_tool(const struct lockout *lockout, const struct attempt *attempt)
{
    uint64_t wrong = tool_number(lockout, KIND_TOOL_WRONG, attempt);
    uint64_t right = tool_number(lockout, KIND_TOOL_RIGHT, attempt);
    return wrong >= LOCKOUT_TOOL_WRONG && right * LOCKOUT_TOOL_RATIO < wrong &&
           __builtin_popcountll(tool_number(lockout, KIND_TOOL_SPREAD, attempt)) >=
               LOCKOUT_SPREAD_MAX;
}

static bool step_pace(void *ctx, uint64_t seen, uint64_t *next)
{
    struct windowed *window = ctx;
    window->payload = seen >> PAYLOAD_BITS == window->now_s; /* somebody had this second */
    *next = window->now_s << PAYLOAD_BITS;
    return window->payload == 0;
}

/* One a second of them all. */
static uint64_t tool_wait(const struct lockout *lockout, const struct attempt *attempt)
{
    struct windowed window = { .now_s = attempt->now_s };
    if (attempt->known || attempt->ja4.len == 0 || !is_tool(lockout, attempt))
        return 0;
    enum err err = cells_change(&lockout->counts,
                                key_of(lockout, KIND_TOOL_PACE, NULL, attempt->ja4, none),
                                stale_number(attempt->now_s), step_pace, &window, NULL);
    return err != OK || window.payload != 0 ? 2 : 0;
}

uint64_t lockout_look(const struct lockout *lockout, const struct attempt *attempt)
{
    uint64_t longest = attempt->known ? 0 : shut_left(lockout, attempt);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!counts_for(kinds[i], attempt))
            continue;
        uint64_t number = cells_get(&lockout->counts, count_key(lockout, kinds[i], attempt));
        uint64_t wait_s = wait_of(kinds[i], number, attempt->now_s);
        longest = wait_s > longest ? wait_s : longest;
    }
    return longest > 0 ? longest : tool_wait(lockout, attempt);
}

uint64_t lockout_begin(const struct lockout *lockout, const struct attempt *attempt)
{
    /* Look at all, then count all: who has to wait for one does not count for the others. */
    uint64_t longest = lockout_look(lockout, attempt);
    for (size_t i = 0; longest == 0 && i < ARRAY_LEN(kinds); i++) {
        if (!counts_for(kinds[i], attempt))
            continue;
        longest =
            count_one(lockout, count_key(lockout, kinds[i], attempt), kinds[i], attempt->now_s);
    }
    return longest;
}

void lockout_right(const struct lockout *lockout, const struct attempt *attempt)
{
    /* An address does not clear itself by one account of its own. */
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (counts_for(kinds[i], attempt))
            take_back(lockout, count_key(lockout, kinds[i], attempt), kinds[i] == KIND_PAIR);
    count_tool(lockout, KIND_TOOL_RIGHT, attempt);
}

void lockout_undone(const struct lockout *lockout, const struct attempt *attempt)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (counts_for(kinds[i], attempt))
            take_back(lockout, count_key(lockout, kinds[i], attempt), false);
}

struct spreading {
    uint64_t now_s, bit;
    bool over;
};

static bool step_spread(void *ctx, uint64_t seen, uint64_t *next)
{
    struct spreading *spreading = ctx;
    uint64_t began_s = seen >> PAYLOAD_BITS, bits = seen & PAYLOAD;
    if (began_s > spreading->now_s || spreading->now_s - began_s > LOCKOUT_SPREAD_S) {
        began_s = spreading->now_s;
        bits = 0;
    }
    bits |= spreading->bit;
    spreading->over = __builtin_popcountll(bits) >= LOCKOUT_SPREAD_MAX;
    *next = began_s << PAYLOAD_BITS | bits;
    return *next != seen;
}

/* Which accounts an address has failed with: many is not one person who has forgotten his. */
void lockout_wrong(const struct lockout *lockout, const struct attempt *attempt)
{
    _Static_assert((int)LOCKOUT_SPREAD_BITS <= (int)PAYLOAD_BITS, "a bit for each");
    uint64_t hash = siphash(&lockout->place, attempt->user.p, attempt->user.len);
    struct spreading spreading = { .now_s = attempt->now_s,
                                   .bit = UINT64_C(1) << hash % LOCKOUT_SPREAD_BITS };
    struct cell_key key = key_of(lockout, KIND_SPREAD, attempt->client, none, none);
    if (attempt->known)
        return; /* whoever it is, not somebody who tries one account after the other */
    count_tool(lockout, KIND_TOOL_WRONG, attempt);
    if (attempt->ja4.len > 0) {
        struct spreading tool = spreading;
        enum err noted = cells_change(
            &lockout->counts, key_of(lockout, KIND_TOOL_SPREAD, NULL, attempt->ja4, none),
            stale_number(attempt->now_s), step_spread, &tool, NULL);
        (void)noted;
    }
    enum err err = cells_change(&lockout->counts, key, stale_number(attempt->now_s),
                                step_spread, &spreading, NULL);
    if (err == OK && spreading.over)
        cells_store(&lockout->counts, key_of(lockout, KIND_SHUT, attempt->client, none, none),
                    (attempt->now_s + LOCKOUT_SHUT_S) << PAYLOAD_BITS,
                    stale_number(attempt->now_s));
}

/* ---- without counting beforehand ---- */

void lockout_failed(const struct lockout *lockout, const struct attempt *attempt)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (counts_for(kinds[i], attempt))
            (void)count_one(lockout, count_key(lockout, kinds[i], attempt), kinds[i],
                            attempt->now_s);
    lockout_wrong(lockout, attempt);
}

static struct cell_key home_key(const struct lockout *lockout, const struct attempt *attempt)
{
    return key_of(lockout, KIND_HOME, attempt->client, attempt->user, none);
}

void lockout_proved(const struct lockout *lockout, const struct attempt *attempt)
{
    take_back(lockout, count_key(lockout, KIND_PAIR, attempt), true);
    count_tool(lockout, KIND_TOOL_RIGHT, attempt);
    /* In steps, as all that stands there. */
    cells_store(&lockout->marks, home_key(lockout, attempt), attempt->now_s / MARK_STEP_S, 0);
}

bool lockout_was_here(const struct lockout *lockout, const struct attempt *attempt)
{
    uint64_t step = cells_get(&lockout->marks, home_key(lockout, attempt));
    uint64_t now = attempt->now_s / MARK_STEP_S;
    return step != 0 && step <= now && now - step <= LOCKOUT_HOME_S / MARK_STEP_S;
}

/* ---- second factors ---- */

uint64_t lockout_second_begin(const struct lockout *lockout, struct span user, uint64_t now_s)
{
    return count_one(lockout, key_of(lockout, KIND_SECOND, NULL, user, none), KIND_SECOND,
                     now_s);
}

void lockout_second_right(const struct lockout *lockout, struct span user)
{
    take_back(lockout, key_of(lockout, KIND_SECOND, NULL, user, none), true);
}

/* ---- things that are good once ---- */

static struct cell_key mark_key(const struct lockout *lockout, enum kind kind, struct span user,
                                uint64_t epoch, struct span what)
{
    char buffer[64];
    struct text more = text_fixed(buffer, sizeof(buffer));
    text_add(&more, span_of((const char *)&epoch, sizeof(epoch)));
    text_add(&more, what);
    INVARIANT(!more.overflow);
    return key_of(lockout, kind, NULL, user, text_span(&more));
}

struct taking {
    uint64_t step;
    bool code, taken;
};

static bool step_take(void *ctx, uint64_t seen, uint64_t *next)
{
    struct taking *taking = ctx;
    taking->taken = taking->code ? seen == 0 : seen < taking->step;
    *next = taking->step;
    return taking->taken;
}

static bool take(const struct lockout *lockout, struct cell_key key, struct taking taking)
{
    enum { DAY_STEPS = 86400 / 30 };
    uint64_t stale = taking.step > DAY_STEPS ? taking.step - DAY_STEPS : 0;
    return cells_change(&lockout->marks, key, stale, step_take, &taking, NULL) == OK &&
           taking.taken;
}

bool lockout_take_step(const struct lockout *lockout, struct span user, uint64_t epoch,
                       uint64_t step)
{
    return take(lockout, mark_key(lockout, KIND_STEP, user, epoch, none),
                (struct taking){ .step = step });
}

bool lockout_take_code(const struct lockout *lockout, struct span user, uint64_t epoch,
                       const void *hash, size_t len, uint64_t step)
{
    return take(lockout, mark_key(lockout, KIND_CODE, user, epoch, span_of(hash, len)),
                (struct taking){ .step = step, .code = true });
}

uint64_t lockout_step(const struct lockout *lockout, struct span user, uint64_t epoch)
{
    return cells_get(&lockout->marks, mark_key(lockout, KIND_STEP, user, epoch, none));
}

bool lockout_code_taken(const struct lockout *lockout, struct span user, uint64_t epoch,
                        const void *hash, size_t len)
{
    return cells_get(&lockout->marks,
                     mark_key(lockout, KIND_CODE, user, epoch, span_of(hash, len))) != 0;
}
