/*
 * Answers compressed on their way to the client. Private to flow*.c.
 */
#ifndef SALLYPORT_FLOW_COMPRESS_H
#define SALLYPORT_FLOW_COMPRESS_H

#include "gateway/flow_state.h"

/* What was given is taken, all of it: more is welcome. From the run queue. */
typedef void flow_compressed_fn(struct flow *flow);

/*
 * After all edits, before the head goes out: says in its fields and in `framing` what becomes
 * of it. flow->compress is not NULL when the body is to go through flow_compress_body.
 */
MUST_USE enum err flow_compress_begin(struct flow *flow, struct wire_framing *framing,
                                      flow_compressed_fn *taken);
/* Not while it is busy. It may be gone afterwards, and the stream cut. */
void flow_compress_body(struct flow *flow, struct span bytes);
/* `taken` is called in the next turn. */
void flow_compress_more(struct flow *flow);
/* Bytes are left for further turns: upstream is to rest. */
bool flow_compress_busy(const struct flow *flow);
/* In place of the stream's send_end, with upstream's trailers. */
void flow_compress_end(struct flow *flow);
/* Idempotent. */
void flow_compress_cut(struct flow *flow);

#endif
