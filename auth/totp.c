/* The codes themselves are liboath's. */
#include "auth/totp.h"

#include <liboath/oath.h>

#include "gateway/base/secret.h"

bool totp_length_valid(size_t len)
{
    return len >= TOTP_SECRET_MIN && len <= TOTP_SECRET_MAX;
}

enum err totp_init(void)
{
    return oath_init() == OATH_OK ? OK : ERR_SYSTEM;
}

bool totp_code(struct span secret, uint64_t step, char code[TOTP_DIGITS])
{
    char out[TOTP_DIGITS + 1];
    if (!totp_length_valid(secret.len) ||
        oath_hotp_generate(secret.p, secret.len, step, TOTP_DIGITS, false,
                           OATH_HOTP_DYNAMIC_TRUNCATION, out) != OATH_OK)
        return false;
    memcpy(code, out, TOTP_DIGITS);
    wipe(out, sizeof(out));
    return true;
}

uint64_t totp_check(struct span secret, struct span code, uint64_t now_s, uint64_t last)
{
    uint64_t now = now_s / TOTP_STEP_S, found = 0;
    if (code.len != TOTP_DIGITS || now <= TOTP_DRIFT)
        return 0;
    for (uint64_t step = now - TOTP_DRIFT; step <= now + TOTP_DRIFT; step++) {
        char right[TOTP_DIGITS];
        if (!totp_code(secret, step, right))
            return 0;
        bool same = bytes_equal_constant_time(right, code.p, sizeof(right));
        if (same && step > last)
            found = step;
    }
    return found;
}

void totp_base32(struct text *out, struct span bytes)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = bits << 8 | (uint8_t)bytes.p[i];
        have += 8;
        while (have >= 5) {
            have -= 5;
            text_char(out, letters[bits >> have & 31]);
        }
    }
    if (have > 0)
        text_char(out, letters[bits << (5 - have) & 31]);
}

static void escaped(struct text *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = ascii_lower(s.p[i]);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
            c == '_')
            text_char(out, s.p[i]);
        else
            text_format(out, "%%%02X", (unsigned)(uint8_t)s.p[i]);
    }
}

void totp_uri(struct text *out, struct span issuer, struct span user, struct span secret)
{
    text_lit(out, "otpauth://totp/");
    escaped(out, issuer);
    text_char(out, ':');
    escaped(out, user);
    text_lit(out, "?secret=");
    totp_base32(out, secret);
    text_lit(out, "&issuer=");
    escaped(out, issuer);
}
