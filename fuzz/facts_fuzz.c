/*
 * What is known of patterns, from a file with any bytes in it: nothing outside is read, what is
 * needed keeps within its limits, and what was read and written again is known again.
 *
 * The patterns that are asked about are those that the bytes themselves name.
 */
#include "rules/engine/facts.h"

enum { HEAD_BYTES = 24, ASKED_MAX = 64, TEXT_MAX = 300, FLAGS = 7 /* HS_FLAG_* of patterns */ };

struct asked {
    unsigned flags;
    char text[TEXT_MAX + 1];
};

/* The keys of records, as far as they are patterns that can be derived from quickly. */
static unsigned patterns_in(const uint8_t *data, size_t size, struct asked *asked)
{
    unsigned count = 0;
    while (size >= HEAD_BYTES && count < ASKED_MAX) {
        struct asked *next = &asked[count];
        uint32_t key_len, need_len, ways_len;
        memcpy(&key_len, data + 8, sizeof(key_len));
        memcpy(&need_len, data + 12, sizeof(need_len));
        memcpy(&ways_len, data + 20, sizeof(ways_len));
        data += HEAD_BYTES;
        size -= HEAD_BYTES;
        if (key_len > size || need_len > size - key_len || ways_len > size - key_len - need_len)
            break;
        if (key_len >= sizeof(next->flags) && key_len - sizeof(next->flags) <= TEXT_MAX) {
            size_t len = key_len - sizeof(next->flags);
            memcpy(&next->flags, data, sizeof(next->flags));
            memcpy(next->text, data + sizeof(next->flags), len);
            next->text[len] = '\0';
            count += strlen(next->text) == len;
        }
        data += key_len + need_len + ways_len;
        size -= key_len + need_len + ways_len;
    }
    return count;
}

static void check_texts(const struct span *texts, unsigned count, unsigned *sum)
{
    INVARIANT(count <= NEED_TEXTS_MAX);
    for (unsigned i = 0; i < count; i++) {
        INVARIANT(texts[i].len >= 1 && texts[i].len <= NEED_TEXT_BYTES_MAX);
        for (size_t j = 0; j < texts[i].len; j++)
            *sum = *sum * 31 + (uint8_t)texts[i].p[j];
    }
}

static unsigned ask_ways(struct facts *facts, const struct asked *asked, struct arena *arena)
{
    struct pattern_ways ways;
    unsigned sum = 0;
    INVARIANT(facts_ways(facts, asked->text, asked->flags & FLAGS, arena, &ways) == OK);
    INVARIANT(ways.count <= NEED_WAYS_MAX);
    for (unsigned i = 0; i < ways.count; i++) {
        const struct need_way *way = &ways.items[i];
        INVARIANT(way->set_count <= NEED_SETS_MAX && way->list_count <= NEED_LISTS);
        for (unsigned j = 0; j < way->set_count; j++)
            sum = sum * 31 + byte_set_share(&way->sets[j]);
        for (unsigned j = 0; j < NEED_STARTS; j++)
            sum = sum * 31 + byte_set_share(&way->starts[j]);
        for (unsigned j = 0; j < way->list_count; j++)
            check_texts(way->lists[j].texts, way->lists[j].count, &sum);
    }
    return sum;
}

/* A number for all that is answered. */
static unsigned ask(struct facts *facts, const struct asked *asked, struct arena *arena)
{
    struct pattern_need need;
    unsigned sum = ask_ways(facts, asked, arena);
    INVARIANT(facts_need(facts, asked->text, asked->flags & FLAGS, arena, &need) == OK);
    INVARIANT(need.set_count <= NEED_SETS_MAX);
    check_texts(need.texts, need.text_count, &sum);
    for (unsigned i = 0; i < need.set_count; i++)
        sum = sum * 31 + byte_set_share(&need.sets[i]);
    sum = sum * 31 + byte_set_share(&need.bytes) + byte_set_share(&need.relied);
    sum = sum * 4 + need.literal * 2u + need.never;
    return sum * 2 + facts_is_blind_to_case(facts, asked->text, asked->flags & FLAGS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct asked asked[ASKED_MAX];
    unsigned answers[ASKED_MAX];
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    struct facts *facts = facts_open(span_of((const char *)data, size));
    INVARIANT(facts != NULL);
    unsigned count = patterns_in(data, size, asked);
    for (unsigned i = 0; i < count; i++)
        answers[i] = ask(facts, &asked[i], &arena);
    (void)facts_is_blind_to_case(facts, "news", 1U << 20);
    struct span written = arena_copy(&arena, facts_content(facts));
    facts_close(facts);
    if (written.p != NULL && written.len > 0) {
        facts = facts_open(written);
        INVARIANT(facts != NULL);
        for (unsigned i = 0; i < count; i++)
            INVARIANT(ask(facts, &asked[i], &arena) == answers[i]);
        INVARIANT(facts_content(facts).p == NULL);
        facts_close(facts);
    }
    arena_reset(&arena);
    return 0;
}
