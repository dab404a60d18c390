/* Accept-Encoding: see accept.h. */
#include "gateway/http/accept.h"

#include "gateway/http/chars.h"

enum { WEIGHT_ONE = 1000, WEIGHT_NONE = -1 };

static const struct {
    struct span name;
    enum coding coding;
} names[] = {
    { SPAN_INIT("gzip"), CODING_GZIP },
    { SPAN_INIT("br"), CODING_BR },
    { SPAN_INIT("zstd"), CODING_ZSTD },
    { SPAN_INIT("x-gzip"), CODING_GZIP }, /* RFC 9110 section 8.4.1.3 */
};

enum coding coding_named(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_equal_nocase(name, names[i].name))
            return names[i].coding;
    }
    return CODING_IDENTITY;
}

struct span coding_name(enum coding coding)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].coding == coding)
            return names[i].name;
    }
    return SPAN("identity");
}

/* RFC 9110 section 12.4.2: 0 to 1 with up to three decimals, in thousandths. */
static int qvalue(struct span text)
{
    int value = 0, digit = WEIGHT_ONE / 10;

    if (text.len == 0 || text.len > 5 || (text.p[0] != '0' && text.p[0] != '1'))
        return 0;
    if (text.len > 1 && text.p[1] != '.')
        return 0;
    value = text.p[0] == '1' ? WEIGHT_ONE : 0;
    for (size_t i = 2; i < text.len; i++, digit /= 10) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return 0;
        value += (text.p[i] - '0') * digit;
    }
    return value <= WEIGHT_ONE ? value : 0;
}

static int weight_of(struct span parameters)
{
    struct span part, name;

    while (parameters.p != NULL && span_cut(&parameters, ';', &part)) {
        part = span_trim(part);
        if (span_cut(&part, '=', &name) && span_equal_nocase(name, SPAN("q")))
            return part.p != NULL ? qvalue(part) : 0;
    }
    return WEIGHT_ONE;
}

/* What the client says of one name; its first word counts. */
static int weight_named(const struct fields *fields, enum coding coding, struct span name)
{
    struct list_walk walk = list_walk(fields, FIELD_ACCEPT_ENCODING);
    struct span member, token;

    while (list_next(&walk, &member)) {
        (void)span_cut(&member, ';', &token);
        token = span_trim(token);
        if (name.len > 0 ? span_equal_nocase(token, name) : coding_named(token) == coding)
            return weight_of(member);
    }
    return WEIGHT_NONE;
}

enum coding coding_accepted(const struct fields *fields, const enum coding *offered,
                            unsigned count)
{
    enum coding best = CODING_IDENTITY;
    int most = 0;

    if (!fields_have(fields, FIELD_ACCEPT_ENCODING))
        return CODING_IDENTITY;
    int any = weight_named(fields, CODING_IDENTITY, SPAN("*"));
    for (unsigned i = 0; i < count; i++) {
        int weight = weight_named(fields, offered[i], SPAN(""));
        weight = weight == WEIGHT_NONE ? any : weight;
        if (weight > most) {
            most = weight;
            best = offered[i];
        }
    }
    /* Only what is said of `identity` by name: by default it is just acceptable. */
    return weight_named(fields, CODING_IDENTITY, SPAN("identity")) > most ? CODING_IDENTITY
                                                                          : best;
}
