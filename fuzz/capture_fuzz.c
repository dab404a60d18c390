/*
 * A file of captures: frames are found within it, whatever stands there; what opens is what was
 * sealed. The input is a file; then, sealed by a key that the harness has, it is also what a
 * worker that was taken over could have said. Facts that can be read name only what there is.
 */
#include <stdlib.h>

#include "gateway/audit/capture.h"
#include "gateway/chain/config.h"
#include "gateway/cli/replay.h"

static struct capture_opener opener;
static const uint8_t secret[CAPTURE_KEY_BYTES] = { 1, 2, 3 };

static void free_facts(struct captured_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        json_decref(list->items[i].facts);
}

static void check_facts(const struct captured_list *list, struct arena *arena)
{
    static struct config config;
    for (size_t i = 0; i < list->count; i++) {
        struct replay_facts facts;
        if (!replay_facts_read(&facts, list->items[i].facts, &config, arena))
            continue;
        INVARIANT(facts.replayed.word_count <= REPLAYED_WORDS_MAX);
        for (unsigned k = 0; k < facts.replayed.word_count; k++) {
            INVARIANT(facts.replayed.words[k].said.reason != REASON_NONE);
            INVARIANT(facts.replayed.words[k].said.reason < REASON_COUNT);
            INVARIANT(facts.replayed.words[k].said.action != ACTION_WAIT);
        }
        INVARIANT(facts.replayed.geo.country[2] == '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct captured_list list = { .count = 0 };
    struct capture_parts parts;
    struct span input = span_of((const char *)data, size);
    if (!opener.known)
        INVARIANT(capture_opener_open(&opener, secret));
    arena_init(&arena, NULL, 0, NULL, (size_t)64 << 20);
    captured_add(&list, input, &opener, &arena);
    check_facts(&list, &arena);
    free_facts(&list);
    if (capture_parts_read(input, &parts)) {
        INVARIANT(parts.facts.len + parts.head.len + parts.body.len + 12 == size);
        json_t *facts =
            json_loadb(parts.facts.p, parts.facts.len, JSON_REJECT_DUPLICATES, NULL);
        struct captured one = { .parts = parts, .facts = facts };
        list = (struct captured_list){ .items = &one, .count = facts != NULL };
        check_facts(&list, &arena);
        free_facts(&list);
    }
    arena_reset(&arena);
    return 0;
}
