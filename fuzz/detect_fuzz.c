/*
 * The rejects before libinjection are exact: what they turn away, it does not fire on.
 */
#include "rules/detect.h"

int libinjection_sqli(const char *s, size_t len, char fingerprint[]);
int libinjection_xss(const char *s, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    detect_prepare();
    struct span value = span_of((const char *)data, size);
    char fingerprint[FINGERPRINT_SIZE], ours[FINGERPRINT_SIZE];
    bool sqli = libinjection_sqli(value.p, value.len, fingerprint) != 0;
    INVARIANT(!sqli || sqli_possible(value));
    INVARIANT(detect_sqli(value, ours) == sqli);
    INVARIANT(!sqli || strcmp(fingerprint, ours) == 0);
    bool xss = libinjection_xss(value.p, value.len) != 0;
    INVARIANT(!xss || xss_possible(value));
    INVARIANT(detect_xss(value) == xss);
    return 0;
}
