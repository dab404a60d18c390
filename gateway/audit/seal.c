/*
 * Writing and reading seals and their state.
 */
#include "gateway/audit/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/siphash.h"

enum { STATE_MAGIC = 0x5ea15a11, KEY_TEXT = 43, SIGNATURE_TEXT = 86, STATE_SLOT_BYTES = 1024 };
enum { STATE_MODE = 0600, SEAL_MODE = 0640, RESERVE_BYTES = 64 * 1024 };

_Static_assert(sizeof(struct seal_state) <= STATE_SLOT_BYTES, "a state fits its place");
_Static_assert((int)ROSTER_HASH == (int)SEAL_KEY_BYTES, "a root is written as a key is");
_Static_assert(SEAL_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "libsodium agrees");

static const char *const kind_names[SEAL_KINDS] = {
    [SEAL_GENESIS] = "genesis", [SEAL_OPEN] = "open",     [SEAL_CHECKPOINT] = "checkpoint",
    [SEAL_CLOSE] = "close",     [SEAL_PRUNED] = "pruned",
};

/* ---- state ---- */

static void check_of(const struct seal_state *state, uint8_t check[CHAIN_BYTES])
{
    (void)crypto_generichash(check, CHAIN_BYTES, (const unsigned char *)state,
                             offsetof(struct seal_state, check), NULL, 0);
}

static bool is_good(const struct seal_state *state)
{
    uint8_t check[CHAIN_BYTES];
    check_of(state, check);
    return state->magic == STATE_MAGIC && memcmp(check, state->check, CHAIN_BYTES) == 0;
}

/* The newer of the two that is good; false: neither is. */
static bool newer(const struct seal_state both[2], struct seal_state *out)
{
    bool good[2] = { is_good(&both[0]), is_good(&both[1]) };
    if (!good[0] && !good[1])
        return false;
    *out = both[good[1] && (!good[0] || both[1].turn > both[0].turn)];
    return true;
}

static bool read_state(int fd, struct seal_state *state)
{
    struct seal_state both[2];
    memset(both, 0, sizeof(both));
    for (int i = 0; i < 2; i++)
        if (pread(fd, &both[i], sizeof(both[i]), (off_t)i * STATE_SLOT_BYTES) < 0)
            return false;
    bool good = newer(both, state);
    sodium_memzero(both, sizeof(both));
    return good;
}

bool seal_state_read(const char *path, struct seal_state *state)
{
    char name[SEAL_PATH_MAX];
    struct text text = text_fixed(name, sizeof(name));
    text_format(&text, "%s.state", path);
    const char *full = text_cstring(&text);
    int fd = full != NULL ? open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
    if (fd < 0)
        return false;
    bool good = read_state(fd, state);
    (void)close(fd);
    return good;
}

enum err seal_save(struct seal *seal, enum seal_depth depth)
{
    struct seal_state *state = &seal->state;
    bool sync = depth == SEAL_TO_DISK;
    state->turn++;
    check_of(state, state->check);
    if (seal->memory != NULL)
        memcpy(&seal->memory->state[state->turn & 1], state, sizeof(*state));
    if (depth == SEAL_TO_MEMORY)
        return OK;
    /* The line that this state speaks of goes first. */
    if ((sync && fdatasync(seal->fd) != 0) ||
        pwrite(seal->state_fd, state, sizeof(*state),
               (off_t)(state->turn & 1) * STATE_SLOT_BYTES) != (ssize_t)sizeof(*state) ||
        (sync && fdatasync(seal->state_fd) != 0))
        return ERR_WRITE;
    return OK;
}

/* ---- lines ---- */

static void put_key(struct text *out, const char *name, const uint8_t bytes[SEAL_KEY_BYTES])
{
    char shown[KEY_TEXT + 1];
    (void)sodium_bin2base64(shown, sizeof(shown), bytes, SEAL_KEY_BYTES,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    text_format(out, ",\"%s\":\"%s\"", name, shown);
}

static void write_line(struct text *out, const struct seal_state *state, enum seal_kind kind,
                       uint64_t now_us)
{
    text_format(out, "{\"seal\":\"%s\",\"time\":\"", kind_names[kind]);
    clock_write_iso(out, now_us);
    text_format(out, "\",\"segment\":%llu,\"seq\":%llu,\"bytes\":%llu",
                (unsigned long long)state->segment, (unsigned long long)state->chain.seq,
                (unsigned long long)state->bytes);
    put_key(out, "head", state->chain.head);
}

static void write_roster(struct text *out, const struct seal *seal)
{
    uint8_t root[ROSTER_HASH];
    struct roster *roster = seal->roster;
    if (roster == NULL ||
        !roster_root(roster, seal->state.sealed_seq + 1, seal->state.chain.seq, root))
        return;
    text_lit(out, ",\"from\":\"");
    clock_write_iso(out, roster->from_us);
    text_lit(out, "\",\"to\":\"");
    clock_write_iso(out, roster->to_us);
    text_char(out, '"');
    put_key(out, "roster", root);
}

/* Room for the next lines is asked for while there is some: a full disk does not stop
 * checkpoints. */
static void reserve(const struct seal *seal)
{
    (void)fallocate(seal->fd, FALLOC_FL_KEEP_SIZE, (off_t)seal->state.seal_bytes,
                    RESERVE_BYTES);
}

static enum err append(struct seal *seal, struct span line)
{
    off_t at = (off_t)seal->state.seal_bytes;
    if (seal->reserved < seal->state.seal_bytes + SEAL_LINE_MAX) {
        reserve(seal);
        seal->reserved = seal->state.seal_bytes + RESERVE_BYTES;
    }
    ssize_t written = pwrite(seal->fd, line.p, line.len, at);
    if (written == (ssize_t)line.len) {
        seal->state.seal_bytes += line.len;
        return OK;
    }
    if (ftruncate(seal->fd, at) != 0)
        log_error("a torn line stays in the seal file", F_ERRNO(errno));
    return ERR_WRITE;
}

enum err seal_line(struct seal *seal, enum seal_kind kind, uint64_t segment, uint64_t bytes,
                   uint64_t now_us)
{
    struct seal_state *state = &seal->state, shown = *state;
    uint8_t public[SEAL_KEY_BYTES], secret[SEAL_SECRET_BYTES], signature[crypto_sign_BYTES];
    char buffer[SEAL_LINE_MAX], signature_text[SIGNATURE_TEXT + 1];
    struct text line = text_fixed(buffer, sizeof(buffer));

    shown.segment = segment;
    shown.bytes = bytes;
    write_line(&line, &shown, kind, now_us);
    sodium_memzero(&shown, sizeof(shown));
    if (kind != SEAL_GENESIS)
        write_roster(&line, seal);
    else
        put_key(&line, "key", state->secret + crypto_sign_SEEDBYTES);
    (void)crypto_sign_keypair(public, secret);
    put_key(&line, "next", public);
    (void)crypto_sign_detached(signature, NULL, (const unsigned char *)line.p, line.len,
                               state->secret);
    (void)sodium_bin2base64(signature_text, sizeof(signature_text), signature,
                            sizeof(signature), sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    text_format(&line, ",\"sig\":\"%s\"}\n", signature_text);
    INVARIANT(!line.overflow);

    enum err err = append(seal, text_span(&line));
    if (err == OK) {
        memcpy(state->secret, secret, sizeof(secret));
        state->sealed_seq = state->chain.seq;
        state->sealed_us = now_us;
        if (seal->roster != NULL)
            roster_begin(seal->roster, state->chain.seq + 1);
    }
    sodium_memzero(secret, sizeof(secret));
    return err;
}

/* ---- opening ---- */

static enum err open_one(const char *path, const char *suffix, mode_t mode, int *fd)
{
    char name[SEAL_PATH_MAX];
    struct text text = text_fixed(name, sizeof(name));
    text_format(&text, "%s%s", path, suffix);
    const char *full = text_cstring(&text);
    *fd = full != NULL ? open(full, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, mode) : -1;
    if (*fd >= 0)
        return OK;
    log_error("cannot open a file beside the audit file", F_TEXT("file", name), F_ERRNO(errno));
    return ERR_OPEN;
}

static uint64_t path_hash(const char *path)
{
    static const struct siphash_key key = { 0x5a11, 0x9027 };
    return siphash(&key, path, strlen(path));
}

/* A seal file that is there without its state: somebody's, but not this chain's to go on with.
 * The new chain's lines follow it, and verify says where the old one ends. */
static enum err begin(struct seal *seal, const char *path, uint64_t now_us)
{
    struct stat info;
    uint8_t public[SEAL_KEY_BYTES];
    struct seal_state *state = &seal->state;
    if (fstat(seal->fd, &info) != 0)
        return ERR_SYSTEM;
    *state = (struct seal_state){ .magic = STATE_MAGIC, .path = path_hash(path) };
    state->seal_bytes = (uint64_t)info.st_size;
    random_bytes(state->chain.key, sizeof(state->chain.key));
    (void)crypto_sign_keypair(public, state->secret);
    seal->fresh = true;
    TRY(seal_line(seal, SEAL_GENESIS, 0, 0, now_us));
    return seal_save(seal, SEAL_TO_DISK);
}

static bool find_state(struct seal *seal, const char *path)
{
    uint64_t hash = path_hash(path);
    struct seal_state kept;
    bool on_disk = read_state(seal->state_fd, &kept) && kept.path == hash;
    bool in_memory = seal->memory != NULL && newer(seal->memory->state, &seal->state) &&
                     seal->state.path == hash;
    /* Memory is never behind the file, unless the file is of another life. */
    if (on_disk && (!in_memory || kept.turn > seal->state.turn))
        seal->state = kept;
    sodium_memzero(&kept, sizeof(kept));
    return on_disk || in_memory;
}

enum err seal_open(struct seal *seal, const char *path, struct seal_memory *memory,
                   uint64_t now_us)
{
    *seal = (struct seal){ .fd = -1, .state_fd = -1, .memory = memory };
    enum err err = open_one(path, ".seal", SEAL_MODE, &seal->fd);
    if (err == OK)
        err = open_one(path, ".state", STATE_MODE, &seal->state_fd);
    /* Two that write one log would break its chain: a gateway that is started anew may be here
     * before the last recorder has ended. */
    if (err == OK && flock(seal->state_fd, LOCK_EX | LOCK_NB) != 0)
        err = errno == EWOULDBLOCK ? ERR_BUSY : ERR_SYSTEM;
    if (err == OK && !find_state(seal, path))
        err = begin(seal, path, now_us);
    struct stat info;
    if (err == OK && fstat(seal->fd, &info) == 0 &&
        (uint64_t)info.st_size > seal->state.seal_bytes &&
        ftruncate(seal->fd, (off_t)seal->state.seal_bytes) != 0)
        err = ERR_WRITE;
    if (err == OK && (uint64_t)info.st_size < seal->state.seal_bytes) {
        log_error("seals are missing at the end of the seal file", F_TEXT("audit", path));
        seal->state.seal_bytes = (uint64_t)info.st_size;
    }
    if (err != OK)
        seal_close(seal);
    return err;
}

void seal_close(struct seal *seal)
{
    if (seal->fd >= 0)
        (void)close(seal->fd);
    if (seal->state_fd >= 0)
        (void)close(seal->state_fd);
    sodium_memzero(&seal->state, sizeof(seal->state));
    seal->fd = seal->state_fd = -1;
}

/* ---- reading ---- */

/* Takes `,"name":` and a number, or a quoted value, off the front. */
static bool take_name(struct span *rest, const char *name)
{
    char buffer[32];
    struct text text = text_fixed(buffer, sizeof(buffer));
    text_format(&text, ",\"%s\":", name);
    if (!span_starts(*rest, text_span(&text)))
        return false;
    *rest = span_sub(*rest, text.len, rest->len);
    return true;
}

static bool take_number(struct span *rest, const char *name, uint64_t *value)
{
    if (!take_name(rest, name))
        return false;
    size_t digits = 0;
    while (digits < rest->len && rest->p[digits] >= '0' && rest->p[digits] <= '9')
        digits++;
    bool good = span_uint(span_sub(*rest, 0, digits), value);
    *rest = span_sub(*rest, digits, rest->len);
    return good;
}

static bool take_quoted(struct span *rest, struct span *value)
{
    if (rest->len == 0 || rest->p[0] != '"')
        return false;
    *rest = span_sub(*rest, 1, rest->len);
    ssize_t end = span_index(*rest, '"');
    if (end < 0)
        return false;
    *value = span_sub(*rest, 0, (size_t)end);
    *rest = span_sub(*rest, (size_t)end + 1, rest->len);
    return true;
}

static bool take_bytes(struct span *rest, const char *name, uint8_t *bytes, size_t len)
{
    struct span value;
    size_t got = 0;
    return take_name(rest, name) && take_quoted(rest, &value) &&
           sodium_base642bin(bytes, len, value.p, value.len, NULL, &got, NULL,
                             sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
           got == len;
}

static bool take_kind(struct span *rest, enum seal_kind *kind)
{
    struct span name;
    if (!span_starts(*rest, SPAN("{\"seal\":")))
        return false;
    *rest = span_sub(*rest, sizeof("{\"seal\":") - 1, rest->len);
    if (!take_quoted(rest, &name))
        return false;
    for (int i = 0; i < SEAL_KINDS; i++)
        if (span_equal(name, span_text(kind_names[i]))) {
            *kind = (enum seal_kind)i;
            return true;
        }
    return false;
}

static bool take_time(struct span *rest, const char *name, uint64_t *us)
{
    struct span value;
    return take_name(rest, name) && take_quoted(rest, &value) && time_parse(value, us);
}

static bool take_roster(struct span *rest, struct seal_entry *entry)
{
    entry->has_roster = span_starts(*rest, SPAN(",\"from\":"));
    return !entry->has_roster ||
           (take_time(rest, "from", &entry->from_us) && take_time(rest, "to", &entry->to_us) &&
            take_bytes(rest, "roster", entry->roster, sizeof(entry->roster)));
}

bool seal_parse(struct span line, const uint8_t key[SEAL_KEY_BYTES], struct seal_entry *entry)
{
    struct span rest = line;
    uint8_t signature[crypto_sign_BYTES];

    if (!take_kind(&rest, &entry->kind) || !take_name(&rest, "time") ||
        !take_quoted(&rest, &entry->time) || !take_number(&rest, "segment", &entry->segment) ||
        !take_number(&rest, "seq", &entry->seq) ||
        !take_number(&rest, "bytes", &entry->bytes) ||
        !take_bytes(&rest, "head", entry->head, sizeof(entry->head)))
        return false;
    if (entry->kind == SEAL_GENESIS) {
        if (!take_bytes(&rest, "key", entry->key, sizeof(entry->key)))
            return false;
        key = entry->key;
    }
    if (key == NULL || !take_roster(&rest, entry) ||
        !take_bytes(&rest, "next", entry->next, sizeof(entry->next)))
        return false;
    size_t signed_len = line.len - rest.len;
    return take_bytes(&rest, "sig", signature, sizeof(signature)) &&
           span_equal(rest, SPAN("}")) &&
           crypto_sign_verify_detached(signature, (const unsigned char *)line.p, signed_len,
                                       key) == 0;
}
