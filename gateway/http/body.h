/*
 * A held request body to what rules look at: decoded from its content codings, from UTF-16 and
 * -32, and read as what it is declared to be (a form, multipart, JSON, XML) and also as what it
 * looks like. One pass, in slices; every limit in one struct.
 *
 * PROCESSOR_AUTO is for rules that ask for "arguments, files and text". A SecLang engine names
 * the processor (PROCESSOR_URLENCODED by itself, JSON by rule 200001), and then that one alone
 * reads, in mod_security2's way: empty pairs of forms count, nothing is read twice.
 *
 * PROCESSOR_UNTYPED is for a body without a media type, which Rack reads as a form whatever it
 * looks like, and many handlers as JSON: both readings. A NUL ends a pair there: with what is
 * binary all of it stands for itself.
 *
 * Values are told in order of arrival and live as long as the arena and the held body. `raw` is
 * among them when no processor could show all there is.
 */
#ifndef SALLYPORT_BODY_H
#define SALLYPORT_BODY_H

#include "gateway/http/charset.h"
#include "gateway/http/decode.h"
#include "gateway/http/jsonscan.h"
#include "gateway/http/message.h"
#include "gateway/http/multipart.h"
#include "gateway/http/xmlscan.h"

enum body_processor {
    PROCESSOR_AUTO,
    PROCESSOR_UNTYPED,
    PROCESSOR_NONE,
    PROCESSOR_URLENCODED,
    PROCESSOR_MULTIPART,
    PROCESSOR_JSON,
    PROCESSOR_XML,
};

enum body_where {
    WHERE_ARGUMENT,      /* form, multipart without a file name, JSON */
    WHERE_NAME,          /* the name of an argument that has no value: a hollow JSON key */
    WHERE_FILE_NAME,     /* FILES: `value` is the file's name, `name` the part's */
    WHERE_FILE,          /* content of a file */
    WHERE_PART_HEADER,   /* MULTIPART_PART_HEADERS: `value` is the line, `name` the part's */
    WHERE_XML_TEXT,      /* XML:/ * */
    WHERE_XML_ATTRIBUTE, /* XML://@* */
    WHERE_XML_NAMESPACE,
    WHERE_RAW, /* all of it, decoded */
};

struct body_value {
    struct span name, value;
    enum body_where where;
};

struct body_limits {
    unsigned values; /* arguments of a form; with all else, no more than a few times that */
    struct decode_limits decode;
    bool decoded; /* the content codings are off already */
    struct multipart_limits multipart;
    struct jsonscan_limits json;
    struct xmlscan_limits xml;
};

enum body_finding_index {
#define FINDING(name, class, text) BODY_FOUND_##name##_INDEX,
#include "gateway/http/body.def"
#undef FINDING
    BODY_FINDINGS
};

enum body_finding {
#define FINDING(name, class, text) BODY_FOUND_##name = 1 << BODY_FOUND_##name##_INDEX,
#include "gateway/http/body.def"
#undef FINDING
};

struct body {
    struct span text; /* decoded: REQUEST_BODY */
    struct body_value *values;
    unsigned count;
    unsigned findings;             /* enum body_finding */
    enum body_processor processor; /* that read it last; NONE when none could */
    enum content_kind declared, seen;
    enum decode_error coding_error; /* behind CODING, CODED and BOMB */
    /* REQBODY_ERROR_MSG is `error_prefix` and `error`; NULL: the body could be read. */
    const char *error_prefix, *error;
    enum err err; /* ERR_MEMORY: the result is void */
    /* Findings of the processor; all zero when it was not this one. */
    struct multipart multipart;
    struct jsonscan json;
    struct xmlscan xml;
    /* the reader's */
    struct body_limits limits;
    struct arena *arena;
    struct span type, rest; /* Content-Type; what is left of a form */
    enum charset charset;
    unsigned capacity, arguments;
    uint8_t state;
    bool automatic; /* PROCESSOR_AUTO was asked for, or PROCESSOR_UNTYPED */
    bool untyped;
    bool raw_told;
    bool guess;     /* read as what it looks like: failing at that is no finding */
    bool guess_cut; /* so it was over a limit, and not all of it is told */
    struct decode decode;
    struct transcode transcode;
};

/*
 * NULL: the arena is exhausted. `fields` (of the head) and `held` live as long as the result.
 */
struct body *body_open(const struct fields *fields, struct span held,
                       enum body_processor processor, const struct body_limits *limits,
                       struct arena *arena);
/* Goes on for about `bytes`. True when all is done. */
MUST_USE bool body_run(struct body *body, size_t bytes);

/* Whether a strict gateway refuses it; the first finding for which it does says why. */
bool body_refused(const struct body *body);
const char *body_refusal(const struct body *body); /* NULL: none */

#endif
