/*
 * JA4: what kind of TLS client it is, by what its ClientHello offers. Thirty-six characters
 * that are the same for every connection of one program, in the form that FoxIO has published
 * (its BSD-licensed part, for clients):
 *
 *     t13d1516h2_8daaf6152771_e5627efa2ab1
 *
 * transport and version, whether a name was asked for, how many ciphers and extensions, the
 * first ALPN value; then two halves of SHA-256: of the ciphers sorted, and of the extensions
 * sorted with the signature algorithms as they came. GREASE counts nowhere.
 */
#ifndef SALLYPORT_JA4_H
#define SALLYPORT_JA4_H

#include "gateway/base/span.h"

enum {
    JA4_BYTES = 36,
    JA4_ITEMS_MAX =
        256, /* ciphers, extensions, algorithms: more, and there is no fingerprint */
};

/* `hello` is the handshake message, with its head of four bytes. False: not one that is whole.
 */
MUST_USE bool ja4_write(struct span hello, char out[static JA4_BYTES]);

#endif
