/*
 * Names in other alphabets as the DNS, certificates and requests have them: each label that is
 * not ASCII becomes "xn--" and its Punycode (RFC 5890, RFC 3492). For the configuration, where
 * people write names as they read them.
 *
 * Capital letters become small ones. What cannot be told apart by eye from another spelling is
 * refused rather than mapped: letters that are composed of several characters, and characters
 * that nobody sees.
 */
#ifndef SALLYPORT_IDN_H
#define SALLYPORT_IDN_H

#include "gateway/base/arena.h"

enum { IDN_LABEL_MAX = 63, IDN_NAME_MAX = 253 };

/* NULL and the name in ASCII, or why it is none. ASCII names stay as they are. */
const char *idn_to_ascii(struct span name, struct arena *arena, struct span *out);

#endif
