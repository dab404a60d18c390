/* Reading a ClientHello (RFC 8446 section 4.1.2) for its fingerprint, and for nothing else. */
#include "gateway/net/ja4.h"

#include <sodium.h>

#include "gateway/base/text.h"

enum {
    CLIENT_HELLO = 1,
    RANDOM_BYTES = 32,
    EXT_SERVER_NAME = 0,
    EXT_SIGNATURE_ALGORITHMS = 13,
    EXT_ALPN = 16,
    EXT_SUPPORTED_VERSIONS = 43,
    COUNT_SHOWN_MAX = 99,
    HASH_SHOWN_BYTES = 6,
    LIST_BYTES_MAX = JA4_ITEMS_MAX * 5 * 2 + 1, /* "0000," of extensions and algorithms */
};

struct items {
    uint16_t items[JA4_ITEMS_MAX];
    unsigned count;
};

struct hello {
    uint16_t version;
    bool named;
    struct items ciphers, extensions, algorithms;
    struct span alpn; /* the first value */
};

/* ---- reading ---- */

static bool take(struct span *from, size_t len, struct span *part)
{
    if (from->len < len)
        return false;
    *part = span_of(from->p, len);
    *from = span_sub(*from, len, from->len);
    return true;
}

static bool take_number(struct span *from, unsigned bytes, size_t *number)
{
    struct span part;
    if (!take(from, bytes, &part))
        return false;
    *number = 0;
    for (unsigned i = 0; i < bytes; i++)
        *number = *number << 8 | (unsigned char)part.p[i];
    return true;
}

/* A vector: its length in `bytes` bytes, then that. */
static bool take_vector(struct span *from, unsigned bytes, struct span *vector)
{
    size_t len;
    return take_number(from, bytes, &len) && take(from, len, vector);
}

/* RFC 8701: 0x0a0a, 0x1a1a ... 0xfafa. */
static bool is_grease(size_t value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

static bool add(struct items *items, size_t value)
{
    if (is_grease(value))
        return true;
    if (items->count == JA4_ITEMS_MAX)
        return false;
    items->items[items->count++] = (uint16_t)value;
    return true;
}

static bool read_numbers(struct span from, struct items *items)
{
    size_t value;
    while (from.len > 0)
        if (!take_number(&from, 2, &value) || !add(items, value))
            return false;
    return true;
}

/* The highest one that the client would speak. */
static bool read_versions(struct span body, struct hello *hello)
{
    struct span versions;
    size_t value, highest = 0;
    if (!take_vector(&body, 1, &versions))
        return false;
    while (versions.len > 0) {
        if (!take_number(&versions, 2, &value))
            return false;
        if (!is_grease(value) && value > highest)
            highest = value;
    }
    if (highest != 0)
        hello->version = (uint16_t)highest;
    return true;
}

static bool read_algorithms(struct span body, struct hello *hello)
{
    struct span algorithms;
    hello->algorithms.count = 0;
    return take_vector(&body, 2, &algorithms) && read_numbers(algorithms, &hello->algorithms);
}

static bool read_alpn(struct span body, struct hello *hello)
{
    struct span values;
    return take_vector(&body, 2, &values) &&
           (values.len == 0 || take_vector(&values, 1, &hello->alpn));
}

static bool read_extension(size_t type, struct span body, struct hello *hello)
{
    if (!add(&hello->extensions, type))
        return false;
    switch (type) {
    case EXT_SERVER_NAME:
        hello->named = true;
        return true;
    case EXT_SIGNATURE_ALGORITHMS:
        return read_algorithms(body, hello);
    case EXT_ALPN:
        return read_alpn(body, hello);
    case EXT_SUPPORTED_VERSIONS:
        return read_versions(body, hello);
    default:
        return true;
    }
}

static bool read_hello(struct span message, struct hello *hello)
{
    struct span body, skipped, ciphers, extensions, extension;
    size_t type, version;
    *hello = (struct hello){ .version = 0 };
    if (!take_number(&message, 1, &type) || type != CLIENT_HELLO ||
        !take_vector(&message, 3, &body) || message.len > 0)
        return false;
    if (!take_number(&body, 2, &version) || !take(&body, RANDOM_BYTES, &skipped) ||
        !take_vector(&body, 1, &skipped) || !take_vector(&body, 2, &ciphers) ||
        !take_vector(&body, 1, &skipped) || !read_numbers(ciphers, &hello->ciphers))
        return false;
    hello->version = (uint16_t)version;
    if (body.len == 0) /* before TLS 1.3 there need be none */
        return true;
    if (!take_vector(&body, 2, &extensions) || body.len > 0)
        return false;
    while (extensions.len > 0)
        if (!take_number(&extensions, 2, &type) || !take_vector(&extensions, 2, &extension) ||
            !read_extension(type, extension, hello))
            return false;
    return true;
}

/* ---- writing ---- */

static const char *version_text(uint16_t version)
{
    static const struct {
        uint16_t version;
        const char *text;
    } rows[] = { { 0x0304, "13" }, { 0x0303, "12" }, { 0x0302, "11" },
                 { 0x0301, "10" }, { 0x0300, "s3" }, { 0x0002, "s2" } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].version == version)
            return rows[i].text;
    return "00";
}

static bool is_alphanumeric(char c)
{
    char lower = ascii_lower(c);
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
}

/* First and last character; of its hexadecimal form where these are no letters or digits. */
static void put_alpn(struct text *out, struct span alpn)
{
    static const char digits[] = "0123456789abcdef";
    if (alpn.len == 0) {
        text_lit(out, "00");
        return;
    }
    char first = alpn.p[0], last = alpn.p[alpn.len - 1];
    if (!is_alphanumeric(first) || !is_alphanumeric(last)) {
        first = digits[(unsigned char)first >> 4];
        last = digits[last & 15];
    }
    text_char(out, first);
    text_char(out, last);
}

static void put_count(struct text *out, unsigned count)
{
    count = count < COUNT_SHOWN_MAX ? count : COUNT_SHOWN_MAX;
    text_char(out, (char)('0' + count / 10));
    text_char(out, (char)('0' + count % 10));
}

/* A client chooses how many there are, up to a bound: insertion is enough. */
static void sort(struct items *items)
{
    for (unsigned i = 1; i < items->count; i++) {
        uint16_t value = items->items[i];
        unsigned k = i;
        for (; k > 0 && items->items[k - 1] > value; k--)
            items->items[k] = items->items[k - 1];
        items->items[k] = value;
    }
}

static void put_items(struct text *out, const struct items *items)
{
    for (unsigned i = 0; i < items->count; i++) {
        unsigned char bytes[2] = { (unsigned char)(items->items[i] >> 8),
                                   (unsigned char)items->items[i] };
        if (i > 0)
            text_char(out, ',');
        text_hex(out, bytes, sizeof(bytes));
    }
}

static void put_hash(struct text *out, const struct text *list)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256(hash, (const unsigned char *)list->p, list->len);
    if (list->len == 0)
        memset(hash, 0, sizeof(hash));
    text_hex(out, hash, HASH_SHOWN_BYTES);
}

static void drop_named(struct items *extensions)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < extensions->count; i++)
        if (extensions->items[i] != EXT_SERVER_NAME && extensions->items[i] != EXT_ALPN)
            extensions->items[kept++] = extensions->items[i];
    extensions->count = kept;
}

bool ja4_write(struct span message, char out[static JA4_BYTES])
{
    struct hello hello;
    char list[LIST_BYTES_MAX];
    struct text text = text_fixed(out, JA4_BYTES), items = text_fixed(list, sizeof(list));
    if (!read_hello(message, &hello))
        return false;
    text_char(&text, 't');
    text_add(&text, span_text(version_text(hello.version)));
    text_char(&text, hello.named ? 'd' : 'i');
    put_count(&text, hello.ciphers.count);
    put_count(&text, hello.extensions.count);
    put_alpn(&text, hello.alpn);
    text_char(&text, '_');
    sort(&hello.ciphers);
    put_items(&items, &hello.ciphers);
    put_hash(&text, &items);
    text_char(&text, '_');
    drop_named(&hello.extensions);
    sort(&hello.extensions);
    items.len = 0;
    put_items(&items, &hello.extensions);
    if (hello.algorithms.count > 0) {
        text_char(&items, '_');
        put_items(&items, &hello.algorithms);
    }
    put_hash(&text, &items);
    INVARIANT(!text.overflow && !items.overflow && text.len == JA4_BYTES);
    return true;
}
