/* What tests of the memory that bots share have in common: one, empty, for each test. */
#ifndef SALLYPORT_TESTS_MEMORY_KIT_H
#define SALLYPORT_TESTS_MEMORY_KIT_H

#include "auth/bots/memory.h"

extern struct bots_memory memory_kit;

/* Of cmocka. */
int memory_kit_open(void **state);
int memory_kit_close(void **state);
/* Every byte of it says so. */
void memory_kit_fill(int byte);
/* Another process over the same memory. */
void memory_kit_over(struct bots_memory *other);

#endif
