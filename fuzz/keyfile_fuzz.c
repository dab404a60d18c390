/*
 * Files of API keys, and blocks of them as a worker gets them. What is read is written and read
 * again as the same; what is built is valid; a block that is valid holds nobody's key but those
 * whose hash it has, so no key that the fuzzer knows.
 */
#include "auth/keyfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char known[] =
    "sp_aaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static void check_file(struct span text, struct arena *arena)
{
    struct apikeys keys, again;
    struct span block;
    unsigned line;
    enum err err = keyfile_parse(text, arena, &keys, &line);
    INVARIANT((err == OK) == (line == 0) || err == ERR_MEMORY || err == ERR_LIMIT);
    if (err != OK)
        return;
    struct text out = text_growing(arena, text.len);
    for (size_t i = 0; i < keys.count; i++)
        keyfile_write(&out, &keys.items[i]);
    INVARIANT(keyfile_parse(text_span(&out), arena, &again, &line) == OK);
    INVARIANT(again.count == keys.count);
    if (keys.count > 0)
        INVARIANT(memcmp(again.items, keys.items, keys.count * sizeof(*keys.items)) == 0);
    if (keyfile_build(text, arena, &block, &line) != OK)
        return;
    INVARIANT(keyfile_valid(block) && keyfile_count(block) == keys.count);
    INVARIANT(keyfile_find(block, span_text(known)) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size > 64 * 1024)
        return 0;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    struct span text = span_of((const char *)data, size);
    check_file(text, &arena);
    struct span block = arena_copy(&arena, text); /* aligned */
    if (keyfile_valid(block))
        INVARIANT(keyfile_find(block, span_text(known)) == NULL);
    INVARIANT(!apikey_is_one(text) || size == APIKEY_BYTES);
    arena_reset(&arena);
    return 0;
}
