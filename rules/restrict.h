/*
 * What a request may look like: methods, counts, lengths, kinds of content.
 */
#ifndef SALLYPORT_RESTRICT_H
#define SALLYPORT_RESTRICT_H

#include "gateway/chain/stage.h"

extern const struct stage_type restrict_stage;

#endif
