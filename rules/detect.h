/*
 * SQL injection and cross-site scripting by libinjection, behind rejects that are exact: a
 * value that is turned away here is one that libinjection does not fire on.
 */
#ifndef SALLYPORT_RULES_DETECT_H
#define SALLYPORT_RULES_DETECT_H

#include "gateway/base/span.h"

enum { FINGERPRINT_SIZE = 8 }; /* libinjection's: up to five token types, and a NUL */

/* True: `fingerprint` is the NUL-terminated sequence of token types. */
bool detect_sqli(struct span value, char fingerprint[FINGERPRINT_SIZE]);
bool detect_xss(struct span value);

/* False: detect_* does not fire. Cheap; part of detect_* already, apart for tests. */
bool sqli_possible(struct span value);
bool xss_possible(struct span value);

/* At load, before detect_*: makes what they need to be quick. */
void detect_prepare(void);
void sqli_prepare(void); /* of it */
void xss_prepare(void);  /* of it */

#endif
