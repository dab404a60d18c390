/*
 * Address lists: who is let in at all (`allow`), and who is kept out (`deny`).
 */
#ifndef SALLYPORT_LISTS_H
#define SALLYPORT_LISTS_H

#include "gateway/chain/stage.h"

extern const struct stage_type allow_stage;
extern const struct stage_type deny_stage;

#endif
