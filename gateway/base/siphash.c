/* SipHash-2-4 after the paper's section 2, and random bytes from the kernel. */
#include "gateway/base/siphash.h"

#include <endian.h>
#include <errno.h>
#include <sys/random.h>

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

/* What follows is one straight line in each hash: through memory it would take twice as long.
 */
#define INLINE static inline __attribute__((always_inline))

INLINE void rounds(struct siphash_state *s, unsigned count)
{
#pragma GCC unroll 4
    for (unsigned i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

INLINE void absorb(struct siphash_state *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

static inline struct siphash_state begin(const struct siphash_key *key)
{
    return (struct siphash_state){
        .v0 = key->k0 ^ 0x736f6d6570736575u,
        .v1 = key->k1 ^ 0x646f72616e646f6du,
        .v2 = key->k0 ^ 0x6c7967656e657261u,
        .v3 = key->k1 ^ 0x7465646279746573u,
    };
}

static inline uint64_t load32(const unsigned char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof(word));
    return le32toh(word);
}

/* Up to seven bytes, by loads that overlap. */
static inline uint64_t load_rest(const unsigned char *p, size_t len)
{
    if (len >= 4)
        return load32(p) | load32(p + len - 4) << (8 * (len - 4));
    if (len == 0)
        return 0;
    return (uint64_t)p[0] | (uint64_t)p[len / 2] << (8 * (len / 2)) |
           (uint64_t)p[len - 1] << (8 * (len - 1));
}

INLINE void absorb_all(struct siphash_state *s, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    size_t left = len;
    s->len += len;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        absorb(s, le64toh(word));
    }
    absorb(s, s->len << 56 | load_rest(p, left));
}

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len)
{
    struct siphash_state s = begin(key);
    absorb_all(&s, bytes, len);
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

struct siphash_state siphash128_begin(const struct siphash_key *key, const void *bytes,
                                      size_t len)
{
    struct siphash_state s = begin(key);
    const unsigned char *p = bytes;
    INVARIANT(len % 8 == 0);
    s.v1 ^= 0xee;
    s.len = len;
    for (; len > 0; len -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        absorb(&s, le64toh(word));
    }
    return s;
}

uint64_t siphash128_first(struct siphash_state *state, const void *bytes, size_t len)
{
    struct siphash_state s = *state;
    absorb_all(&s, bytes, len);
    s.v2 ^= 0xee;
    rounds(&s, 4);
    *state = s;
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash128_second(struct siphash_state *state)
{
    struct siphash_state s = *state;
    s.v1 ^= 0xdd;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

void random_bytes(void *out, size_t len)
{
    char *p = out;
    while (len > 0) {
        ssize_t got = getrandom(p, len, 0);
        INVARIANT(got > 0 || (got < 0 && errno == EINTR));
        if (got > 0) {
            p += got;
            len -= (size_t)got;
        }
    }
}
