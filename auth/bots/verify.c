/* A ring of questions, and a table of answers. */
#include "auth/bots/verify.h"

/* A number of the table: until when (32 bits), and the state. */
static struct cell_key key_of(const struct bots_memory *view, const struct addr *addr,
                              struct span name)
{
    char bytes[sizeof(addr->bytes) + 1 + CRAWLER_NAME_BYTES] = { 0 };
    size_t len = name.len < CRAWLER_NAME_BYTES ? name.len : CRAWLER_NAME_BYTES;
    memcpy(bytes, addr->bytes, sizeof(addr->bytes));
    bytes[sizeof(addr->bytes)] = (char)addr->family;
    if (len > 0)
        memcpy(bytes + sizeof(addr->bytes) + 1, name.p, len);
    return (struct cell_key){ siphash(&view->place, bytes, sizeof(bytes)),
                              siphash(&view->fingerprint, bytes, sizeof(bytes)) };
}

static enum verify_state state_of(uint64_t number, uint64_t now_s)
{
    uint64_t state = number & 0xff;
    if (number >> 32 <= now_s || state > VERIFY_UNKNOWN)
        return VERIFY_NOTHING;
    return (enum verify_state)state;
}

static uint64_t number_of(enum verify_state state, uint64_t until_s)
{
    return until_s << 32 | (uint64_t)state;
}

enum verify_state verify_look(const struct bots_memory *view, const struct addr *addr,
                              struct span name, uint64_t now_s)
{
    return state_of(cells_get(&view->verified, key_of(view, addr, name)), now_s);
}

struct verify_claim {
    uint64_t now_s;
    bool first;
};

static bool claim_question(void *ctx, uint64_t seen, uint64_t *next)
{
    struct verify_claim *claim = ctx;
    claim->first = state_of(seen, claim->now_s) == VERIFY_NOTHING;
    *next = number_of(VERIFY_PENDING, claim->now_s + VERIFY_ASKED_S);
    return claim->first;
}

void verify_ask(const struct bots_memory *view, const struct verify_question *question,
                uint64_t now_s)
{
    struct bots_shared *shared = view->shared;
    struct verify_claim claim = { .now_s = now_s };
    struct cell_key key = key_of(view, &question->addr, span_text(question->name));
    if (cells_change(&view->verified, key, now_s << 32, claim_question, &claim, NULL) != OK ||
        !claim.first)
        return;
    uint64_t at = __atomic_fetch_add(&shared->asked, 1, __ATOMIC_RELAXED);
    struct verify_slot *slot = &shared->questions[at % BOTS_QUESTIONS];
    __atomic_store_n(&slot->turn, 0, __ATOMIC_RELEASE);
    slot->question = *question;
    __atomic_store_n(&slot->turn, at + 1, __ATOMIC_RELEASE);
}

bool verify_next(const struct bots_memory *view, uint64_t *cursor,
                 struct verify_question *question)
{
    const struct bots_shared *shared = view->shared;
    uint64_t end = __atomic_load_n(&shared->asked, __ATOMIC_ACQUIRE);
    if (*cursor > end || end - *cursor > BOTS_QUESTIONS)
        *cursor = end > BOTS_QUESTIONS ? end - BOTS_QUESTIONS : 0;
    while (*cursor < end) {
        const struct verify_slot *slot = &shared->questions[*cursor % BOTS_QUESTIONS];
        uint64_t turn = __atomic_load_n(&slot->turn, __ATOMIC_ACQUIRE);
        *question = slot->question;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        bool same = __atomic_load_n(&slot->turn, __ATOMIC_RELAXED) == turn;
        (*cursor)++;
        /* One that is being written is lost: it is asked again when its claim has run out. */
        if (same && turn == *cursor && verify_question_ok(question))
            return true;
    }
    return false;
}

void verify_tell(const struct bots_memory *view, const struct verify_question *question,
                 enum verify_state state, uint64_t now_s, uint64_t ttl_s)
{
    cells_store(&view->verified, key_of(view, &question->addr, span_text(question->name)),
                number_of(state, now_s + ttl_s), now_s << 32);
}

/* ---- names ---- */

static bool is_host_text(const char *text, size_t size)
{
    size_t len = strnlen(text, size);
    if (len == size)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' &&
            c != '_')
            return false;
    }
    return true;
}

bool verify_question_ok(const struct verify_question *question)
{
    bool good = (question->addr.family == ADDR_V4 || question->addr.family == ADDR_V6) &&
                strnlen(question->name, sizeof(question->name)) < sizeof(question->name);
    for (size_t i = 0; i < CRAWLER_DOMAINS_MAX; i++)
        good = good && is_host_text(question->domains[i], sizeof(question->domains[i]));
    return good;
}

bool verify_in_domains(const struct verify_question *question, const char *host)
{
    struct span name = span_text(host);
    for (size_t i = 0; i < CRAWLER_DOMAINS_MAX; i++) {
        struct span domain = span_text(question->domains[i]);
        /* A label of its own before it: evilgooglebot.com is not below googlebot.com. */
        if (domain.len > 0 && name.len > domain.len + 1 && span_ends(name, domain) &&
            name.p[name.len - domain.len - 1] == '.')
            return true;
    }
    return false;
}

void verify_reverse_name(struct text *out, const struct addr *addr)
{
    static const char digits[] = "0123456789abcdef";
    if (addr->family == ADDR_V4) {
        for (unsigned i = 4; i > 0; i--) {
            text_uint(out, addr->bytes[i - 1]);
            text_char(out, '.');
        }
        text_lit(out, "in-addr.arpa.");
        return;
    }
    for (unsigned i = 16; i > 0; i--) {
        text_char(out, digits[addr->bytes[i - 1] & 15]);
        text_char(out, '.');
        text_char(out, digits[addr->bytes[i - 1] >> 4]);
        text_char(out, '.');
    }
    text_lit(out, "ip6.arpa.");
}
