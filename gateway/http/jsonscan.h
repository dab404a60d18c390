/*
 * JSON bodies (RFC 8259): a complete text to names and values, in one pass without recursion.
 *
 * Names are those of mod_security2 2.9.7: keys joined by dots, without a prefix, and an array
 * adds its own key once more for each level: `{"a":{"b":[1]}}` gives `a.b.b`, `[{"x":1}]` gives
 * `array.array.x`, a scalar alone has the empty name. A key with a dot in it is one key here,
 * where mod_security2 loses count after it. JSONSCAN_NAMES_V3 gives those of libmodsecurity:
 * `json.a.b.array_0`, `json.array_0.x`.
 *
 * Strings are unescaped; `null` is the empty value, as in mod_security2, and told by its kind;
 * numbers are as they came. A key over nothing but an empty object or array carries no value in
 * mod_security2 and would go unseen: it is told as JSONSCAN_HOLLOW.
 *
 * What is refused is refused at its place: values before it have been told.
 */
#ifndef SALLYPORT_JSONSCAN_H
#define SALLYPORT_JSONSCAN_H

#include "gateway/base/arena.h"
#include "gateway/base/siphash.h"

enum jsonscan_kind {
    JSONSCAN_STRING,
    JSONSCAN_NUMBER,
    JSONSCAN_TRUE,
    JSONSCAN_FALSE,
    JSONSCAN_NULL,
    JSONSCAN_HOLLOW
};

/* The fatal ones end the scan; the others are told and it goes on. */
enum jsonscan_finding {
    JSONSCAN_INVALID = 1,     /* not JSON */
    JSONSCAN_TRUNCATED = 2,   /* ends too early; with INVALID */
    JSONSCAN_TRAILING = 4,    /* something behind the value; with INVALID */
    JSONSCAN_UTF8 = 8,        /* not UTF-8; with INVALID */
    JSONSCAN_OVER_DEPTH = 16, /* limits */
    JSONSCAN_OVER_COUNT = 32,
    JSONSCAN_OVER_NAME = 64,
    JSONSCAN_OVER_NUMBER = 128, /* JSONSCAN_NUMBER_MAX */
    JSONSCAN_STOPPED = 256,     /* by the callback */
    JSONSCAN_FATAL = 511,
    JSONSCAN_DUPLICATE =
        512, /* a key twice in one object: readers differ on which one counts */
    JSONSCAN_SURROGATE = 1024, /* half a pair, told as U+FFFD */
    JSONSCAN_NUL = 2048,       /* \u0000: ends the text to some */
    JSONSCAN_BOM = 4096,
};

enum { JSONSCAN_NUMBER_MAX = 1024 /* bytes of one number */ };

enum jsonscan_names { JSONSCAN_NAMES_V2, JSONSCAN_NAMES_V3 };

struct jsonscan_limits {
    unsigned depth;  /* SecRequestBodyJsonDepthLimit; objects and arrays, the outermost too */
    unsigned values; /* told, hollow ones too */
    unsigned name_bytes; /* of one full name */
    enum jsonscan_names names;
    struct siphash_key seed; /* secret: clients choose the keys that are hashed */
};

/*
 * Both spans are in the arena or in the text. False ends the scan (JSONSCAN_STOPPED). Keys are
 * told as parts of names.
 */
typedef bool jsonscan_fn(void *ctx, struct span name, struct span value,
                         enum jsonscan_kind kind);

struct jsonscan_level;

struct jsonscan {
    unsigned findings; /* enum jsonscan_finding */
    unsigned count;    /* values told */
    enum err err;      /* ERR_MEMORY: the arena is exhausted, and the result is void */
    const char *p;     /* where the scan is, or ended */
    /* the scanner's */
    const char *end, *stop;
    size_t slice;
    struct jsonscan_limits limits;
    struct arena *arena;
    jsonscan_fn *fn;
    void *ctx;
    struct jsonscan_level *levels; /* open objects and arrays */
    unsigned depth, level_capacity, serial;
    uint8_t state;
    bool in_key, escaped;
    const char *start, *from; /* of the string that is read; as far as it is unescaped */
    char *out;
    size_t out_len;
    struct span key; /* that waits for its value */
    char *name;      /* of what is open; its last part begins at `last` */
    size_t name_len, name_size, last;
    uint64_t *seen; /* hashes of the keys of large objects */
    size_t seen_count, seen_size;
};

void jsonscan_begin(struct jsonscan *scan, struct span text,
                    const struct jsonscan_limits *limits, struct arena *arena, jsonscan_fn *fn,
                    void *ctx);
/* Reads about `bytes` more. True when all is done. The result does not depend on the slices. */
MUST_USE bool jsonscan_run(struct jsonscan *scan, size_t bytes);

/* JSONSCAN_INVALID and its kin, or a limit: what mod_security2 calls REQBODY_ERROR. */
bool jsonscan_failed(const struct jsonscan *scan);
/* A constant sentence for it, in mod_security2's words where it has any; NULL when none. */
const char *jsonscan_error(const struct jsonscan *scan);

#endif
