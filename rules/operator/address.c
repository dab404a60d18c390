/*
 * ipMatch and ipMatchFromFile: addresses in sets of prefixes.
 *
 * IPv4 and IPv4-mapped IPv6 are one address. Host bits behind a prefix are cleared, as
 * mod_security2 does. What is no address at all matches nothing; in the rule or its file it is
 * an error.
 */
#include "gateway/base/cidrset.h"
#include "gateway/base/file.h"
#include "rules/operator/rows.h"

enum { ADDRESSES_MAX = 65536 }; /* written in one rule */

static bool build(const struct operator_source *source, struct cidrs list,
                  const void **prepared)
{
    struct span *set = arena_new(source->arena, struct span);
    if (set == NULL || cidrset_build(list.items, list.count, source->arena, set) != OK) {
        text_lit(source->why, "out of memory");
        return false;
    }
    *prepared = set;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span without_blanks(struct span s)
{
    while (s.len > 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_blank(s.p[0]))
        s = span_sub(s, 1, s.len);
    return s;
}

bool compile_ip_match(const struct operator_source *source, const void **prepared)
{
    size_t count = 1;
    for (size_t i = 0; i < source->argument.len; i++)
        count += source->argument.p[i] == ',';
    if (count > ADDRESSES_MAX) {
        text_format(source->why, "more than %d addresses: use ipMatchFromFile", ADDRESSES_MAX);
        return false;
    }
    struct cidrs list = { .items = arena_array(source->arena, struct cidr, count) };
    if (list.items == NULL) {
        text_lit(source->why, "out of memory");
        return false;
    }
    struct span rest = source->argument, part;
    while (span_cut(&rest, ',', &part)) {
        part = without_blanks(part);
        if (part.len == 0)
            continue;
        if (!cidr_parse(part, true, &list.items[list.count])) {
            text_format(source->why, "\"%.*s\" is no address and no prefix",
                        (int)span_sub(part, 0, 60).len, part.p);
            return false;
        }
        list.count++;
    }
    if (list.count == 0) {
        text_lit(source->why, "there is no address");
        return false;
    }
    return build(source, list, prepared);
}

bool compile_ip_match_from_file(const struct operator_source *source, const void **prepared)
{
    struct span text;
    if (!read_operator_file(source, source->argument, CIDRSET_FILE_MAX, &text))
        return false;
    struct cidrs list;
    unsigned line = 0;
    enum err err = cidrset_parse(text, source->arena, &list, &line);
    if (err != OK) {
        text_format(source->why, "\"%.*s\", line %u: %s", (int)source->argument.len,
                    source->argument.p, line,
                    err == ERR_SYNTAX ? "no address and no prefix" : err_text(err));
        return false;
    }
    return build(source, list, prepared);
}

/* An IPv4-mapped address is in the set as IPv4, or as the IPv6 that is written. */
static bool in_set(struct span set, struct span text)
{
    struct addr addr;
    if (!addr_parse(text, &addr))
        return false;
    if (cidrset_contains(set, &addr))
        return true;
    if (addr.family != ADDR_V4 || span_index(text, ':') < 0)
        return false;
    struct addr mapped = { .family = ADDR_V6, .bytes = { [10] = 0xff, [11] = 0xff } };
    memcpy(mapped.bytes + 12, addr.bytes, 4);
    return cidrset_contains(set, &mapped);
}

bool eval_ip_match(const struct operator_call *call, struct operator_match *match)
{
    const struct span *set = call->prepared;
    return in_set(*set, call->value) && matched_all(match, call);
}
