/* One memory for a test: see memory_kit.h. */
#include "tests/unit/auth/bots/memory_kit.h"

#include <stdlib.h>

struct bots_memory memory_kit;
static void *memory;

void memory_kit_over(struct bots_memory *other)
{
    static const uint8_t boot_key[32] = "a key of this boot, for tests ..";
    bots_memory_over(other, memory, boot_key);
}

void memory_kit_fill(int byte)
{
    memset(memory, byte, bots_memory_bytes());
}

int memory_kit_open(void **state)
{
    (void)state;
    memory = aligned_alloc(128, bots_memory_bytes());
    if (memory == NULL)
        return -1;
    memory_kit_fill(0);
    memory_kit_over(&memory_kit);
    return 0;
}

int memory_kit_close(void **state)
{
    (void)state;
    free(memory);
    return 0;
}
