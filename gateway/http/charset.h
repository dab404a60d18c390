/*
 * Character sets of bodies, and what a body looks like whatever its label says.
 *
 * UTF-8, ASCII, ISO-8859-1, -15 and windows-1252 have ASCII where it matters and are matched as
 * they are. UTF-16 and UTF-32, declared or told by a byte order mark, are decoded. All else is
 * for the caller to refuse: utf-7, EBCDIC and shift_jis hide an attack from whoever does not
 * decode them (CVE-2022-39955).
 */
#ifndef SALLYPORT_CHARSET_H
#define SALLYPORT_CHARSET_H

#include "gateway/base/arena.h"

enum charset {
    CHARSET_NONE, /* not declared */
    CHARSET_ASCII_LIKE,
    CHARSET_UTF16LE,
    CHARSET_UTF16BE,
    CHARSET_UTF16, /* by its byte order mark, without one big-endian (RFC 2781 section 4.3) */
    CHARSET_UTF32LE,
    CHARSET_UTF32BE,
    CHARSET_UTF32,
    CHARSET_UNKNOWN,   /* to be refused */
    CHARSET_AMBIGUOUS, /* two of them, or badly quoted: to be refused */
};

/* Of a Content-Type value. */
enum charset charset_of(struct span content_type);
/* By a byte order mark at the start; `*mark` is its length. CHARSET_NONE: there is none. */
enum charset charset_sniff(struct span body, size_t *mark);
/*
 * UTF-16 or UTF-32 to UTF-8. Halves of pairs, values past U+10FFFF and a last unit that is cut
 * become U+FFFD, and `lossy` true. A byte order mark at the start is not part of the text.
 */
struct transcode {
    struct span output; /* when all is done */
    bool lossy;
    enum err err; /* ERR_MEMORY */
    /* the decoder's */
    struct span rest;
    char *out;
    uint8_t size; /* of a unit */
    bool little;
};

/* `charset` is one of the UTF16 or UTF32 ones. */
void transcode_begin(struct transcode *t, enum charset charset, struct span body,
                     struct arena *arena);
/* Reads about `bytes` more. True when all is done. */
MUST_USE bool transcode_run(struct transcode *t, size_t bytes);

enum content_kind {
    CONTENT_EMPTY,
    CONTENT_FORM, /* application/x-www-form-urlencoded */
    CONTENT_MULTIPART,
    CONTENT_JSON,
    CONTENT_XML,
    CONTENT_TEXT,
    CONTENT_BINARY,
    CONTENT_KINDS
};

/* What Content-Type declares. CONTENT_EMPTY: there is none. */
enum content_kind content_declared(struct span content_type);
/*
 * What the bytes look like, of which the first CONTENT_SNIFF_BYTES are looked at: JSON begins
 * with a bracket and a thing that may follow, XML with a name or declaration in angle brackets,
 * multipart with a delimiter line; a form has `name=` in its first piece; binary has bytes that
 * no text has.
 */
enum { CONTENT_SNIFF_BYTES = 1024 };
enum content_kind content_sniff(struct span body);

#endif
