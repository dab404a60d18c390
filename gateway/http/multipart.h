/*
 * multipart/form-data (RFC 7578): a complete body to its parts.
 *
 * Findings are those of mod_security2 2.9.7, bit for bit where it has a variable, and some of
 * our own. Where mod_security2 gives up at an error (and then has no ARGS of the body at all),
 * reading goes on as far as there is a boundary to go by: rules see more, never less. `error`
 * is the first one, in mod_security2's words (REQBODY_ERROR_MSG is "Multipart parsing error: "
 * and this).
 *
 * Results live in the arena or are spans into the body.
 */
#ifndef SALLYPORT_MULTIPART_H
#define SALLYPORT_MULTIPART_H

#include "gateway/base/arena.h"

enum multipart_index {
#define FINDING(name, variable, class, text) MULTIPART_##name##_INDEX,
#include "gateway/http/multipart.def"
#undef FINDING
    MULTIPART_FINDINGS
};

enum multipart_finding {
#define FINDING(name, variable, class, text) MULTIPART_##name = 1 << MULTIPART_##name##_INDEX,
#include "gateway/http/multipart.def"
#undef FINDING
};

enum multipart_class {
    MULTIPART_CLASS_FACT,
    MULTIPART_CLASS_STRICT,
    MULTIPART_CLASS_ERROR,
    MULTIPART_CLASS_REFUSE,
};

struct multipart_row {
    const char *variable; /* SecLang's, or NULL */
    enum multipart_class class;
    const char *text;
};

extern const struct multipart_row multipart_rows[MULTIPART_FINDINGS];

/* RFC 2046 section 5.1.1; and what a Content-Type may be at most to be read for a boundary. */
enum { MULTIPART_BOUNDARY_MAX = 70, MULTIPART_TYPE_MAX = 1024 };

struct multipart_limits {
    unsigned parts, files;
    unsigned headers;      /* of one part */
    unsigned header_bytes; /* of one part, all lines together */
};

/* MULTIPART_PART_HEADERS: one value per line, under the name of its part. */
struct multipart_header {
    struct span line; /* `Name: value` as it came, unfolded as mod_security2 does */
    struct span name, value;
};

struct multipart_part {
    struct span name, filename; /* unescaped; filename has a NULL pointer when there is none */
    bool named;                 /* else the part has no name: not in ARGS, FILES, headers */
    bool file;                  /* FILES (filename), FILES_NAMES (name), else ARGS */
    struct span content;        /* as it came */
    /* Of base64 or quoted-printable, as far as it goes; NULL pointer when it is neither. */
    struct span decoded;
    struct span type;     /* the value of Content-Type, or NULL pointer */
    struct span extended; /* filename*, percent-decoded, charset cut off; or NULL pointer */
    struct multipart_header *headers;
    unsigned header_count;
};

struct multipart {
    struct multipart_part *parts; /* complete ones, in order, those without a name too */
    unsigned count, files;
    unsigned findings; /* enum multipart_finding */
    const char *error; /* NULL: none. A constant sentence. */
    enum err err;      /* ERR_MEMORY: the arena is exhausted, and the result is void */
    bool complete;     /* the closing boundary was there */
    /* the reader's */
    struct multipart_limits limits;
    struct arena *arena;
    struct span boundary;
    const char *p, *end;   /* of the line that is next; of the body */
    const char *sought;    /* as far as the line's end was looked for */
    const char *content;   /* where the part's content begins */
    const char *undecoded; /* as far as the part's content was decoded */
    unsigned capacity, header_capacity, header_bytes;
    uint8_t state, line_end, before; /* how this line ends, and how the one before did */
    uint8_t encoding, bit_count;
    uint32_t bits;
    char *decoding; /* part.decoded, while it grows */
    struct multipart_part part;
    char delimiter[MULTIPART_BOUNDARY_MAX + 2]; /* `--` and the boundary */
};

/* `type`: the whole value of Content-Type. The arguments live as long as the result. */
void multipart_begin(struct multipart *m, struct span type, struct span body,
                     const struct multipart_limits *limits, struct arena *arena);
/* Reads about `bytes` more. True when all is done. The result does not depend on the slices. */
MUST_USE bool multipart_run(struct multipart *m, size_t bytes);

/* MULTIPART_STRICT_ERROR, REQBODY_PROCESSOR_ERROR, and what a strict gateway refuses. */
bool multipart_strict_error(const struct multipart *m);
bool multipart_error(const struct multipart *m);
bool multipart_refused(const struct multipart *m);

#endif
