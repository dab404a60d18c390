/*
 * Names of JSON values. One buffer holds the name of what is being read; an open container
 * remembers how much of it is its own. Keys of large objects are in one table of hashes, each
 * mixed with its object's number: the same hash twice is the same key twice. The first few of
 * an object stand with it.
 */
#include "gateway/http/jsonscan_name.h"

#include "gateway/base/text.h"

enum { NAME_FIRST = 256, SEEN_FIRST = 64 };

static bool no_memory(struct jsonscan *scan)
{
    scan->err = ERR_MEMORY;
    return false;
}

/* ---- the buffer ----------------------------------------------------------------------------
 */

static bool name_reserve(struct jsonscan *scan, size_t more)
{
    size_t needed = scan->name_len + more;

    if (more > scan->limits.name_bytes || needed > scan->limits.name_bytes) {
        scan->findings |= JSONSCAN_OVER_NAME;
        return false;
    }
    if (needed <= scan->name_size && scan->name != NULL)
        return true;
    size_t size = scan->name_size == 0 ? NAME_FIRST : scan->name_size * 2;
    while (size < needed)
        size *= 2;
    char *name = arena_alloc(scan->arena, size);
    if (name == NULL)
        return no_memory(scan);
    if (scan->name_len > 0)
        memcpy(name, scan->name, scan->name_len);
    scan->name = name;
    scan->name_size = size;
    return true;
}

/* `part` becomes the last part. It may lie in the buffer, which is never freed. */
static bool name_add(struct jsonscan *scan, struct span between, struct span part)
{
    if (!name_reserve(scan, between.len + part.len))
        return false;
    memcpy(scan->name + scan->name_len, between.p, between.len);
    scan->name_len += between.len;
    scan->last = scan->name_len;
    if (part.len > 0)
        memcpy(scan->name + scan->name_len, part.p, part.len);
    scan->name_len += part.len;
    return true;
}

static bool index_add(struct jsonscan *scan, struct jsonscan_level *level)
{
    char digits[16];
    struct text text = text_fixed(digits, sizeof(digits));

    text_uint(&text, level->index++);
    scan->name_len = level->own_len;
    return name_add(scan, SPAN(".array_"), text_span(&text));
}

/* ---- containers ----------------------------------------------------------------------------
 */

bool jsonscan_name_open(struct jsonscan *scan, struct jsonscan_level *outer,
                        struct jsonscan_level *level)
{
    bool v3 = scan->limits.names == JSONSCAN_NAMES_V3;

    if (outer == NULL) {
        struct span top = v3 ? SPAN("json") : level->array ? SPAN("array") : SPAN("");
        if (!name_add(scan, SPAN(""), top))
            return false;
    } else if (!outer->array) {
        if (!name_add(scan, outer->dot ? SPAN(".") : SPAN(""), scan->key))
            return false;
    } else if (v3 && !index_add(scan, outer)) {
        return false;
    }
    level->own_len = level->inner_len = scan->name_len;
    level->dot = outer != NULL || v3;
    if (!level->array || v3)
        return true;
    struct span key = span_of(scan->name + scan->last, scan->name_len - scan->last);
    if (!name_add(scan, SPAN("."), key))
        return false;
    level->inner_len = scan->name_len;
    return true;
}

void jsonscan_name_back(struct jsonscan *scan, const struct jsonscan_level *level)
{
    scan->name_len = level->inner_len;
    scan->last = level->own_len + 1;
}

/* That of a value under a key, made where it stays. */
static bool keyed_name(struct jsonscan *scan, const struct jsonscan_level *level,
                       struct span *name)
{
    size_t len = level->own_len + level->dot + scan->key.len;

    if (scan->key.len > scan->limits.name_bytes || len > scan->limits.name_bytes) {
        scan->findings |= JSONSCAN_OVER_NAME;
        return false;
    }
    if (!level->dot) { /* the outermost: the key is the name */
        *name = scan->key;
        return true;
    }
    char *p = arena_alloc(scan->arena, len);
    if (p == NULL)
        return no_memory(scan);
    memcpy(p, scan->name, level->own_len);
    p[level->own_len] = '.';
    memcpy(p + level->own_len + 1, scan->key.p, scan->key.len);
    *name = span_of(p, len);
    return true;
}

bool jsonscan_name_of_value(struct jsonscan *scan, struct jsonscan_level *level,
                            struct span *name)
{
    bool v3 = scan->limits.names == JSONSCAN_NAMES_V3;
    bool repeats = level != NULL && level->array && !v3;

    if (level != NULL && !level->array)
        return keyed_name(scan, level, name);
    if (repeats && level->element.p != NULL) {
        *name = level->element;
        return true;
    }
    if (level == NULL && v3 && !name_add(scan, SPAN(""), SPAN("json")))
        return false;
    if (level != NULL && v3 && !index_add(scan, level))
        return false;
    *name = arena_copy(scan->arena, span_of(scan->name, scan->name_len));
    if (name->p == NULL)
        return no_memory(scan);
    if (repeats)
        level->element = *name;
    return true;
}

/* ---- keys ----------------------------------------------------------------------------------
 */

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t word_at(const char *p, size_t len)
{
    uint64_t word = 0;

    memcpy(&word, p, len);
    return word;
}

/*
 * A multiplying hash under a secret: not for a table that answers with what it holds, but here
 * two keys that collide make a false alarm at worst.
 */
static uint64_t key_hash(const struct siphash_key *seed, unsigned serial, struct span key)
{
    uint64_t k0 = seed->k0 ^ 0xa0761d6478bd642fu, k1 = seed->k1 ^ 0xe7037ed1a0b428dbu;
    uint64_t hash = mix(k0 ^ (key.len << 32 | serial), k1);
    const char *p = key.p;
    size_t left = key.len;

    for (; left > 16; p += 16, left -= 16)
        hash = mix(word_at(p, 8) ^ k1, word_at(p + 8, 8) ^ hash);
    uint64_t a = left >= 8 ? word_at(p, 8) : left >= 4 ? word_at(p, 4) : 0;
    uint64_t b = 0;
    if (left > 8)
        b = word_at(p + left - 8, 8);
    else if (left >= 4)
        b = word_at(p + left - 4, 4);
    else if (left > 0)
        b = (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[left / 2] << 8 |
            (uint8_t)p[left - 1];
    hash = mix(a ^ k1, b ^ hash);
    return mix(hash ^ k0, 0x8ebc6af09c88c6e3u) | 1; /* 0 is an empty slot */
}

static bool seen_grow(struct jsonscan *scan)
{
    size_t size = scan->seen_size == 0 ? SEEN_FIRST : scan->seen_size * 4;
    uint64_t *seen = arena_array(scan->arena, uint64_t, size);

    if (seen == NULL)
        return no_memory(scan);
    for (size_t i = 0; i < scan->seen_size; i++) {
        size_t slot = scan->seen[i] >> 1 & (size - 1);
        if (scan->seen[i] == 0)
            continue;
        while (seen[slot] != 0)
            slot = (slot + 1) & (size - 1);
        seen[slot] = scan->seen[i];
    }
    scan->seen = seen;
    scan->seen_size = size;
    return true;
}

static bool table_note(struct jsonscan *scan, uint64_t hash)
{
    if (scan->seen_count * 2 >= scan->seen_size && !seen_grow(scan))
        return false;
    size_t slot = hash >> 1 & (scan->seen_size - 1);
    while (scan->seen[slot] != 0 && scan->seen[slot] != hash)
        slot = (slot + 1) & (scan->seen_size - 1);
    if (scan->seen[slot] == hash) {
        scan->findings |= JSONSCAN_DUPLICATE;
        return true;
    }
    scan->seen[slot] = hash;
    scan->seen_count++;
    return true;
}

static bool key_note(struct jsonscan *scan, struct jsonscan_level *level, struct span key)
{
    uint64_t hash = key_hash(&scan->limits.seed, level->serial, key);
    unsigned count = level->key_count;

    if (count > LEVEL_KEYS)
        return table_note(scan, hash);
    level->key_count = count + 1;
    if (count == LEVEL_KEYS) {
        for (unsigned i = 0; i < LEVEL_KEYS; i++)
            if (!table_note(scan, level->keys[i]))
                return false;
        return table_note(scan, hash);
    }
    for (unsigned i = 0; i < count; i++)
        if (level->keys[i] == hash)
            scan->findings |= JSONSCAN_DUPLICATE;
    level->keys[count] = hash;
    return true;
}

bool jsonscan_name_key(struct jsonscan *scan, struct jsonscan_level *level, struct span key)
{
    bool nameless = key.len == 0 && scan->limits.names == JSONSCAN_NAMES_V3;

    scan->name_len = level->own_len;
    scan->key = nameless ? SPAN("empty-key") : key;
    return key_note(scan, level, key);
}
