/*
 * Finding values in lines, and filters over them.
 */
#include "gateway/audit/blocks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/siphash.h"

static const uint64_t index_magic = 0x32786b6c62796c73u;
/* A path is found by its first bytes; KEY_COUNT stands for it among the keys. */
static const size_t path_parts[] = { 4, 8, 16 };

/* ---- values of a line ---- */

/* Where the value stands: behind `lead`, and behind `name` after it. */
static const struct {
    struct span lead, name;
    bool many;
} key_places[KEY_COUNT] = {
    [KEY_CLIENT] = { SPAN_INIT("\"client\":{"), SPAN_INIT("\"ip\":"), false },
    [KEY_ID] = { SPAN_INIT("\"request\":{"), SPAN_INIT("\"id\":"), false },
    [KEY_USER] = { SPAN_INIT("\"user\":{"), SPAN_INIT("\"name\":"), false },
    [KEY_RULE] = { SPAN_INIT(""), SPAN_INIT("{\"rule\":"), true },
    [KEY_REASON] = { SPAN_INIT("\"event\":{"), SPAN_INIT("\"reason\":"), false },
    [KEY_STATUS] = { SPAN_INIT("\"response\":{"), SPAN_INIT("\"status_code\":"), false },
    [KEY_ACTION] = { SPAN_INIT("\"sallyport\":{"), SPAN_INIT("\"action\":"), false },
    [KEY_HOST] = { SPAN_INIT("\"url\":{"), SPAN_INIT("\"domain\":"), false },
};

static bool find(struct span text, struct span needle, struct span *behind)
{
    const char *at = needle.len == 0 ? text.p : memmem(text.p, text.len, needle.p, needle.len);
    if (at == NULL)
        return false;
    *behind = span_range(at + needle.len, text.p + text.len);
    return true;
}

/* The quote that closes the string. */
static size_t string_end(struct span text, size_t quote)
{
    size_t i = quote + 1;
    while (i < text.len && text.p[i] != '"')
        i += text.p[i] == '\\' ? 2 : 1;
    return i;
}

/* A string without its quotes (escapes stay), or a number. */
static bool take_value(struct span text, struct span *value)
{
    if (text.len > 0 && text.p[0] == '"') {
        size_t i = string_end(text, 0);
        if (i >= text.len)
            return false;
        *value = span_sub(text, 1, i - 1);
        return true;
    }
    size_t digits = 0;
    while (digits < text.len && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    *value = span_sub(text, 0, digits);
    return digits > 0;
}

/* A member of the object that `inside` begins inside of, or of one in it. Most stand at the
 * beginning, and the end of the object is far. */
static bool member_of(struct span inside, struct span name, struct span *value)
{
    unsigned depth = 1;
    for (size_t i = 0; i < inside.len; i++) {
        char c = inside.p[i];
        if (c == '"') {
            if (inside.len - i > name.len && inside.p[i + 1] == name.p[1] &&
                memcmp(inside.p + i, name.p, name.len) == 0)
                return take_value(span_sub(inside, i + name.len, inside.len), value);
            i = string_end(inside, i);
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && --depth == 0) {
            return false;
        }
    }
    return false;
}

bool line_member(struct span line, struct span name, struct span *value)
{
    struct span behind;
    return find(line, name, &behind) && take_value(behind, value);
}

bool line_value(struct span line, enum block_key key, size_t *at, struct span *value)
{
    struct span rest = span_sub(line, *at, line.len), inside;
    if (key_places[key].many) {
        if (!find(rest, key_places[key].name, &inside) || !take_value(inside, value))
            return false;
        *at = (size_t)(value->p + value->len - line.p);
        return true;
    }
    if (*at > 0 || !find(rest, key_places[key].lead, &inside))
        return false;
    *at = line.len;
    return member_of(inside, key_places[key].name, value);
}

/* A rule's bracket is the one of its own member. */
static bool rule_at(struct line_walk *walk, struct span from, struct span *value)
{
    static const struct span name = SPAN_INIT("{\"rule\":");
    const unsigned bit = 1u << KEY_RULE;
    if (from.len < name.len || from.p[2] != name.p[2] || (walk->seen & bit) != 0 ||
        !span_starts(from, name) || (size_t)(from.p - walk->line.p) < walk->rules_from)
        return false;
    if (!take_value(span_sub(from, name.len, from.len), value)) {
        walk->seen |= bit; /* nor are there more */
        return false;
    }
    walk->rules_from = (size_t)(value->p + value->len - walk->line.p);
    return true;
}

/* Which object begins behind this bracket; KEY_COUNT: none that is looked for, or not the first
 * of its name. */
static enum block_key lead_at(struct line_walk *walk, size_t bracket)
{
    const char *end = walk->line.p + bracket + 1;
    if (bracket < 2 || end[-2] != ':' || end[-3] != '"')
        return KEY_COUNT;
    for (int key = 0; key < KEY_COUNT; key++) {
        struct span lead = key_places[key].lead;
        if (lead.len == 0 || lead.len > bracket + 1 ||
            end[1 - (ssize_t)lead.len] != lead.p[1] || (walk->seen & 1u << key) != 0 ||
            memcmp(end - lead.len, lead.p, lead.len) != 0)
            continue;
        walk->seen |= 1u << key;
        return (enum block_key)key;
    }
    return KEY_COUNT;
}

bool line_walk_next(struct line_walk *walk, enum block_key *key, struct span *value)
{
    struct span line = walk->line;
    while (walk->at < line.len) {
        const char *at = memchr(line.p + walk->at, '{', line.len - walk->at);
        if (at == NULL)
            return false;
        size_t bracket = (size_t)(at - line.p);
        walk->at = bracket + 1;
        *key = KEY_RULE;
        if (rule_at(walk, span_sub(line, bracket, line.len), value))
            return true;
        *key = lead_at(walk, bracket);
        if (*key != KEY_COUNT &&
            member_of(span_sub(line, walk->at, line.len), key_places[*key].name, value))
            return true;
    }
    return false;
}

static unsigned digits_at(struct span text, size_t at, size_t count)
{
    unsigned value = 0;
    for (size_t i = 0; i < count; i++)
        value = value * 10 + (unsigned)(text.p[at + i] - '0');
    return value;
}

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year =
        (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool time_parse(struct span text, uint64_t *us)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    if (text.len != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (form[i] == 'd' ? text.p[i] < '0' || text.p[i] > '9' : text.p[i] != form[i])
            return false;
    unsigned month = digits_at(text, 5, 2), day = digits_at(text, 8, 2);
    unsigned year = digits_at(text, 0, 4);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    uint64_t seconds = (uint64_t)days_of(year, month, day) * 86400u +
                       digits_at(text, 11, 2) * 3600u + digits_at(text, 14, 2) * 60u +
                       digits_at(text, 17, 2);
    *us = seconds * 1000000u + digits_at(text, 20, 3) * 1000u;
    return true;
}

uint64_t line_time(struct span line)
{
    static const struct span lead = SPAN_INIT("{\"@timestamp\":\"");
    uint64_t us = 0;
    if (!span_starts(line, lead) || !time_parse(span_sub(line, lead.len, 24), &us))
        return 0;
    return us;
}

/* ---- filters ---- */

uint64_t block_tag(enum block_key key, struct span value)
{
    const struct siphash_key fixed = { 0x626c6f636b730001u, (uint64_t)key };
    return siphash(&fixed, value.p, value.len);
}

static unsigned bit_of(uint64_t hash, unsigned i)
{
    uint64_t step = (hash >> 32) | 1;
    return (unsigned)((hash + i * step) % BLOOM_BITS);
}

static void add_hash(struct block *block, uint64_t hash)
{
    for (unsigned i = 0; i < BLOOM_HASHES; i++)
        block->bloom[bit_of(hash, i) / 64] |= (uint64_t)1 << (bit_of(hash, i) % 64);
}

static bool has_hash(const struct block *block, uint64_t hash)
{
    for (unsigned i = 0; i < BLOOM_HASHES; i++)
        if ((block->bloom[bit_of(hash, i) / 64] >> (bit_of(hash, i) % 64) & 1) == 0)
            return false;
    return true;
}

void block_begin(struct block *block, uint64_t offset)
{
    *block = (struct block){ .offset = offset, .first_us = UINT64_MAX };
}

void block_line(struct block *block, struct span line)
{
    uint64_t us = line_time(line), seq = 0;
    struct span value;
    if (us != 0 && us < block->first_us)
        block->first_us = us;
    if (us > block->last_us)
        block->last_us = us;
    ssize_t tail = line.len > 160 ? (ssize_t)line.len - 160 : 0;
    if (line_member(span_sub(line, (size_t)tail, line.len), SPAN(",\"seq\":"), &value) &&
        span_uint(value, &seq)) {
        block->first_seq = block->first_seq == 0 ? seq : block->first_seq;
        block->last_seq = seq;
    }
    struct line_walk walk = { .line = line };
    enum block_key key;
    while (line_walk_next(&walk, &key, &value))
        add_hash(block, block_tag(key, value));
    if (!line_member(line, SPAN("\"path\":"), &value))
        return;
    for (size_t i = 0; i < ARRAY_LEN(path_parts) && path_parts[i] <= value.len; i++)
        add_hash(block, block_tag(KEY_COUNT, span_sub(value, 0, path_parts[i])));
}

bool block_may_have(const struct block *block, enum block_key key, struct span value)
{
    return has_hash(block, block_tag(key, value));
}

bool block_may_begin(const struct block *block, struct span path)
{
    for (size_t i = 0; i < ARRAY_LEN(path_parts) && path_parts[i] <= path.len; i++)
        if (!has_hash(block, block_tag(KEY_COUNT, span_sub(path, 0, path_parts[i]))))
            return false;
    return true;
}

/* ---- files ---- */

enum err block_header_write(int fd, uint64_t segment_bytes)
{
    struct block_header header = { .magic = index_magic, .segment_bytes = segment_bytes };
    return pwrite(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) ? OK : ERR_WRITE;
}

enum err block_append(int fd, const struct block *block)
{
    return write(fd, block, sizeof(*block)) == (ssize_t)sizeof(*block) ? OK : ERR_WRITE;
}

enum err block_index_open(struct block_index *index, const char *path, uint64_t segment_bytes)
{
    struct stat info;
    *index = (struct block_index){ .map = MAP_FAILED };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return ERR_OPEN;
    enum err err = fstat(fd, &info) == 0 ? OK : ERR_SYSTEM;
    size_t size = err == OK ? (size_t)info.st_size : 0;
    if (size < sizeof(struct block_header) ||
        (size - sizeof(struct block_header)) % sizeof(struct block) != 0)
        err = ERR_SYNTAX;
    if (err == OK)
        index->map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    if (err != OK || index->map == MAP_FAILED)
        return err != OK ? err : ERR_MEMORY;
    const struct block_header *header = index->map;
    index->map_len = size;
    index->blocks = (const void *)(header + 1);
    index->count = (size - sizeof(*header)) / sizeof(struct block);
    if (header->magic == index_magic && header->segment_bytes == segment_bytes)
        return OK;
    block_index_close(index);
    return ERR_SYNTAX;
}

void block_index_close(struct block_index *index)
{
    if (index->map != NULL && index->map != MAP_FAILED)
        (void)munmap(index->map, index->map_len);
    *index = (struct block_index){ .map = MAP_FAILED };
}
