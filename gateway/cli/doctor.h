/*
 * `sallyport doctor`: what is wrong around the gateway that no configuration check can see.
 * Nothing is changed, and nobody is asked anything but the servers that the configuration
 * names. No secret, and no byte of another server's, is printed.
 */
#ifndef SALLYPORT_CLI_DOCTOR_H
#define SALLYPORT_CLI_DOCTOR_H

#include "gateway/cli/loaded.h"

enum health { HEALTH_GOOD, HEALTH_WARN, HEALTH_BAD };

enum { DOCTOR_FINDINGS_MAX = 512 };

struct doctor {
    const struct config *config;
    struct arena *arena;
    struct {
        enum health health;
        const char *check;
        struct span what;
    } findings[DOCTOR_FINDINGS_MAX];
    unsigned count, dropped;
};

/* Constant formats; spans of the configuration as %.*s. */
void doctor_say(struct doctor *doctor, enum health health, const char *check,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* doctor_host.c */
void doctor_kernel(struct doctor *doctor);
void doctor_limits(struct doctor *doctor);
void doctor_clock(struct doctor *doctor);
void doctor_files(struct doctor *doctor);
void doctor_cache(struct doctor *doctor);
void doctor_certificates(struct doctor *doctor);
/* doctor_network.c */
void doctor_origins(struct doctor *doctor);
void doctor_store(struct doctor *doctor);

#endif
