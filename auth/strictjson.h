/*
 * One JSON object from hostile text, read in one way or not at all: valid UTF-8, no name twice
 * in an object (two readers would see two values), nothing behind the end, no NUL in a text,
 * bounded in length and depth before the reader is asked.
 */
#ifndef SALLYPORT_STRICTJSON_H
#define SALLYPORT_STRICTJSON_H

#include <jansson.h>

#include "gateway/base/span.h"

enum { STRICT_JSON_BYTES_MAX = 256 * 1024, STRICT_JSON_DEPTH_MAX = 8 };

/*
 * Once per process, before the sandbox: the reader takes its seed from a file when nobody gives
 * it one.
 */
void strict_json_init(void);
/* NULL when it is anything else; the caller's to json_decref. */
json_t *strict_json_object(struct span text, size_t bytes_max);
/* A text of `object`, empty with NULL pointer when there is none of that name or of that kind.
 */
struct span strict_json_text(const json_t *object, const char *name);

#endif
