/*
 * The known field names: their table, the sets that the code asks for as bit masks, and the
 * look-up from bytes to id.
 */
#ifndef SALLYPORT_NAMES_H
#define SALLYPORT_NAMES_H

#include "gateway/http/fields.h"

enum { FIELD_WIRE_BYTES = 32 };

/* `Name: ` as we write it, so that name and colon are one copy of fixed size; len is the
 * name's. */
struct known_name {
    char wire[FIELD_WIRE_BYTES];
    uint8_t len, flags;
};

extern const struct known_name known_names[FIELD_ID_COUNT];

#define FIELD_BIT(id) (UINT64_C(1) << FIELD_##id)

extern const uint64_t fields_single; /* a second one is refused */
extern const uint64_t fields_hop;    /* RFC 9110 section 7.6.1 */
extern const uint64_t fields_ours;
extern const uint64_t fields_not_nominated; /* Connection must not take these away */

static inline bool field_in(uint64_t set, unsigned id)
{
    return (set >> id) & 1;
}

/*
 * The same as field_id_of for bytes that are known to be a token. FIELD_WIRE_BYTES may be read
 * at its start when `readable`.
 */
enum field_id field_id_of_token(struct span token, bool readable);

/* The id of the name when case is folded and `_` and `.` count as `-`. */
enum field_id field_id_of_alias(struct span token);

/*
 * RFC 9110 section 6.5.1: what frames, routes, authenticates or describes the content must not
 * come when all that is decided; nor may an alias, which would do the same to some backend.
 */
bool field_may_trail(const struct field *field);

#endif
