/*
 * An exchange from its bytes, read by the gateway's own parsers, and the whole run of a program
 * over it: what the drivers and the comparison have in common.
 */
#ifndef SALLYPORT_TESTS_WIRE_H
#define SALLYPORT_TESTS_WIRE_H

#include "tests/reference/reference.h"

struct wire {
    struct request req;
    struct response rsp;
    struct span body, answer; /* without chunks */
    int refused;              /* the status that the gateway answers itself; 0: none. Then
                                 `req` is what the head seems to say. */
    bool complete;            /* else there are bytes missing from the request */
    bool answered;
};

/* All memory is the arena's; `request` and `answer` live as long. */
void wire_read(struct wire *wire, struct span request, struct span answer, struct arena *arena);

/* Whether answers of this type are looked at. */
bool wire_inspects(const struct response *rsp);

/* Runs all phases, reading the bodies where phases 1 and 3 left them to be read. */
void reference_run(struct reference *ref, const struct wire *wire);

#endif
