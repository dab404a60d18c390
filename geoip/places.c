/*
 * A country is an ISO 3166-1 code that exists: UK, which is not one, would deny nobody and say
 * nothing.
 */
#include "geoip/places.h"

#include <stdlib.h>

#include "conf/schema.h"
#include "gateway/chain/config.h"
#include "geoip/countries.h"

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct place_row *)a)->number,
             y = ((const struct place_row *)b)->number;
    return x < y ? -1 : x > y;
}

static bool add(struct place_row *row, uint32_t number, struct span kind, struct span name,
                struct setup *setup)
{
    struct text label = text_growing(setup->arena, kind.len + name.len);
    text_add(&label, kind);
    text_add(&label, name);
    *row = (struct place_row){ number, text_span(&label) };
    return !label.overflow;
}

static bool add_country(struct place_row *row, struct span text, struct setup *setup)
{
    char code[3] = "";
    for (size_t i = 0; i < 2 && i < text.len; i++)
        code[i] = (char)(text.p[i] >= 'a' && text.p[i] <= 'z' ? text.p[i] - 32 : text.p[i]);
    bool known =
        text.len == 2 && (country_continent(code) != NULL || strcmp(code, GEO_UNKNOWN) == 0 ||
                          strcmp(code, GEO_PRIVATE) == 0);
    if (known)
        return add(row, (uint32_t)country_number(code), SPAN("country:"), span_of(code, 2),
                   setup);
    complain(setup->complaint, SEVERITY_ERROR, "\"%.*s\" is not the code of a country%s",
             (int)(text.len < 80 ? text.len : 80), text.p,
             strcmp(code, "UK") == 0 ? "; write GB" : " (ISO 3166-1: two letters)");
    return false;
}

static bool add_network(struct place_row *row, struct span text, struct setup *setup)
{
    uint64_t number;
    struct span digits =
        span_starts_nocase(text, SPAN("AS")) ? span_sub(text, 2, text.len) : text;
    if (span_uint(digits, &number) && number > 0 && number <= UINT32_MAX)
        return add(row, (uint32_t)number, SPAN("asn:"), digits, setup);
    complain(setup->complaint, SEVERITY_ERROR, "\"%.*s\" is not the number of a network",
             (int)(text.len < 80 ? text.len : 80), text.p);
    return false;
}

static bool add_all(struct place_rows *rows, const struct texts *texts,
                    bool (*add_one)(struct place_row *, struct span, struct setup *),
                    struct setup *setup)
{
    bool good = true;
    rows->items = arena_array(setup->arena, struct place_row, texts->count);
    if (rows->items == NULL)
        return false;
    for (size_t i = 0; i < texts->count; i++)
        good = add_one(&rows->items[i], texts->items[i], setup) && good;
    rows->count = texts->count;
    qsort(rows->items, rows->count, sizeof(*rows->items), by_number);
    return good;
}

bool places_resolve(struct places *places, const struct texts *countries,
                    const struct texts *networks, struct setup *setup)
{
    *places = (struct places){ .countries = { .count = 0 } };
    if (countries->count == 0 && networks->count == 0)
        return true;
    if (setup->config->geo_lookup == NULL) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "countries and asns need a database: set `geoip` (`sallyport geoip build` "
                 "makes one)");
        return false;
    }
    bool first = add_all(&places->countries, countries, add_country, setup);
    bool second = add_all(&places->networks, networks, add_network, setup);
    return first && second;
}

static const struct place_row *find(const struct place_rows *rows, uint32_t number)
{
    struct place_row wanted = { .number = number };
    return rows->count > 0
               ? bsearch(&wanted, rows->items, rows->count, sizeof(*rows->items), by_number)
               : NULL;
}

enum place_kind places_find(const struct places *places, const struct geo *geo,
                            struct span *label)
{
    const struct place_row *row =
        find(&places->countries, (uint32_t)country_number(geo->country));
    enum place_kind kind = PLACE_COUNTRY;
    if (row == NULL) {
        row = find(&places->networks, geo->asn);
        kind = PLACE_NETWORK;
    }
    if (row == NULL)
        return PLACE_NONE;
    *label = row->label;
    return kind;
}
