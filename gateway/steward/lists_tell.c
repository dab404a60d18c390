/*
 * What the lists that were published say of an address, for `ip why`: those of other servers
 * stand in no file. Whoever asks knows its country and network, which the steward does not.
 */
#include <jansson.h>
#include <sys/mman.h>

#include "gateway/base/clock.h"
#include "gateway/steward/steward.h"
#include "gateway/store/snapshot.h"

struct wanted {
    struct addr addr;
    uint64_t places[2]; /* 0: not known */
    uint32_t now_s;
};

static bool find(struct span block, const struct wanted *wanted, struct addrlist_hit *hit)
{
    uint32_t place;
    if (addrlist_find(block, &wanted->addr, wanted->now_s, &place)) {
        addrlist_tell(block, &wanted->addr, place, hit);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(wanted->places); i++)
        if (wanted->places[i] != 0 &&
            addrlist_find_place(block, wanted->places[i], wanted->now_s, hit))
            return true;
    return false;
}

static void write_text(struct json *j, const char *key, struct span text)
{
    if (text.len > 0)
        json_text(j, key, text);
}

static void write_hit(struct json *j, const struct addrlist_hit *hit)
{
    char buffer[64];
    struct text text = text_fixed(buffer, sizeof(buffer));
    if (hit->place != 0)
        addrlist_place_write(&text, hit->place);
    else
        cidr_write(&text, &hit->prefix);
    json_text(j, hit->place != 0 ? "place" : "prefix", text_span(&text));
    write_text(j, "source", hit->source);
    write_text(j, "reason", hit->reason);
    if (hit->expires_s == 0)
        return;
    text = text_fixed(buffer, sizeof(buffer));
    clock_write_iso(&text, hit->expires_s * UINT64_C(1000000));
    json_text(j, "expires", text_span(&text));
}

static void write_list(struct json *j, const struct watched *list, const struct wanted *wanted)
{
    void *p = mmap(NULL, list->bytes, PROT_READ, MAP_SHARED, list->memfd, 0);
    struct addrlist_hit hit;
    if (p == MAP_FAILED)
        return;
    json_begin_object(j, NULL);
    json_text(j, "list", span_text(list->settings->name));
    bool found = find(span_of(p, list->bytes), wanted, &hit);
    json_bool(j, "found", found);
    if (found)
        write_hit(j, &hit);
    json_end_object(j);
    (void)munmap(p, list->bytes);
}

void lists_command(struct client *client, const json_t *request)
{
    const struct steward *steward = client->steward;
    const char *text = json_string_value(json_object_get(request, "ip"));
    const json_t *country = json_object_get(request, "country");
    json_int_t asn = json_integer_value(json_object_get(request, "asn"));
    struct wanted wanted = {
        .now_s = (uint32_t)(steward->loop.clock.wall_us / 1000000u),
    };
    if (text == NULL || !addr_parse(span_text(text), &wanted.addr)) {
        answer_error(client, "not an address");
        return;
    }
    if (json_is_string(country) && json_string_length(country) == 2)
        wanted.places[0] = addrlist_country(json_string_value(country));
    if (asn > 0 && asn <= UINT32_MAX)
        wanted.places[1] = addrlist_network((uint32_t)asn);
    struct json j = answer_begin(client, true);
    json_begin_array(&j, "lists");
    for (uint32_t i = 0; i < steward->settings->list_count; i++) {
        const struct watched *list = &steward->lists[i];
        if (list->settings->kind == SNAPSHOT_ADDRESS_LIST && list->memfd >= 0)
            write_list(&j, list, &wanted);
    }
    json_end_array(&j);
    answer_end(client, &j);
}
