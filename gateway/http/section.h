/* Field sections: the lines between a start line and the empty line, and trailer sections. */
#ifndef SALLYPORT_SECTION_H
#define SALLYPORT_SECTION_H

#include "gateway/http/message.h"

enum { SECTION_FIELDS = 32 }; /* room made at first; more grows */

/*
 * `section` ends with its empty line. At most `limit` fields. Appends to `fields`, which stands
 * as far as the section was read on an error.
 */
MUST_USE enum http_error section_parse(struct fields *fields, struct span section,
                                       unsigned limit, struct arena *arena);

MUST_USE enum err fields_grow(struct fields *fields, struct arena *arena);

#endif
