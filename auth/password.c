/*
 * The kinds of hash, one row each. Argon2id by libsodium, which knows only its own text form;
 * the crypt(3) kinds by libcrypt. Every hash is read strictly: one with a typing error would
 * refuse its user for ever, or, with an inflated cost, hold up everybody.
 */
#include "auth/password.h"

#include <crypt.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "auth/oldhash.h"
#include "gateway/base/secret.h"

struct password_scratch {
    struct crypt_data crypt;
    char password[PASSWORD_BYTES_MAX + 1];
};

struct kind {
    struct span prefix;
    enum password_kind kind;
    const char *(*check)(struct span rest); /* what follows the prefix */
};

/* crypt(3)'s digits, in the order of their values. */
static const char crypt_digits[] =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static int crypt_digit(char c)
{
    const char *at = c != '\0' ? strchr(crypt_digits, c) : NULL;
    return at != NULL ? (int)(at - crypt_digits) : -1;
}

static bool all_crypt_digits(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (crypt_digit(s.p[i]) < 0)
            return false;
    return true;
}

/* ---- reading ------------------------------------------------------------------------------
 */

static bool number_in(struct span text, const char *name, uint64_t min, uint64_t max)
{
    uint64_t value;
    struct span label = span_text(name);
    return span_starts(text, label) && span_uint(span_sub(text, label.len, text.len), &value) &&
           value >= min && value <= max;
}

/* v=19$m=65536,t=3,p=1$salt$hash */
static const char *check_argon2id(struct span rest)
{
    struct span version, memory, passes, lanes;
    if (!span_cut(&rest, '$', &version) || !span_equal(version, SPAN("v=19")) ||
        rest.p == NULL || !span_cut(&rest, ',', &memory) || rest.p == NULL ||
        !span_cut(&rest, ',', &passes) || rest.p == NULL || !span_cut(&rest, '$', &lanes) ||
        rest.p == NULL)
        return "this argon2id hash is malformed; make it anew";
    if (!number_in(memory, "m=", 8, PASSWORD_MEMORY_MAX_KIB) ||
        !number_in(passes, "t=", 1, PASSWORD_ARGON2_PASSES_MAX) ||
        !number_in(lanes, "p=", 1, 16))
        return "this argon2id hash asks for too much: at most m=262144 (256 MiB), t=10, p=16";
    return NULL;
}

/* 10$ and 53 digits: 22 of salt, 31 of hash */
static const char *check_bcrypt(struct span rest)
{
    struct span cost;
    if (!span_cut(&rest, '$', &cost) || cost.len != 2 || rest.len != 53 ||
        !all_crypt_digits(rest))
        return "this bcrypt hash is malformed; make it anew";
    if (!number_in(cost, "", 4, PASSWORD_BCRYPT_COST_MAX))
        return "the cost of this bcrypt hash is outside of 04 to 14";
    return NULL;
}

/* [rounds=5000$]salt$hash */
static const char *check_sha(struct span rest, size_t hash_len)
{
    struct span part;
    bool cut = span_cut(&rest, '$', &part);
    if (cut && span_starts(part, SPAN("rounds="))) {
        if (!number_in(part, "rounds=", 1000, PASSWORD_SHA_ROUNDS_MAX))
            return "the rounds of this hash are outside of 1000 to 1000000";
        cut = span_cut(&rest, '$', &part);
    }
    if (!cut || part.len > 16 || !all_crypt_digits(part) || rest.len != hash_len ||
        !all_crypt_digits(rest))
        return "this SHA-crypt hash is malformed; make it anew";
    return NULL;
}

static const char *check_sha512(struct span rest)
{
    return check_sha(rest, 86);
}

static const char *check_sha256(struct span rest)
{
    return check_sha(rest, 43);
}

/*
 * j9T$salt$hash: a flavour and the numbers N and r, one digit each in all that libcrypt makes.
 * It takes 128 * N * r bytes.
 */
static const char *check_yescrypt(struct span rest)
{
    struct span cost, salt;
    if (!span_cut(&rest, '$', &cost) || cost.len != 3 || cost.p[0] != 'j' ||
        !span_cut(&rest, '$', &salt) || salt.len > 86 || !all_crypt_digits(salt) ||
        rest.len != 43 || !all_crypt_digits(rest))
        return "this yescrypt hash is malformed or of an uncommon kind; make it anew";
    int n_log2 = crypt_digit(cost.p[1]) + 1, r = crypt_digit(cost.p[2]) + 1;
    if (n_log2 < 2 || n_log2 > 30 || r < 1 ||
        ((uint64_t)r << n_log2) / 8 > PASSWORD_MEMORY_MAX_KIB)
        return "this yescrypt hash asks for more than 256 MiB";
    return NULL;
}

/* salt$hash */
static const char *check_apr1(struct span rest)
{
    struct span salt;
    return span_cut(&rest, '$', &salt) && salt.len <= APR1_SALT_MAX && all_crypt_digits(salt) &&
                   rest.len == APR1_HASH_DIGITS && all_crypt_digits(rest)
               ? NULL
               : "this $apr1$ hash is malformed; make one with: htpasswd -B";
}

/* Base64 of 20 bytes, which fills its last digit but for two bits. */
static const char *check_sha1(struct span rest)
{
    bool good = rest.len == SHA1_DIGITS && rest.p[SHA1_DIGITS - 1] == '=';
    for (size_t i = 0; good && i < SHA1_DIGITS - 1; i++)
        good = (crypt_digit(rest.p[i]) >= 0 && rest.p[i] != '.') || rest.p[i] == '+';
    return good ? NULL : "this {SHA} hash is malformed; make one with: htpasswd -B";
}

static const struct kind kinds[] = {
    { SPAN_INIT("$argon2id$"), PASSWORD_ARGON2ID, check_argon2id },
    { SPAN_INIT("$2b$"), PASSWORD_BCRYPT, check_bcrypt },
    { SPAN_INIT("$2y$"), PASSWORD_BCRYPT, check_bcrypt },
    { SPAN_INIT("$2a$"), PASSWORD_BCRYPT, check_bcrypt },
    { SPAN_INIT("$6$"), PASSWORD_SHA512, check_sha512 },
    { SPAN_INIT("$5$"), PASSWORD_SHA256, check_sha256 },
    { SPAN_INIT("$y$"), PASSWORD_YESCRYPT, check_yescrypt },
    { SPAN_INIT("$apr1$"), PASSWORD_APR1, check_apr1 },
    { SPAN_INIT("{SHA}"), PASSWORD_SHA1, check_sha1 },
};

/* Known kinds that are not taken, so that the remedy can be named. */
static const struct {
    struct span prefix;
    const char *remedy;
} refused[] = {
    { SPAN_INIT("$1$"),
      "$1$ is MD5, which is guessed at billions a second; make the hash with: "
      "htpasswd -B" },
    { SPAN_INIT("{SSHA}"), "{SSHA} is a single SHA-1; make the hash with: htpasswd -B" },
    { SPAN_INIT("$2x$"), "$2x$ is bcrypt with a known fault; make the hash with: htpasswd -B" },
    { SPAN_INIT("$argon2i$"), "argon2i is weaker against guessing; make an argon2id hash" },
    { SPAN_INIT("$argon2d$"), "argon2d leaks by timing; make an argon2id hash" },
    { SPAN_INIT("$7$"), "scrypt hashes are not taken; make an argon2id or bcrypt hash" },
    { SPAN_INIT("$gy$"),
      "gost-yescrypt hashes are not taken; make an argon2id or bcrypt hash" },
};

enum err password_init(void)
{
    return sodium_init() >= 0 ? OK : ERR_SYSTEM;
}

static const struct kind *kind_of(struct span text)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (span_starts(text, kinds[i].prefix))
            return &kinds[i];
    return NULL;
}

static const char *remedy_for(struct span text)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (span_starts(text, refused[i].prefix))
            return refused[i].remedy;
    return "this is no password hash that is known here; make one with: htpasswd -B, or "
           "mkpasswd -m yescrypt";
}

const char *password_hash_read(struct span text, struct password_hash *hash)
{
    const struct kind *kind = kind_of(text);
    if (kind == NULL)
        return remedy_for(text);
    if (text.len > PASSWORD_HASH_BYTES_MAX || memchr(text.p, '\0', text.len) != NULL)
        return "this password hash is malformed; make it anew";
    const char *wrong = kind->check(span_sub(text, kind->prefix.len, text.len));
    if (wrong != NULL)
        return wrong;

    *hash = (struct password_hash){ .kind = kind->kind };
    memcpy(hash->text, text.p, text.len);
    /* Only the library can say whether its base64 parts are whole. */
    if (kind->kind == PASSWORD_ARGON2ID &&
        crypto_pwhash_argon2id_str_needs_rehash(hash->text, 1, 8192) < 0)
        return "this argon2id hash is malformed; make it anew";
    return NULL;
}

const char *password_weakness(const struct password_hash *hash)
{
    if (hash->kind == PASSWORD_APR1)
        return "$apr1$ is MD5, which is guessed at millions a second by who gets the file; "
               "make "
               "the hash with: htpasswd -B";
    if (hash->kind == PASSWORD_SHA1)
        return "{SHA} is unsalted SHA-1, which is guessed at billions a second by who gets the "
               "file; make the hash with: htpasswd -B";
    return NULL;
}

bool password_maps(const struct password_hash *hash)
{
    return hash->kind == PASSWORD_ARGON2ID || hash->kind == PASSWORD_YESCRYPT;
}

enum err password_make(struct span password, struct password_hash *hash)
{
    enum { PASSES = 2, BYTES = 19 * 1024 * 1024 };
    *hash = (struct password_hash){ .kind = PASSWORD_ARGON2ID };
    _Static_assert((int)crypto_pwhash_argon2id_STRBYTES <= PASSWORD_HASH_BYTES_MAX + 1, "fits");
    if (password.len > PASSWORD_BYTES_MAX ||
        (password.len > 0 && memchr(password.p, '\0', password.len) != NULL))
        return ERR_LIMIT;
    return crypto_pwhash_argon2id_str(hash->text, password.p, password.len, PASSES, BYTES) == 0
               ? OK
               : ERR_MEMORY;
}

struct span password_cost(const struct password_hash *hash)
{
    struct span all = span_text(hash->text);
    /* Parts before the salt; without "rounds=" SHA-crypt has one less. */
    static const unsigned parts[] = {
        [PASSWORD_ARGON2ID] = 4, [PASSWORD_BCRYPT] = 3,   [PASSWORD_SHA512] = 3,
        [PASSWORD_SHA256] = 3,   [PASSWORD_YESCRYPT] = 3, [PASSWORD_APR1] = 2,
        [PASSWORD_SHA1] = 1
    };
    bool sha = hash->kind == PASSWORD_SHA512 || hash->kind == PASSWORD_SHA256;
    bool told = !sha || span_find(all, SPAN("$rounds=")) >= 0;
    unsigned left = told ? parts[hash->kind] : parts[hash->kind] - 1;
    size_t len = 0;

    if (hash->kind == PASSWORD_SHA1)
        return SPAN("{SHA}");
    while (len < all.len && (all.p[len] != '$' || --left > 0))
        len++;
    struct span cost = span_sub(all, 0, len);
    /* $2a$, $2b$ and $2y$ are one algorithm. */
    return hash->kind == PASSWORD_BCRYPT ? span_sub(cost, 4, cost.len) : cost;
}

/* ---- checking -----------------------------------------------------------------------------
 */

struct password_scratch *password_scratch_new(void)
{
    return calloc(1, sizeof(struct password_scratch));
}

void password_scratch_free(struct password_scratch *scratch)
{
    if (scratch == NULL)
        return;
    wipe(scratch, sizeof(*scratch));
    free(scratch);
}

static enum err verify_argon2id(const struct password_hash *hash, struct span password,
                                bool *right)
{
    errno = 0;
    *right = crypto_pwhash_argon2id_str_verify(hash->text, password.p, password.len) == 0;
    return !*right && errno == ENOMEM ? ERR_MEMORY : OK;
}

static enum err verify_crypt(const struct password_hash *hash, struct password_scratch *scratch,
                             bool *right)
{
    /* A failure is reported as "*0" or "*1", which no hash begins with. */
    const char *made = crypt_r(scratch->password, hash->text, &scratch->crypt);
    if (made == NULL || made[0] == '*')
        return ERR_MEMORY;
    size_t len = strlen(hash->text);
    *right = strlen(made) == len && bytes_equal_constant_time(made, hash->text, len);
    return OK;
}

/* What is made of the password, compared with the end of the hash. */
static enum err verify_old(const struct password_hash *hash, struct span password, bool *right)
{
    char made[SHA1_DIGITS + 1];
    struct span all = span_text(hash->text), salt, rest;
    bool good, sha = hash->kind == PASSWORD_SHA1;
    size_t len = sha ? SHA1_DIGITS : APR1_HASH_DIGITS;
    _Static_assert((int)SHA1_DIGITS >= (int)APR1_HASH_DIGITS, "room for both");
    if (sha) {
        good = sha1_make(password, made);
    } else {
        rest = span_sub(all, sizeof("$apr1$") - 1, all.len);
        good = span_cut(&rest, '$', &salt) && apr1_make(password, salt, made);
    }
    *right = good && bytes_equal_constant_time(made, all.p + all.len - len, len);
    wipe(made, sizeof(made));
    return good ? OK : ERR_MEMORY;
}

enum err password_verify(const struct password_hash *hash, struct span password,
                         struct password_scratch *scratch, bool *right)
{
    *right = false;
    if (password.len > PASSWORD_BYTES_MAX ||
        (password.len > 0 && memchr(password.p, '\0', password.len) != NULL))
        return OK;
    if (hash->kind == PASSWORD_ARGON2ID)
        return verify_argon2id(hash, password, right);
    if (hash->kind == PASSWORD_APR1 || hash->kind == PASSWORD_SHA1)
        return verify_old(hash, password, right);

    if (password.len > 0)
        memcpy(scratch->password, password.p, password.len);
    scratch->password[password.len] = '\0';
    enum err err = verify_crypt(hash, scratch, right);
    wipe(scratch, sizeof(*scratch)); /* libcrypt leaves what it computed with */
    return err;
}
