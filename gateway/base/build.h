/*
 * Which build of the program this is: what the linker has written into it.
 *
 * What is kept in files and was made by this code, but is no format that others read, carries
 * it: another build does not take it for its own, whatever has changed between the two.
 */
#ifndef SALLYPORT_BUILD_H
#define SALLYPORT_BUILD_H

#include "gateway/base/span.h"

/* Empty: the linker was not asked for one, or it is not where it belongs. */
struct span build_id(void);

#endif
