/*
 * Bots: how likely a request is from a program that pretends to be somebody, with every reason;
 * and, where the route says so, a proof of work before it is let in.
 */
#ifndef SALLYPORT_BOTS_H
#define SALLYPORT_BOTS_H

#include "gateway/chain/stage.h"

extern const struct stage_type bots_stage;

#endif
