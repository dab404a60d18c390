/*
 * Header fields: an array in order of arrival, each with the id of a known name. Names and
 * values are spans into the message's memory; values are trimmed of OWS. Nothing is deleted: a
 * field that is not to be sent is `dropped`, so that rules and the record still see what came.
 */
#ifndef SALLYPORT_FIELDS_H
#define SALLYPORT_FIELDS_H

#include "gateway/base/arena.h"

enum field_id {
    FIELD_OTHER,
#define FIELD(id, name, flags) FIELD_##id,
#include "gateway/http/field.def"
#undef FIELD
    FIELD_ID_COUNT
};

enum { FIELD_SINGLE = 1, FIELD_HOP = 2, FIELD_OURS = 4 };

struct field {
    struct span name, value;
    uint8_t id;   /* enum field_id */
    bool dropped; /* not written */
    bool odd;     /* the name has `_` or `.`: it may be an alias in somebody's CGI */
};

struct fields {
    struct field *items;
    unsigned count, capacity;
    uint64_t present;  /* bit of each known id that stands here (dropped ones too) */
    uint64_t repeated; /* bit of each known id that stands here more than once */
    bool odd;          /* some field here is odd */
};

MUST_USE enum err fields_init(struct fields *fields, struct arena *arena, unsigned capacity);

struct span field_name(enum field_id id); /* as we write it */
unsigned field_flags(enum field_id id);
enum field_id field_id_of(struct span name); /* any case; FIELD_OTHER when unknown */

static inline bool fields_have(const struct fields *fields, enum field_id id)
{
    return (fields->present >> id) & 1;
}

/* First field that is not dropped; NULL when there is none. */
const struct field *fields_get(const struct fields *fields, enum field_id id);
const struct field *fields_find(const struct fields *fields, struct span name);
/* The value of the first one, or an empty span with NULL pointer. */
struct span fields_value(const struct fields *fields, enum field_id id);
/* The next field of the same name that is not dropped. */
const struct field *fields_next(const struct fields *fields, const struct field *field);

/*
 * Grows in `arena` when full. The spans must live as long as the fields. ERR_SYNTAX when the
 * name is no token or the value has a byte that may not stand there, so that nothing lent by a
 * stage (a claim of a token, a name from a directory) can end a line. The value is trimmed.
 */
MUST_USE enum err fields_add(struct fields *fields, struct arena *arena, struct span name,
                             struct span value);
/* The same for a name that is known. */
MUST_USE enum err fields_add_known(struct fields *fields, struct arena *arena, enum field_id id,
                                   struct span value);
/*
 * For what goes into many messages: checked and looked up once, as fields_add does, then put
 * into each as it is.
 */
MUST_USE enum err field_make(struct field *field, struct span name, struct span value);
MUST_USE enum err fields_put(struct fields *fields, struct arena *arena,
                             const struct field *made);
/* First field of that name that is not dropped; NULL when there is none. */
const struct field *fields_like(const struct fields *fields, const struct field *made);
void fields_drop_like(struct fields *fields, const struct field *made); /* all of its name */
void fields_drop(struct fields *fields, enum field_id id);
/*
 * Drops every field whose name equals `name` when case is folded and `_` and `.` count as `-`:
 * X_User, x.user and X-User are one name to some backend (CVE-2025-64484, CVE-2026-39858).
 */
void fields_drop_alias(struct fields *fields, struct span name);
bool field_name_alias(struct span a, struct span b);
/*
 * Drops the hop-by-hop fields, what Connection nominates, and any alias of these and of the
 * framing fields (Transfer_Encoding). False when Connection is malformed or nominates a field
 * that carries framing or routing. Both parsers call it; it is for messages that came another
 * way.
 */
MUST_USE bool fields_drop_hop_by_hop(struct fields *fields);
/* Drops every field that only the gateway may say (FIELD_OURS), under every alias. */
void fields_drop_ours(struct fields *fields);

/*
 * Walks the comma-separated members of a list-valued field (RFC 9110 section 5.6.1) over all
 * its lines. Empty members are passed over; quoted strings keep their commas.
 */
struct list_walk {
    const struct fields *fields;
    const struct field *field;
    struct span rest;
};
struct list_walk list_walk(const struct fields *fields, enum field_id id);
bool list_next(struct list_walk *walk, struct span *member);
/* Whether a member equals `token` without case. */
bool fields_list_has(const struct fields *fields, enum field_id id, struct span token);

#endif
