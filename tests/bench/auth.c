/*
 * What it costs to know who somebody is: tokens as they come, and as they come again; sessions.
 *
 *     make bench-auth
 *     build/release/bench-auth RS256      the rows that begin so
 *
 * CPU time of one core per operation, the best of several rounds in each of which all rows have
 * their turn, beside the bar. Tokens are verified as whole, from the text to who it is; "by
 * EVP" is the same with EVP_PKEY_verify, and "no vectors" as on processors without AVX-512
 * IFMA. Exit status 1 when a row is over its bar.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/base64url.h"
#include "auth/forge.h"
#include "auth/strictjson.h"
#include "auth/token.h"
#include "auth/tokencache.h"
#include "auth/vault.h"

enum { NOW = 1800000000, ROUNDS = 7, ENTRIES = 16384, VALUE = 6784 };

enum way { AS_IT_IS, BY_EVP, NO_VECTORS, WAYS };

struct bench {
    struct forge forge;
    struct token_issuer issuers[WAYS];
    const struct token_issuer *issuer; /* of the row */
    struct tokencache *cache;
    struct span token; /* of the row */
    struct vault vault;
    struct ticket ticket;
};

static double cpu_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* What the signature alone takes of it. */
static bool check_signature(struct bench *bench)
{
    struct span rest = bench->token;
    size_t dot = rest.len;
    while (dot > 0 && rest.p[dot - 1] != '.')
        dot--;
    static uint8_t signature[SIGNATURE_BYTES_MAX];
    static size_t len;
    const struct jose_key *keys[JWKS_FITTING_MAX];
    return dot > 0 &&
           base64url_decode(span_sub(rest, dot, rest.len), signature, sizeof(signature),
                            &len) &&
           jwks_fitting(&bench->issuer->keys, JOSE_RS256, SPAN("rsa"), keys) > 0 &&
           jose_verify(keys[0], JOSE_RS256, span_sub(rest, 0, dot - 1),
                       span_of((const char *)signature, len));
}

static bool verify(struct bench *bench)
{
    static char room[64 * 1024];
    struct arena arena;
    struct verified *verified = NULL;
    arena_init(&arena, room, sizeof(room), NULL, 1 << 20);
    bool good = token_verify(bench->issuer, 1, bench->token, NOW, &arena, &verified) == JOSE_OK;
    if (good)
        verified_release(verified);
    arena_reset(&arena);
    return good;
}

/* All that the stage does with a token that it knows. */
static bool again(struct bench *bench)
{
    struct token_tag tag = tokencache_tag(bench->cache, bench->token);
    struct verified *verified = tokencache_get(bench->cache, &tag, NOW);
    if (verified == NULL) {
        struct arena arena;
        arena_init(&arena, NULL, 0, NULL, 1 << 20);
        if (token_verify(bench->issuer, 1, bench->token, NOW, &arena, &verified) == JOSE_OK)
            tokencache_put(bench->cache, &tag, verified, NOW);
        arena_reset(&arena);
    }
    if (verified != NULL)
        verified_release(verified);
    return verified != NULL;
}

static bool look_up(struct bench *bench)
{
    struct vault_value value;
    bool found = vault_get(&bench->vault, &bench->ticket, NOW, true, &value);
    vault_value_wipe(&value);
    return found;
}

#define RS256 "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", FORGE_RSA, JOSE_RS256
#define ES256 "{\"alg\":\"ES256\",\"kid\":\"p256\"}", FORGE_P256, JOSE_ES256
#define ES384 "{\"alg\":\"ES384\",\"kid\":\"p384\"}", FORGE_P384, JOSE_ES384
#define EDDSA "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", FORGE_ED25519, JOSE_EDDSA
#define NO_TOKEN NULL, FORGE_KEYS, JOSE_RS256

static const struct row {
    const char *name, *header;
    enum forge_key key;
    enum jose_alg alg;
    enum way way;
    bool (*once)(struct bench *bench);
    unsigned count;
    double bar_us; /* 0: none */
} rows[] = {
    { "RS256, known", RS256, AS_IT_IS, again, 100000, 2 },
    { "RS256", RS256, AS_IT_IS, verify, 4000, 20 },
    { "RS256, by EVP", RS256, BY_EVP, verify, 2000, 0 },
    { "RS256, no vectors", RS256, NO_VECTORS, verify, 2000, 0 },
    { "RS256, key", RS256, AS_IT_IS, check_signature, 4000, 0 },
    { "RS256, key, by EVP", RS256, BY_EVP, check_signature, 2000, 0 },
    { "ES256", ES256, AS_IT_IS, verify, 1000, 0 },
    { "ES384", ES384, AS_IT_IS, verify, 100, 0 },
    { "EdDSA", EDDSA, AS_IT_IS, verify, 1000, 0 },
    { "session", NO_TOKEN, AS_IT_IS, look_up, 20000, 0 },
};

static bool make_token(struct bench *bench, const struct row *row)
{
    static const char claims[] =
        "{\"iss\":\"https://id.test\",\"aud\":\"api\",\"sub\":\"ann\",\"email\":"
        "\"ann@example.org\",\"groups\":[\"staff\",\"ops\"],\"iat\":1799999000,\"exp\":"
        "1800000300}";
    struct span text = forge_signing_text(&bench->forge, row->header, claims);
    bench->token =
        forge_join(&bench->forge, text,
                   forge_sign(&bench->forge, bench->forge.keys[row->key], row->alg, text));
    return bench->token.p != NULL;
}

/* One turn of a row: its time per operation in us, negative when it does not work. */
static double take_turn(struct bench *bench, const struct row *row)
{
    bench->issuer = &bench->issuers[row->way];
    if (row->header != NULL && !make_token(bench, row))
        return -1;
    double began = cpu_us();
    for (unsigned i = 0; i < row->count; i++)
        if (!row->once(bench))
            return -1;
    return (cpu_us() - began) / row->count;
}

/* False: it was over its bar, or does not even work. */
static bool report(const struct row *row, double best)
{
    (void)printf("%-20s %8.2f us %10.0f/s a core", row->name, best, 1e6 / best);
    if (row->bar_us > 0)
        (void)printf("   bar %.0f us, %.0f/s: %s", row->bar_us, 1e6 / row->bar_us,
                     best <= row->bar_us ? "held" : "OVER");
    (void)putchar('\n');
    return row->bar_us <= 0 || best <= row->bar_us;
}

static bool measure(struct bench *bench, const char *prefix)
{
    double best[ARRAY_LEN(rows)];
    bool good = true;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            if (strncmp(rows[i].name, prefix, strlen(prefix)) != 0)
                continue;
            double each = take_turn(bench, &rows[i]);
            if (each < 0) {
                (void)printf("%s does not pass\n", rows[i].name);
                return false;
            }
            best[i] = round == 0 || each < best[i] ? each : best[i];
        }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strncmp(rows[i].name, prefix, strlen(prefix)) == 0)
            good &= report(&rows[i], best[i]);
    return good;
}

/* The issuer with its keys, three times. */
static bool open_issuers(struct bench *bench)
{
    static struct span audience[] = { SPAN_INIT("api") };
    static struct span types[] = { SPAN_INIT("JWT") };
    for (unsigned way = 0; way < WAYS; way++) {
        struct token_issuer *issuer = &bench->issuers[way];
        *issuer = (struct token_issuer){ .name = SPAN("https://id.test"),
                                         .audience = { audience, 1 },
                                         .types = { types, ARRAY_LEN(types) },
                                         .user_claim = SPAN("sub"),
                                         .groups_claim = SPAN("groups"),
                                         .lifetime_s = 86400,
                                         .skew_s = 60 };
        if (jwks_parse(&issuer->keys, bench->forge.jwks, JOSE_ALL_ALGS, &bench->forge.arena) !=
            NULL)
            return false;
        struct jose_key *rsa = &issuer->keys.keys[0];
        if (way != AS_IT_IS) {
            rsa_public_free(rsa->rsa);
            rsa->rsa = way == NO_VECTORS ? rsa_public_new(rsa->pkey, false) : NULL;
        }
        if (way == NO_VECTORS && rsa->rsa == NULL)
            return false;
    }
    return true;
}

static bool open_bench(struct bench *bench)
{
    static const uint8_t key[32] = "a key of this boot, for benches.";
    char content[400] = { 'x' };
    struct vault_facts facts = { .began_s = NOW, .until_s = NOW + 1000, .idle_s = 1000 };
    strict_json_init();
    if (sodium_init() < 0 || !forge_open(&bench->forge))
        return false;
    void *memory = calloc(1, vault_bytes(ENTRIES, VALUE) + 64);
    bench->cache = tokencache_new(key);
    if (memory == NULL || bench->cache == NULL || !open_issuers(bench))
        return false;
    vault_over(&bench->vault, (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63), ENTRIES,
               VALUE, "bench", key);
    ticket_make(&bench->ticket);
    return vault_put(&bench->vault, &bench->ticket, &facts, span_of(content, sizeof(content)),
                     NOW);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    if (!open_bench(&bench)) {
        (void)printf("cannot be prepared\n");
        return 1;
    }
    return measure(&bench, argc > 1 ? argv[1] : "") ? 0 : 1;
}
