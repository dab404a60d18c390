/*
 * Lists in JSON (RFC 8259), read without building a document: an object that names an address
 * is an entry, a string in an array is one, and everything else is passed over.
 */
#include "geoip/jsonread.h"
#include "geoip/listfile_parts.h"

struct scan {
    struct reading *reading;
    struct jsonread in;
    bool barren; /* an object in an array that names no address was seen */
};

static bool fail(struct scan *scan, const char *why)
{
    scan->reading->problem->line = jsonread_line(&scan->in);
    return listfile_fail(scan->reading, ERR_SYNTAX, why);
}

/* What the tokens' reader has said. */
static bool pass_on(struct scan *scan)
{
    if (scan->in.err == ERR_SYNTAX)
        return fail(scan, scan->in.why);
    return listfile_fail(scan->reading, scan->in.err, scan->in.why);
}

static bool read_value(struct scan *scan, unsigned depth, bool in_array,
                       enum jsonread_token *token, struct span *value);

static bool note(struct scan *scan, struct listfile_said *said, struct span key,
                 enum jsonread_token token, struct span value)
{
    enum listfile_part part = listfile_part(key);
    if (part == PART_COUNT || token == JSONREAD_OBJECT || token == JSONREAD_ARRAY)
        return true;
    if (token == JSONREAD_WORD && (part == PART_PREFIX || part == PART_SOURCE))
        return span_equal(value, SPAN("null")) || fail(scan, "an address is not a string");
    if (token == JSONREAD_WORD && (part == PART_REASON || span_equal(value, SPAN("null"))))
        return true;
    if (part == PART_PREFIX && said->parts[part].len > 0)
        return fail(scan, "an object names two addresses");
    if (said->parts[part].len == 0)
        said->parts[part] = value;
    return true;
}

static bool add(struct scan *scan, const struct listfile_said *said)
{
    if (listfile_add(scan->reading, said))
        return true;
    return scan->reading->err == ERR_SYNTAX ? fail(scan, scan->reading->problem->why) : false;
}

static bool read_object(struct scan *scan, unsigned depth, bool in_array)
{
    struct listfile_said said = { 0 };
    bool nested = false;
    if (!jsonread_take(&scan->in, '}')) {
        do {
            struct span key, value;
            enum jsonread_token token;
            if (!jsonread_key(&scan->in, &key))
                return pass_on(scan);
            if (!read_value(scan, depth, false, &token, &value) ||
                !note(scan, &said, key, token, value))
                return false;
            nested = nested || token == JSONREAD_OBJECT || token == JSONREAD_ARRAY;
        } while (jsonread_take(&scan->in, ','));
        if (!jsonread_take(&scan->in, '}'))
            return fail(scan, "an object is not closed");
    }
    if (said.parts[PART_PREFIX].len > 0)
        return add(scan, &said);
    scan->barren = scan->barren || (in_array && !nested);
    return true;
}

static bool read_array(struct scan *scan, unsigned depth)
{
    if (jsonread_take(&scan->in, ']'))
        return true;
    do {
        struct listfile_said said = { 0 };
        enum jsonread_token token;
        if (!read_value(scan, depth, true, &token, &said.parts[PART_PREFIX]))
            return false;
        if (token == JSONREAD_STRING && !add(scan, &said))
            return false;
    } while (jsonread_take(&scan->in, ','));
    return jsonread_take(&scan->in, ']') || fail(scan, "an array is not closed");
}

static bool read_value(struct scan *scan, unsigned depth, bool in_array,
                       enum jsonread_token *token, struct span *value)
{
    if (depth == LISTFILE_DEPTH_MAX)
        return fail(scan, "it is nested too deeply");
    if (!jsonread_next(&scan->in, token, value))
        return pass_on(scan);
    if (*token == JSONREAD_OBJECT)
        return read_object(scan, depth + 1, in_array);
    return *token != JSONREAD_ARRAY || read_array(scan, depth + 1);
}

/* Several values behind one another are a file with one a line. */
bool listfile_json(struct reading *reading)
{
    struct scan scan = { .reading = reading };
    bool one = false;
    jsonread_begin(&scan.in, reading->text, reading->arena);
    while (!jsonread_at_end(&scan.in)) {
        struct span value;
        enum jsonread_token token;
        if (!read_value(&scan, 0, one, &token, &value))
            return false;
        if (token != JSONREAD_OBJECT && token != JSONREAD_ARRAY)
            return fail(&scan, "neither an object nor an array");
        one = true;
    }
    if (scan.barren && reading->out->count == 0)
        return fail(&scan, "no object in it names an address");
    return true;
}
