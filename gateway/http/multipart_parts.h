/*
 * Inside of the multipart reader: what its files share. multipart.c goes through the lines,
 * multipart_type.c reads the boundary from Content-Type, multipart_head.c reads part headers,
 * multipart_code.c decodes content.
 */
#ifndef SALLYPORT_MULTIPART_PARTS_H
#define SALLYPORT_MULTIPART_PARTS_H

#include "gateway/http/multipart.h"

enum multipart_encoding { PART_PLAIN, PART_BASE64, PART_QUOTED, PART_OTHER };

static inline void multipart_find(struct multipart *m, unsigned finding)
{
    m->findings |= finding;
}

/* mod_security2 would have stopped here. The first sentence stays. */
static inline void multipart_fail(struct multipart *m, const char *sentence)
{
    m->findings |= MULTIPART_PROCESSOR;
    if (m->error == NULL)
        m->error = sentence;
}

/* Finds the boundary and sets `delimiter`; without one there is nothing to go by: false. */
MUST_USE bool multipart_type_read(struct multipart *m, struct span type);

/* One line of a part's head, without its end; not the empty one. False: a limit, or memory. */
MUST_USE bool multipart_head_line(struct multipart *m, struct span line);
/* The head is complete: name, file name, type and encoding. False: memory. */
MUST_USE bool multipart_head_end(struct multipart *m);

/* Decodes about `bytes` of the part's content. True when all of it is. */
MUST_USE bool multipart_decode(struct multipart *m, size_t bytes);

#endif
