/* The opening handshake of WebSocket (RFC 6455 section 4), both sides of it. */
#ifndef SALLYPORT_WEBSOCKET_H
#define SALLYPORT_WEBSOCKET_H

#include "gateway/base/span.h"

enum { WEBSOCKET_ACCEPT_BYTES = 28 };

/* The base64 of 16 bytes, in its one spelling. */
bool websocket_key_valid(struct span key);
/* Sec-WebSocket-Accept for a key. */
void websocket_accept(struct span key, char out[WEBSOCKET_ACCEPT_BYTES]);

#endif
