/*
 * Under AddressSanitizer, memory that an allocator of ours holds but has not given out cannot
 * be touched; elsewhere these are nothing. Without them a read past a span in an arena goes
 * unseen, because the neighbour is valid memory.
 */
#ifndef SALLYPORT_POISON_H
#define SALLYPORT_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define POISON_ON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_ON 1
#endif
#endif

#ifdef POISON_ON
#include <sanitizer/asan_interface.h>
#define POISON(p, len) __asan_poison_memory_region((p), (len))
#define UNPOISON(p, len) __asan_unpoison_memory_region((p), (len))
#else
#define POISON(p, len) ((void)(p), (void)(len))
#define UNPOISON(p, len) ((void)(p), (void)(len))
#endif

#endif
