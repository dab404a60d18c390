/*
 * `sallyport ip why ADDRESS`: everything that is known of an address. Lists and databases are
 * read as the configuration names them now; bans are asked of the running gateway; what it did
 * lately is searched in the audit log.
 *
 * Texts of lists come from feeds, and what is between the quotes of a record from a client: so
 * no byte of them reaches a terminal that is not printable.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/cli/audit.h"
#include "gateway/cli/clean.h"
#include "gateway/cli/control.h"
#include "gateway/cli/loaded.h"
#include "gateway/store/snapshot.h"
#include "geoip/database.h"

enum { RECORDS_SHOWN = 10 };
#define SEARCH_BYTES_MAX ((size_t)2 << 30)

struct known {
    const struct arguments *arguments;
    const struct config *config;
    struct arena *arena;
    struct addr addr;
    struct geo geo;
    bool silent;  /* no gateway answers, which has been said */
    json_t *said; /* the whole answer */
};

/* ---- texts ---- */

/* Valid UTF-8 without control characters, or ASCII with `?` for the rest. */
static json_t *text_value(struct known *known, struct span text)
{
    char *copy = arena_cstring(known->arena, text);
    for (size_t i = 0; copy != NULL && i < text.len; i++)
        if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f)
            copy[i] = '?';
    json_t *value = copy != NULL ? json_stringn(copy, text.len) : NULL;
    if (value != NULL || copy == NULL)
        return value;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)copy[i] >= 0x80)
            copy[i] = '?';
    return json_stringn(copy, text.len);
}

static void put_text(struct known *known, json_t *object, const char *key, struct span text)
{
    if (text.len > 0)
        (void)json_object_set_new(object, key, text_value(known, text));
}

/* ---- what is known ---- */

static void tell_geo(struct known *known)
{
    const struct config *config = known->config;
    struct snapshots snapshots;
    struct geo geo;
    known->geo = (struct geo){ .asn = 0 };
    if (config->geo_count == 0 ||
        snapshots_init(&snapshots, known->arena, config->geo_count) != OK)
        return;
    for (uint32_t i = 0; i < config->geo_count; i++)
        snapshot_initial(&snapshots, i, config->geo[i].bytes);
    struct geo_reader *reader = geo_reader_new(&snapshots, 0, config->geo_count, known->arena);
    json_t *place = json_object();
    if (reader == NULL || place == NULL)
        return;
    geo_reader_look_up(reader, &known->addr, &geo, known->arena);
    known->geo = geo;
    put_text(known, place, "country", span_text(geo.country));
    put_text(known, place, "continent", span_text(geo.continent));
    put_text(known, place, "city", geo.city);
    put_text(known, place, "as_org", geo.as_org);
    if (geo.asn != 0)
        (void)json_object_set_new(place, "asn", json_integer(geo.asn));
    (void)json_object_set_new(known->said, "geo", place);
}

/* ---- the running gateway ---- */

/* Its answer, to be released; NULL: none, and standard error has said so once. */
static json_t *ask_running(struct known *known, json_t *request)
{
    struct arguments arguments = *known->arguments;
    json_t *answer = NULL;
    char *control = arena_cstring(known->arena, known->config->server.control.text);
    if (known->silent) {
        json_decref(request);
        return NULL;
    }
    if (arguments.values[FLAG_CONTROL] == NULL)
        arguments.values[FLAG_CONTROL] = control;
    if (control_ask(&arguments, request, &answer) == EXIT_GOOD)
        return answer;
    known->silent = true;
    return NULL;
}

static void tell_running(struct known *known, const char *key, json_t *request)
{
    json_t *answer = ask_running(known, request);
    if (answer != NULL && json_is_true(json_object_get(answer, "ok")))
        (void)json_object_set(known->said, key, answer);
    json_decref(answer);
}

/* ---- lists ---- */

static json_t *list_row(struct known *known, const struct list_conf *list,
                        const struct addrlist_hit *hit)
{
    char buffer[64];
    struct text text = text_fixed(buffer, sizeof(buffer));
    json_t *row = json_object();
    if (hit->place != 0)
        addrlist_place_write(&text, hit->place);
    else
        cidr_write(&text, &hit->prefix);
    put_text(known, row, "list", list->name);
    put_text(known, row, hit->place != 0 ? "place" : "prefix", text_span(&text));
    put_text(known, row, "source", hit->source);
    put_text(known, row, "reason", hit->reason);
    if (hit->expires_s != 0) {
        text = text_fixed(buffer, sizeof(buffer));
        clock_write_iso(&text, hit->expires_s * UINT64_C(1000000));
        put_text(known, row, "expires", text_span(&text));
    }
    (void)json_object_set_new(row, "denies", json_boolean(list->denies));
    return row;
}

/* The row of a list that the running gateway has published; NULL: it has not. */
static json_t *published_row(const json_t *published, struct span name)
{
    json_t *row;
    size_t i;
    json_array_foreach(json_object_get(published, "lists"), i, row)
    {
        const json_t *list = json_object_get(row, "list");
        if (json_is_string(list) &&
            span_equal(span_of(json_string_value(list), json_string_length(list)), name))
            return row;
    }
    return NULL;
}

static json_t *copy_row(struct known *known, const struct list_conf *list,
                        const json_t *running)
{
    static const char *const keys[] = {
        "list", "prefix", "place", "source", "reason", "expires"
    };
    json_t *row = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const json_t *value = json_object_get(running, keys[i]);
        if (json_is_string(value))
            put_text(known, row, keys[i],
                     span_of(json_string_value(value), json_string_length(value)));
    }
    (void)json_object_set_new(row, "denies", json_boolean(list->denies));
    return row;
}

/* Lists of other servers are as the running gateway has them; the others as their files are. */
static void tell_lists(struct known *known, const char *address)
{
    struct clock now;
    json_t *rows = json_array();
    json_t *published = ask_running(
        known, json_pack("{s:s, s:s, s:s, s:I}", "command", "lists", "ip", address, "country",
                         known->geo.country, "asn", (json_int_t)known->geo.asn));
    clock_read(&now);
    for (size_t i = 0; i < known->config->list_count; i++) {
        const struct list_conf *list = &known->config->lists[i];
        struct addrlist_hit hit;
        uint32_t place;
        json_t *running = published_row(published, list->name);
        if (running != NULL && json_is_true(json_object_get(running, "found")))
            (void)json_array_append_new(rows, copy_row(known, list, running));
        if (running != NULL || !addrlist_find(list->built, &known->addr,
                                              (uint32_t)(now.wall_us / 1000000u), &place))
            continue;
        addrlist_tell(list->built, &known->addr, place, &hit);
        (void)json_array_append_new(rows, list_row(known, list, &hit));
    }
    json_decref(published);
    (void)json_object_set_new(known->said, "lists", rows);
}

/* ---- what happened ---- */

struct recent {
    struct known *known;
    json_t *kept[RECORDS_SHOWN]; /* in a circle */
    uint64_t count;
};

static bool keep_record(void *context, struct span line)
{
    struct recent *recent = context;
    json_t **slot = &recent->kept[recent->count++ % RECORDS_SHOWN];
    json_decref(*slot);
    *slot = json_loadb(line.p, line.len, JSON_ALLOW_NUL, NULL);
    return true;
}

static void tell_records(struct known *known)
{
    struct recent recent = { .known = known };
    struct search_stats stats;
    struct query query = { .has_client = true };
    struct clock now;
    const char *path = known->arguments->values[FLAG_FILE];
    if (path == NULL && known->config->audit.file.text.len > 0)
        path = arena_cstring(known->arena, known->config->audit.file.text);
    clock_read(&now);
    query.client = (struct cidr){ known->addr, known->addr.family == ADDR_V4 ? 32 : 128 };
    if (path == NULL ||
        query_term(&query, SPAN("since=24h"), now.wall_us, known->arena) != NULL)
        return;
    if (search(path, &query, known->arena, keep_record, &recent, &stats) != OK)
        (void)fprintf(stderr, "the audit log cannot be searched: %s\n", path);
    json_t *records = json_array();
    uint64_t shown = recent.count < RECORDS_SHOWN ? recent.count : RECORDS_SHOWN;
    for (uint64_t i = recent.count - shown; i < recent.count; i++)
        if (recent.kept[i % RECORDS_SHOWN] != NULL)
            (void)json_array_append_new(records, recent.kept[i % RECORDS_SHOWN]);
    (void)json_object_set_new(known->said, "records_24h",
                              json_integer((json_int_t)recent.count));
    (void)json_object_set_new(known->said, "records", records);
}

/* ---- for people ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void print_more(const char *before, const char *text)
{
    if (*text != '\0')
        (void)printf("%s%s", before, text);
}

static void print_geo(const json_t *geo)
{
    if (geo == NULL)
        return;
    (void)printf("%-10s %s", "country", text_of(geo, "country"));
    print_more(", ", text_of(geo, "continent"));
    print_more(", ", text_of(geo, "city"));
    (void)putchar('\n');
    if (json_object_get(geo, "asn") == NULL)
        return;
    (void)printf("%-10s AS%lld", "network",
                 (long long)json_integer_value(json_object_get(geo, "asn")));
    print_more(" ", text_of(geo, "as_org"));
    (void)putchar('\n');
}

static void print_lists(const json_t *lists)
{
    size_t i;
    json_t *row;
    if (json_array_size(lists) == 0)
        (void)printf("%-10s none\n", "lists");
    json_array_foreach(lists, i, row)
    {
        (void)printf("%-10s %s%s: %s", i == 0 ? "lists" : "", text_of(row, "list"),
                     json_is_true(json_object_get(row, "denies")) ? " (denied)" : "",
                     *text_of(row, "place") != '\0' ? text_of(row, "place")
                                                    : text_of(row, "prefix"));
        static const char *const keys[] = { "reason", "source", "expires" };
        for (size_t k = 0; k < ARRAY_LEN(keys); k++)
            if (*text_of(row, keys[k]) != '\0')
                (void)printf(", %s %s", keys[k], text_of(row, keys[k]));
        (void)putchar('\n');
    }
}

static void print_time(const char *before, const json_t *at_s)
{
    char buffer[40];
    struct text text = text_fixed(buffer, sizeof(buffer) - 1);
    json_int_t at = json_integer_value(at_s);
    if (at <= 0 || at > UINT32_MAX)
        return;
    clock_write_iso(&text, (uint64_t)at * UINT64_C(1000000));
    (void)printf("%s%.*s", before, (int)text.len, buffer);
}

/* The requests that made a ban, whose records say more. */
static void print_evidence(const json_t *bans)
{
    size_t i;
    json_t *offence;
    json_array_foreach(json_object_get(bans, "evidence"), i, offence)
    {
        print_time("  ", json_object_get(offence, "at"));
        print_more(" ", text_of(offence, "cause"));
        print_more(" at ", text_of(offence, "site"));
        print_more(", request ", text_of(offence, "request"));
        (void)putchar('\n');
    }
}

static void print_bans(const json_t *bans)
{
    if (bans == NULL)
        return;
    const json_t *ban = json_object_get(bans, "ban");
    if (json_is_true(json_object_get(bans, "banned"))) {
        (void)printf("%-10s banned", "bans");
        print_more(": ", text_of(ban, "net"));
        print_more(", by ", text_of(ban, "cause"));
        print_more(", ", text_of(ban, "reason"));
        print_time(", since ", json_object_get(ban, "since"));
        print_time(", until ", json_object_get(ban, "until"));
        (void)putchar('\n');
    } else {
        (void)printf("%-10s not banned; %lld points, banned %lld times lately%s\n", "bans",
                     (long long)json_integer_value(json_object_get(bans, "points")),
                     (long long)json_integer_value(json_object_get(bans, "bans_so_far")),
                     json_is_true(json_object_get(bans, "never")) ? "; never is" : "");
    }
    print_evidence(bans);
}

/* What the score of the last request that had one was made of. */
static void print_reasons(const json_t *records)
{
    const json_t *reasons = NULL;
    json_t *row;
    size_t at;
    for (size_t i = json_array_size(records); i > 0 && reasons == NULL; i--)
        reasons = json_object_get(
            json_object_get(json_object_get(json_array_get(records, i - 1), "sallyport"),
                            "bots"),
            "reasons");
    json_array_foreach(reasons, at, row)
    {
        (void)printf("%s %s %lld", at == 0 ? " (last:" : ",", text_of(row, "reason"),
                     (long long)json_integer_value(json_object_get(row, "weight")));
    }
    if (json_array_size(reasons) > 0)
        (void)putchar(')');
}

static void print_bots(const json_t *bots, const json_t *records)
{
    static const char *const events[] = { "challenged", "passed", "failed", "missed" };
    if (bots == NULL)
        return;
    (void)printf("%-10s score %lld of 100", "bots",
                 (long long)json_integer_value(json_object_get(bots, "score")));
    print_reasons(records);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (json_integer_value(json_object_get(bots, events[i])) > 0)
            (void)printf(", %s %lld times lately", events[i],
                         (long long)json_integer_value(json_object_get(bots, events[i])));
    if (json_is_true(json_object_get(bots, "trapped")))
        (void)printf(", in a honeypot lately");
    (void)putchar('\n');
}

/* A text of a record as JSON has it: escaped, so that nothing in it moves the cursor. */
static void print_escaped(const json_t *record, const char *group, const char *key)
{
    char *text = json_dumps(json_object_get(json_object_get(record, group), key),
                            JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    if (text != NULL)
        (void)printf(" %.160s", text);
    free(text);
}

static void print_records(const json_t *said)
{
    const json_t *records = json_object_get(said, "records");
    size_t i;
    json_t *record;
    if (records == NULL)
        return;
    (void)printf("%-10s %lld in the last 24 hours\n", "requests",
                 (long long)json_integer_value(json_object_get(said, "records_24h")));
    json_array_foreach(records, i, record)
    {
        char *at = json_dumps(json_object_get(record, "@timestamp"),
                              JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        (void)printf("  %s", at != NULL ? at : "");
        free(at);
        print_escaped(record, "event", "action");
        print_escaped(record, "sallyport", "reason");
        print_escaped(record, "url", "domain");
        print_escaped(record, "url", "path");
        (void)putchar('\n');
    }
}

static void print_known(json_t *said)
{
    clean_json(said);
    (void)printf("%-10s %s%s%s\n", "address", text_of(said, "ip"),
                 json_is_true(json_object_get(said, "private")) ? ", private" : "",
                 json_is_true(json_object_get(said, "trusted_proxy")) ? ", a trusted proxy"
                                                                      : "");
    print_geo(json_object_get(said, "geo"));
    print_lists(json_object_get(said, "lists"));
    print_bans(json_object_get(said, "bans"));
    print_bots(json_object_get(said, "bots"), json_object_get(said, "records"));
    print_records(said);
}

/* ---- the verb ---- */

static int why(struct known *known, bool json)
{
    char buffer[64];
    struct text net = text_fixed(buffer, sizeof(buffer));
    addr_write(&net, &known->addr);
    known->said = json_object();
    const char *address = text_cstring(&net);
    if (known->said == NULL || address == NULL)
        return EXIT_TROUBLE;
    (void)json_object_set_new(known->said, "ip", json_string(address));
    (void)json_object_set_new(known->said, "private",
                              json_boolean(geo_is_private(&known->addr)));
    (void)json_object_set_new(
        known->said, "trusted_proxy",
        json_boolean(cidrs_contain(&known->config->server.trusted_proxies, &known->addr)));
    tell_geo(known);
    tell_lists(known, address);
    tell_running(
        known, "bans",
        json_pack("{s:s, s:s, s:s}", "command", "ban", "action", "why", "net", address));
    tell_running(known, "bots", json_pack("{s:s, s:s}", "command", "bots", "ip", address));
    tell_records(known);
    if (json) {
        (void)json_dumpf(known->said, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else {
        print_known(known->said);
    }
    json_decref(known->said);
    return EXIT_GOOD;
}

int verb_ip(const struct arguments *arguments)
{
    const char *path = arguments->values[FLAG_CONFIG];
    struct known known = { .arguments = arguments };
    struct loaded loaded;
    struct arena arena;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 2 || strcmp(arguments->operands[0], "why") != 0 ||
        path == NULL)
        return usage_error("ip why ADDRESS -c FILE");
    if (!addr_parse(span_text(arguments->operands[1]), &known.addr))
        return usage_error("\"%s\" is not an address", arguments->operands[1]);
    loaded_outline(&loaded, path);
    arena_init(&arena, NULL, 0, NULL, SEARCH_BYTES_MAX);
    known.config = loaded.config;
    known.arena = &arena;
    int code = EXIT_BAD;
    if (loaded.config == NULL)
        loaded_print(&loaded, STDERR_FILENO, false);
    else
        code = why(&known, json);
    arena_reset(&arena);
    loaded_close(&loaded);
    return code;
}
