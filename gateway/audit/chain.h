/*
 * The hash chain over audit lines. Of a line that a worker made,
 *
 *     {"@timestamp":...,"sallyport":{...}}
 *
 * the sealed form is the same with three members more at its end:
 *
 *     {"@timestamp":...,"sallyport":{...,"seq":N,"hash":"H","mac":"M"}}
 *
 *     leaf  = BLAKE2b-256(the line as the worker made it)
 *     head' = BLAKE2b-256(head | N | leaf)          N: eight bytes, low first
 *     H     = first 16 bytes of head', M = first 16 bytes of BLAKE2b-256(head'; key)
 *     key'  = BLAKE2b-256("sallyport ratchet"; key)
 *
 * Anybody can follow the heads; signed checkpoints (seal.h) say which head is the true one. The
 * key is known to the recorder alone and moves on with every record, so who takes the key later
 * can forge no earlier record.
 */
#ifndef SALLYPORT_AUDIT_CHAIN_H
#define SALLYPORT_AUDIT_CHAIN_H

#include "gateway/base/text.h"

enum { CHAIN_BYTES = 32, CHAIN_SHOWN = 16, CHAIN_SUFFIX_MAX = 128 };

struct chain {
    uint64_t seq; /* of the last record; 0: none */
    uint8_t head[CHAIN_BYTES];
    uint8_t key[CHAIN_BYTES];
};

/* What stands at the end of a sealed line; spans point into it. */
struct sealed {
    struct span body; /* the line up to the three members, without the brackets */
    uint64_t seq;
    uint8_t hash[CHAIN_SHOWN], mac[CHAIN_SHOWN];
};

/* Once per process, before anything else here. */
MUST_USE enum err chain_init(void);
/*
 * Seals `line` and appends the sealed form, without newline. False when the line does not end
 * as the writer's do, or there is no room: then nothing has changed.
 */
MUST_USE bool chain_seal(struct chain *chain, struct span line, struct text *out);
/* False when the line is not sealed. */
MUST_USE bool sealed_parse(struct span line, struct sealed *sealed);
/* Moves `head` over a record; the public half, which needs no key. */
void chain_leaf(struct span body, uint8_t leaf[CHAIN_BYTES]);
void chain_advance(uint8_t head[CHAIN_BYTES], uint64_t seq, const uint8_t leaf[CHAIN_BYTES]);
/* Whether the line is the next of this chain, by both halves; then the chain has moved on. */
MUST_USE bool chain_accept(struct chain *chain, const struct sealed *sealed,
                           uint8_t leaf[CHAIN_BYTES]);

#endif
