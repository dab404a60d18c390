/*
 * The part of the sandbox that is a file of its own.
 */
#ifndef SALLYPORT_SANDBOX_H
#define SALLYPORT_SANDBOX_H

#include "gateway/process/process.h"

/* Files, TCP ports, signals and abstract sockets, as far as the kernel knows them. */
MUST_USE enum err landlock_enter(const struct sandbox *sandbox);

#endif
