/*
 * Taking up an audit file where the last recorder left it. Private to journal*.c.
 */
#ifndef SALLYPORT_RECOVER_H
#define SALLYPORT_RECOVER_H

#include "gateway/audit/journal.h"

/* Follows what stands behind the last acknowledged record, and opens a segment where the file
 * is another one. */
MUST_USE enum err journal_recover(struct journal *journal, uint64_t now_us);
/* journal.c: a segment begins where the open file ends; `fresh`: that file is empty. */
MUST_USE enum err journal_next_segment(struct journal *journal, uint64_t now_us, bool *fresh);

#endif
