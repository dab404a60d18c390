/* Answers of name servers: see dns.h. */
#include "gateway/net/dns.h"

enum {
    HEADER_BYTES = 12,
    NAME_MAX_CHARS = 253, /* 255 bytes as sent */
    CLASS_IN = 1,
    TYPE_CNAME = 5,
    POINTER = 0xc0,       /* both bits: the rest of the name stands earlier */
    TTL_MAX = 0x7fffffff, /* RFC 2181 section 8: with the highest bit it counts as 0 */
};

struct reader {
    struct span all;
    size_t at;
    bool bad;
};

struct entry {
    char name[DNS_NAME_BYTES];
    bool named; /* the name is one of a host */
    uint16_t type, class;
    uint32_t ttl;
    size_t data, data_len;
};

static uint32_t number(struct reader *r, unsigned bytes)
{
    uint32_t value = 0;

    if (r->bad || r->at > r->all.len || r->all.len - r->at < bytes) {
        r->bad = true;
        return 0;
    }
    while (bytes-- > 0)
        value = value << 8 | (uint8_t)r->all.p[r->at++];
    return value;
}

static bool host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* False: longer than a name may be. `*named` falls with a byte that no host's name has. */
static bool put_label(char *to, size_t *len, struct span label, bool *named)
{
    if (*len + (*len > 0) + label.len > NAME_MAX_CHARS)
        return false;
    if (*len > 0)
        to[(*len)++] = '.';
    for (size_t i = 0; i < label.len; i++) {
        char c = ascii_lower(label.p[i]);
        *named = *named && host_byte(c);
        to[(*len)++] = c;
    }
    return true;
}

/*
 * A name at the reader, which stands behind it then. Pointers lead only back, each further than
 * the one before, so that there is an end.
 */
static bool read_name(struct reader *r, char *to, bool *named)
{
    size_t len = 0, at = r->at, least = at;
    bool jumped = false;

    *named = true;
    while (!r->bad) {
        struct reader here = { r->all, at, false };
        unsigned count = number(&here, 1);
        if (here.bad)
            break;
        if ((count & POINTER) == POINTER) {
            unsigned low = number(&here, 1);
            size_t to_at = (size_t)(count & ~(unsigned)POINTER) << 8 | low;
            if (here.bad || to_at >= least)
                break;
            if (!jumped)
                r->at = here.at;
            jumped = true;
            at = least = to_at;
            continue;
        }
        if ((count & POINTER) != 0 || r->all.len - here.at < count)
            break;
        if (count == 0) {
            if (!jumped)
                r->at = here.at;
            memset(to + len, 0, DNS_NAME_BYTES - len);
            return true;
        }
        if (!put_label(to, &len, span_sub(r->all, here.at, count), named))
            break;
        at = here.at + count;
    }
    r->bad = true;
    return false;
}

static bool read_entry(struct reader *r, struct entry *entry)
{
    if (!read_name(r, entry->name, &entry->named))
        return false;
    entry->type = (uint16_t)number(r, 2);
    entry->class = (uint16_t)number(r, 2);
    entry->ttl = number(r, 4);
    entry->data_len = number(r, 2);
    entry->data = r->at;
    if (entry->ttl > TTL_MAX)
        entry->ttl = 0;
    if (r->bad || r->all.len - r->at < entry->data_len)
        return false;
    r->at += entry->data_len;
    return true;
}

struct walk {
    struct reader first; /* at the first answer */
    unsigned count;
};

/* The alias of `name`, which replaces it. */
static bool follow(const struct walk *walk, char *name, uint32_t *ttl)
{
    struct reader r = walk->first;
    struct entry entry;

    for (unsigned i = 0; i < walk->count && read_entry(&r, &entry); i++) {
        if (entry.type != TYPE_CNAME || entry.class != CLASS_IN ||
            strcmp(entry.name, name) != 0)
            continue;
        struct reader data = { r.all, entry.data, false };
        bool named;
        char to[DNS_NAME_BYTES];
        if (!read_name(&data, to, &named) || data.at != entry.data + entry.data_len)
            return false;
        memcpy(name, to, sizeof to);
        *ttl = entry.ttl < *ttl ? entry.ttl : *ttl;
        return true;
    }
    return false;
}

static bool read_address(const struct reader *r, const struct entry *entry, struct addr *addr)
{
    bool v4 = entry->type == DNS_A;

    if (entry->data_len != (v4 ? 4 : 16))
        return false;
    *addr = (struct addr){ .family = v4 ? ADDR_V4 : ADDR_V6 };
    memcpy(addr->bytes, r->all.p + entry->data, entry->data_len);
    return true;
}

static bool read_service(const struct reader *r, const struct entry *entry,
                         struct dns_record *record)
{
    struct reader data = { r->all, entry->data, false };
    bool named;

    record->priority = (uint16_t)number(&data, 2);
    record->weight = (uint16_t)number(&data, 2);
    record->port = (uint16_t)number(&data, 2);
    return read_name(&data, record->target, &named) && named &&
           data.at == entry->data + entry->data_len && record->port != 0 &&
           record->target[0] != '\0'; /* RFC 2782: "." is no server at all */
}

static bool read_pointer(const struct reader *r, const struct entry *entry,
                         struct dns_record *record)
{
    struct reader data = { r->all, entry->data, false };
    bool named;

    return read_name(&data, record->target, &named) && named &&
           data.at == entry->data + entry->data_len && record->target[0] != '\0';
}

static void collect(const struct walk *walk, enum dns_type type, const char *name,
                    struct dns_answer *answer)
{
    struct reader r = walk->first;
    struct entry entry;

    for (unsigned i = 0; i < walk->count && read_entry(&r, &entry); i++) {
        if (entry.type != type || entry.class != CLASS_IN || strcmp(entry.name, name) != 0 ||
            answer->count == DNS_RECORDS_MAX)
            continue;
        struct dns_record *record = &answer->records[answer->count];
        *record = (struct dns_record){ .port = 0 };
        bool good = type == DNS_SRV   ? read_service(&r, &entry, record)
                    : type == DNS_PTR ? read_pointer(&r, &entry, record)
                                      : read_address(&r, &entry, &record->addr);
        if (!good)
            continue;
        answer->count++;
        answer->ttl = entry.ttl < answer->ttl ? entry.ttl : answer->ttl;
    }
}

enum err dns_parse(struct span message, enum dns_type type, struct dns_answer *answer)
{
    struct walk walk = { .first = { .all = message, .at = 4 } };
    struct reader *r = &walk.first;
    char name[DNS_NAME_BYTES];
    struct entry entry;
    bool named;

    answer->count = 0;
    answer->ttl = TTL_MAX;
    if (message.len < HEADER_BYTES)
        return ERR_PROTOCOL;
    unsigned questions = number(r, 2);
    walk.count = number(r, 2);
    r->at = HEADER_BYTES;
    if (questions != 1 || !read_name(r, name, &named))
        return ERR_PROTOCOL;
    (void)number(r, 4); /* type and class: the resolver has compared them */
    if (walk.count > DNS_WALKED_MAX)
        walk.count = DNS_WALKED_MAX;
    /* All of it can be read, or none of it is believed. */
    struct reader all = *r;
    for (unsigned i = 0; i < walk.count; i++) {
        if (!read_entry(&all, &entry))
            return ERR_PROTOCOL;
    }
    for (unsigned i = 0; i < DNS_ALIASES_MAX && follow(&walk, name, &answer->ttl); i++)
        continue;
    collect(&walk, type, name, answer);
    if (answer->count == 0)
        answer->ttl = 0;
    return r->bad ? ERR_PROTOCOL : OK;
}
