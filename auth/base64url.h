/*
 * Base64url without padding as RFC 7515 section 2 has it, in its one spelling: no `=`, no white
 * space, no byte of the other alphabet, no lone last character, and no bits that are set beyond
 * the end (they would make several texts of one signature).
 */
#ifndef SALLYPORT_BASE64URL_H
#define SALLYPORT_BASE64URL_H

#include "gateway/base/text.h"

/* Bytes that `len` characters decode to, when they are well-formed. */
static inline size_t base64url_size(size_t len)
{
    return len / 4 * 3 + (len % 4 == 0 ? 0 : len % 4 - 1);
}

/* False when malformed or longer than `max`; `*len` bytes at `out` otherwise. */
MUST_USE bool base64url_decode(struct span text, void *out, size_t max, size_t *len);
void base64url_encode(struct text *out, struct span bytes);

#endif
