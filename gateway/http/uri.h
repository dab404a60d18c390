/*
 * Request targets (RFC 9112 section 3.2, RFC 3986). The query is split off first, the path
 * decoded once, dot segments removed after decoding; what cannot be read in one way is refused:
 * %00, a control byte, an encoded or raw backslash, invalid or overlong UTF-8, a lone `%`, a
 * raw byte outside RFC 3986's path and query characters (the few that browsers send raw, `[ ] |
 * " ^ { } ` and backquote in the query, are accepted there), a fragment, a path that climbs
 * above the root, and an encoded slash unless `preserve_encoded`. Empty segments (`//`) are
 * merged, as most backends do: kept, they would be a second spelling of every path, and
 * `//private` would walk past a rule for /private.
 * `;` parameters in `..;`, `.;` and nameless `;` segments are refused (Tomcat's traversal).
 *
 * With `preserve_encoded` the path is kept as it was spelled, percent-encodings upper-cased and
 * unreserved ones decoded (RFC 3986 section 6.2.2), and `%2F`, `%5C` and empty segments
 * survive; what would be a dot segment once `%2F` or `%5C` is decoded is refused. Everything
 * else above holds.
 */
#ifndef SALLYPORT_URI_H
#define SALLYPORT_URI_H

#include "gateway/http/message.h"

struct uri {
    struct span path, path_wire, path_plain; /* see struct request */
    struct span query;
    bool has_query;
    struct span authority; /* absolute-form only */
    struct span scheme;    /* absolute-form only, "http" or "https" in lower case */
};

/* `target` in origin-form, absolute-form, or `*` (path "*") when `method` is OPTIONS. */
MUST_USE enum http_error uri_parse(struct uri *uri, struct span target, enum method method,
                                   bool preserve_encoded, struct arena *arena);

/*
 * Host or authority: reg-name, IPv4 or [IPv6], optional port. Lower-cased, trailing dot
 * removed, IPv6 in its canonical text. Refuses userinfo, empty hosts and labels, an empty or
 * zero port, percent-encodings and any byte outside letters, digits, `-._~`. `*port` is 0 when
 * there is none.
 */
MUST_USE enum http_error authority_parse(struct span text, struct arena *arena,
                                         struct span *host, uint16_t *port);

/*
 * Percent-decodes once; `plus` makes `+` a space. A malformed escape stays as it is. `text`
 * itself when there is nothing to decode; a NULL pointer on exhaustion.
 */
struct span uri_decode(struct span text, bool plus, struct arena *arena);
/* The same, with `plus`; `*broken` is set where there is a malformed escape. */
struct span uri_decode_form(struct span text, bool *broken, struct arena *arena);
/* True when `text` is well-formed UTF-8 without overlong forms or surrogates. */
bool utf8_valid(struct span text);

#endif
