/*
 * Hashes of old htpasswd files, which crypt(3) does not know: `$apr1$` (MD5, a thousand rounds)
 * and `{SHA}` (one unsalted SHA-1). Both are guessed at billions a second once the file is
 * read by somebody else; they are checked so that a file can be moved, and every load says so.
 */
#ifndef SALLYPORT_OLDHASH_H
#define SALLYPORT_OLDHASH_H

#include "gateway/base/span.h"

enum { APR1_SALT_MAX = 8, APR1_HASH_DIGITS = 22 };

/* The digits behind the salt. False: no memory, or no MD5 in this libcrypto. */
MUST_USE bool apr1_make(struct span password, struct span salt, char digits[APR1_HASH_DIGITS]);
/* Base64 of SHA-1, with its padding. */
enum { SHA1_DIGITS = 28 };
MUST_USE bool sha1_make(struct span password, char digits[SHA1_DIGITS + 1]);

#endif
