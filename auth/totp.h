/*
 * Codes by time, RFC 6238: SHA-1, six digits, thirty seconds, as every telephone makes them.
 */
#ifndef SALLYPORT_TOTP_H
#define SALLYPORT_TOTP_H

#include "gateway/base/text.h"

enum {
    TOTP_DIGITS = 6,
    TOTP_STEP_S = 30,
    TOTP_DRIFT = 1, /* steps before and after now */
    TOTP_SECRET_BYTES = 20,
    TOTP_SECRET_MIN = 16, /* RFC 4226 section 4, R6 */
    TOTP_SECRET_MAX = 64,
};

bool totp_length_valid(size_t len);
/* Once per process that makes or checks codes. */
MUST_USE enum err totp_init(void);
MUST_USE bool totp_code(struct span secret, uint64_t step, char code[TOTP_DIGITS]);
/*
 * The step whose code this is, of those near `now_s` and behind `last`; 0: none. A code is good
 * once: who accepts it keeps the step as the new `last`. Takes as long for every wrong code.
 */
uint64_t totp_check(struct span secret, struct span code, uint64_t now_s, uint64_t last);
/* otpauth://totp/ISSUER:USER?secret=... for the telephone's camera or keyboard. */
void totp_uri(struct text *out, struct span issuer, struct span user, struct span secret);
void totp_base32(struct text *out, struct span bytes);

#endif
