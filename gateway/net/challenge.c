/* The steward's answers for certificate authorities, as workers look them up. */
#include "gateway/net/challenge.h"

bool challenge_token_valid(struct span token)
{
    if (token.len < CHALLENGE_TOKEN_MIN || token.len > CHALLENGE_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '-' && c != '_')
            return false;
    }
    return true;
}

static struct span text_of(const char *text, size_t size)
{
    return span_of(text, strnlen(text, size));
}

static bool entry_valid(const struct challenge *entry)
{
    struct span name = text_of(entry->name, sizeof(entry->name));
    struct span token = text_of(entry->token, sizeof(entry->token));
    struct span answer = text_of(entry->answer, sizeof(entry->answer));

    if (name.len == 0 || name.len > CHALLENGE_NAME_MAX ||
        entry->cert_len > CHALLENGE_CERT_MAX || entry->key_len > CHALLENGE_KEY_MAX)
        return false;
    if (token.len == 0)
        return answer.len == 0 && entry->cert_len > 0 && entry->key_len > 0;
    return challenge_token_valid(token) && answer.len > token.len + 1 &&
           answer.len <= CHALLENGE_ANSWER_MAX && span_starts(answer, token) &&
           entry->cert_len == 0 && entry->key_len == 0;
}

bool challenges_valid(struct span block)
{
    const struct challenges *all = (const void *)block.p;

    if (block.len < challenges_size(0) || all->magic != CHALLENGES_MAGIC ||
        all->count > CHALLENGES_MAX || block.len != challenges_size(all->count))
        return false;
    for (uint32_t i = 0; i < all->count; i++)
        if (!entry_valid(&all->items[i]))
            return false;
    return true;
}

static const struct challenges *open_block(struct span block)
{
    return block.len >= challenges_size(0) ? (const void *)block.p : NULL;
}

struct span challenge_answer(struct span block, struct span host, struct span path)
{
    const struct challenges *all = open_block(block);

    if (all == NULL || all->count == 0 || !span_starts(path, SPAN(CHALLENGE_PATH)))
        return span_of(NULL, 0);
    struct span token = span_sub(path, sizeof(CHALLENGE_PATH) - 1, path.len);
    if (!challenge_token_valid(token)) /* nor is an entry without a token found */
        return span_of(NULL, 0);
    for (uint32_t i = 0; i < all->count; i++)
        if (span_equal(span_text(all->items[i].token), token) &&
            span_equal_nocase(span_text(all->items[i].name), host))
            return span_text(all->items[i].answer);
    return span_of(NULL, 0);
}

const struct challenge *challenge_certificate(struct span block, struct span name)
{
    const struct challenges *all = open_block(block);

    for (uint32_t i = 0; all != NULL && name.len > 0 && i < all->count; i++)
        if (all->items[i].cert_len > 0 && span_equal(span_text(all->items[i].name), name))
            return &all->items[i];
    return NULL;
}
