/*
 * What stages that sign somebody in have in common: the field that tells upstream who it is,
 * and the challenge's realm.
 */
#ifndef SALLYPORT_LEND_H
#define SALLYPORT_LEND_H

#include "gateway/chain/txn.h"

enum { REALM_BYTES_MAX = 128 };

/* A name that may go to upstream as the gateway's word: a token that reads as no field of
 * others. Complains under `option`. */
bool lend_name_valid(struct setup *setup, const char *option, struct span name);
/* A quoted-string without escapes, so that it reads the same everywhere. */
bool realm_valid(struct setup *setup, struct span realm);

#endif
