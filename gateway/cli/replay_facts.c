/*
 * What the record of a capture says, read back. It was sealed by a worker, and a worker that
 * was taken over could have written anything: every name is looked up, nothing is believed.
 */
#include "gateway/cli/replay.h"

#include "gateway/chain/chain.h"
#include "gateway/net/tls.h"

static const char *text_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static struct span span_at(const json_t *object, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return span_of(NULL, 0);
    return arena_copy(arena, span_of(json_string_value(value), json_string_length(value)));
}

static struct tls_info *read_tls(const json_t *from, const struct config *config,
                                 bool same_config, struct arena *arena)
{
    struct tls_info *tls = arena_new(arena, struct tls_info);
    if (tls == NULL)
        return NULL;
    *tls = (struct tls_info){ .established = true,
                              .version = span_at(from, "version", arena),
                              .cipher = span_at(from, "cipher", arena),
                              .sni = span_at(from, "sni", arena),
                              .alpn = span_at(from, "alpn", arena),
                              .client_cert = json_object_get(from, "fingerprint") != NULL,
                              .client_subject = span_at(from, "subject", arena),
                              .client_issuer = span_at(from, "issuer", arena),
                              .client_serial = span_at(from, "serial", arena),
                              .client_fingerprint = span_at(from, "fingerprint", arena),
                              .client_sans = span_at(from, "sans", arena) };
    tls->site = (int)json_integer_value(json_object_get(from, "site"));
    if (!same_config) { /* numbers mean something else there: by the name that was asked for */
        const struct site *site = site_find(config, tls->sni);
        tls->site = site != NULL ? site->tls_site : -1;
    }
    return tls;
}

static void copy_code(char to[3], const char *from)
{
    memset(to, 0, 3);
    if (from != NULL && strlen(from) == 2)
        memcpy(to, from, 2);
}

static void read_geo(struct replayed *replayed, const json_t *from, struct arena *arena)
{
    json_int_t asn = json_integer_value(json_object_get(from, "asn"));
    replayed->has_geo = json_is_object(from);
    replayed->geo = (struct geo){ .named = true,
                                  .city = span_at(from, "city", arena),
                                  .as_org = span_at(from, "as_org", arena),
                                  .asn = asn >= 0 && asn <= UINT32_MAX ? (uint32_t)asn : 0 };
    copy_code(replayed->geo.country, text_at(from, "country"));
    copy_code(replayed->geo.continent, text_at(from, "continent"));
}

static void read_bots(struct replayed *replayed, const json_t *from, struct arena *arena)
{
    json_int_t score = json_integer_value(json_object_get(from, "score"));
    replayed->has_bots = json_is_object(from);
    replayed->bots =
        (struct bots_told){ .scored = true,
                            .score = score >= 0 && score <= 100 ? (int32_t)score : 0,
                            .verified = span_at(from, "verified", arena),
                            .cleared = json_is_true(json_object_get(from, "cleared")),
                            .attack = json_is_true(json_object_get(from, "attack")) };
}

static bool read_word(struct replayed_stage *word, const json_t *from, int status,
                      struct arena *arena)
{
    static const struct {
        const char *name;
        enum action action;
    } actions[] = { { "deny", ACTION_DENY },
                    { "reply", ACTION_REPLY },
                    { "fail", ACTION_FAIL } };
    const char *action = text_at(from, "action"), *reason = text_at(from, "reason");
    *word = (struct replayed_stage){ .stage = text_at(from, "stage"),
                                     .phase = text_at(from, "phase"),
                                     .detail = text_at(from, "detail"),
                                     .list = span_at(from, "list", arena) };
    if (word->stage == NULL || word->phase == NULL || action == NULL || reason == NULL)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (strcmp(actions[i].name, action) == 0)
            word->said = (struct verdict){ .action = actions[i].action,
                                           .reason = replayed_reason(reason) };
    word->status = status;
    return word->said.action != ACTION_PASS && word->said.reason != REASON_NONE;
}

static bool read_words(struct replayed *replayed, const json_t *from, int status,
                       struct arena *arena)
{
    size_t i;
    const json_t *one;
    json_array_foreach(from, i, one)
    {
        if (i >= REPLAYED_WORDS_MAX ||
            !read_word(&replayed->words[replayed->word_count++], one, status, arena))
            return false;
    }
    return true;
}

bool replay_facts_read(struct replay_facts *facts, const json_t *from,
                       const struct config *config, struct arena *arena)
{
    const json_t *decision = json_object_get(from, "decision");
    const json_t *tls = json_object_get(from, "tls");
    const char *peer = text_at(from, "peer"), *reason = text_at(decision, "reason");
    const char *route = text_at(from, "route");
    json_int_t time_us = json_integer_value(json_object_get(from, "time"));
    struct span hash = span_at(from, "config", arena);
    *facts = (struct replay_facts){
        .time_us = time_us > 0 ? (uint64_t)time_us : 0,
        .http2 = json_is_true(json_object_get(from, "http2")),
        .bodyless = json_is_true(json_object_get(from, "bodyless")),
        .whole = json_is_true(json_object_get(from, "whole")),
        .refused = text_at(from, "refused"),
        .refused_head = reason != NULL && strcmp(reason, "http") == 0,
        .same_config = span_equal(hash, config->hash),
        .identity = json_is_true(json_object_get(from, "identity")),
        .replayed = { .route = route != NULL ? route : "",
                      .user = span_at(from, "user", arena),
                      .auth = span_at(from, "auth", arena) },
    };
    if (peer == NULL || !json_is_object(decision) ||
        (strcmp(peer, "") != 0 && !addr_parse(span_text(peer), &facts->peer)))
        return false;
    if (tls != NULL)
        facts->tls = read_tls(tls, config, facts->same_config, arena);
    read_geo(&facts->replayed, json_object_get(from, "geo"), arena);
    read_bots(&facts->replayed, json_object_get(from, "bots"), arena);
    int status = (int)json_integer_value(json_object_get(decision, "status"));
    return (tls == NULL || facts->tls != NULL) &&
           read_words(&facts->replayed, json_object_get(from, "words"), status, arena);
}
