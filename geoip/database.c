/*
 * Look-ups. The tree is walked for each address, from where the first 16 bits of an IPv4
 * address lead, which is kept; what its value says is kept by the value's offset, because
 * addresses are many and values few: a country database has some 250, and to find the country
 * in one takes longer than to find the value.
 *
 * Texts are never trusted: a country is two capital letters or nothing.
 */
#include "geoip/database.h"

#include "gateway/net/worker.h"
#include "geoip/geofile.h"

enum { KEPT_VALUES = 1024, PATH_KEYS_MAX = 4, ASN_DIGITS_MAX = 10 };

struct kept {
    uint32_t offset; /* of the value, plus 1; 0: nothing is kept here */
    char country[2], continent[2];
    uint32_t asn;
};

struct geo_db {
    MMDB_s mmdb;
    bool good;
    const char *opened; /* the bytes that `mmdb` is about */
    uint32_t swaps;
    struct kept kept[KEPT_VALUES];
    uint32_t top[GEOFILE_TOP];
};

struct geo_reader {
    const struct snapshots *snapshots;
    uint32_t first;
    size_t count;
    struct geo_db *dbs;
};

/* ---- addresses of no country ---- */

bool geo_is_private(const struct addr *addr)
{
    return !addr_is_global(addr);
}

/* ---- what a value says ---- */

typedef const char *const path[PATH_KEYS_MAX];

/* MaxMind and DB-IP nest; others keep all in one level. Tried in order. */
static path country_paths[] = { { "country", "iso_code", NULL },
                                { "registered_country", "iso_code", NULL },
                                { "country_code", NULL },
                                { "country", NULL } };
static path continent_paths[] = { { "continent", "code", NULL },
                                  { "continent_code", NULL },
                                  { "continent", NULL } };
static path asn_paths[] = { { "autonomous_system_number", NULL }, { "asn", NULL } };
static path city_paths[] = { { "city", "names", "en", NULL }, { "city", NULL } };
static path org_paths[] = { { "autonomous_system_organization", NULL }, { "as_name", NULL } };

static bool get(MMDB_entry_s *entry, path keys, uint32_t type, MMDB_entry_data_s *data)
{
    return MMDB_aget_value(entry, data, keys) == MMDB_SUCCESS && data->has_data &&
           data->type == type;
}

static struct span text_of(MMDB_entry_s *entry, path *paths, size_t count)
{
    MMDB_entry_data_s data;
    for (size_t i = 0; i < count; i++)
        if (get(entry, paths[i], MMDB_DATA_TYPE_UTF8_STRING, &data))
            return span_of(data.utf8_string, data.data_size);
    return span_of(NULL, 0);
}

static void get_letters(char to[2], MMDB_entry_s *entry, path *paths, size_t count)
{
    struct span text = text_of(entry, paths, count);
    if (text.len != 2 || text.p[0] < 'A' || text.p[0] > 'Z' || text.p[1] < 'A' ||
        text.p[1] > 'Z')
        return;
    memcpy(to, text.p, 2);
}

uint32_t geo_entry_network(MMDB_entry_s *entry)
{
    MMDB_entry_data_s data;
    uint64_t number;
    for (size_t i = 0; i < ARRAY_LEN(asn_paths); i++)
        if (get(entry, asn_paths[i], MMDB_DATA_TYPE_UINT32, &data))
            return data.uint32;
    struct span text = text_of(entry, asn_paths, ARRAY_LEN(asn_paths));
    if (span_starts(text, SPAN("AS")))
        text = span_sub(text, 2, ASN_DIGITS_MAX);
    return span_uint(text, &number) && number <= UINT32_MAX ? (uint32_t)number : 0;
}

static const struct kept *value_at(struct geo_db *db, MMDB_entry_s *entry)
{
    struct kept *kept = &db->kept[entry->offset * 2654435761u >> 22];
    _Static_assert(KEPT_VALUES == 1 << 10, "the hash has ten bits");
    if (kept->offset == entry->offset + 1)
        return kept;
    *kept = (struct kept){ .offset = entry->offset + 1 };
    get_letters(kept->country, entry, country_paths, ARRAY_LEN(country_paths));
    get_letters(kept->continent, entry, continent_paths, ARRAY_LEN(continent_paths));
    kept->asn = geo_entry_network(entry);
    return kept;
}

/* ---- look-ups ---- */

/* The database as it is now, or NULL. */
static struct geo_db *database(struct geo_reader *reader, size_t i)
{
    struct geo_db *db = &reader->dbs[i];
    const struct snapshot *snapshot = &reader->snapshots->items[reader->first + i];
    if (db->opened != snapshot->bytes.p || db->swaps != snapshot->swaps) {
        memset(db->kept, 0, sizeof(db->kept));
        db->good = geofile_open(&db->mmdb, snapshot->bytes) == NULL;
        if (db->good)
            geofile_fill_top(&db->mmdb, db->top);
        db->opened = snapshot->bytes.p;
        db->swaps = snapshot->swaps;
    }
    return db->good ? db : NULL;
}

static bool find_entry(const struct geo_db *db, const struct addr *addr, MMDB_entry_s *entry)
{
    const MMDB_s *mmdb = &db->mmdb;
    if (addr->family == ADDR_V6)
        return mmdb->depth == 128 &&
               geofile_entry(mmdb, geofile_descend(mmdb, 0, addr->bytes, 0, 128), entry);
    uint32_t record = db->top[(uint32_t)addr->bytes[0] << 8 | addr->bytes[1]];
    record = geofile_descend(mmdb, record, addr->bytes, GEOFILE_TOP_BITS, 32);
    return geofile_entry(mmdb, record, entry);
}

/* Copied, for the next swap may come while the transaction waits. */
static void add_name(struct span *to, MMDB_entry_s *entry, path *paths, size_t count,
                     struct arena *arena)
{
    if (to->len > 0)
        return;
    struct span text = text_of(entry, paths, count);
    if (text.len > 0 && text.len <= GEO_NAME_MAX)
        *to = arena_copy(arena, text);
}

void geo_reader_look_up(struct geo_reader *reader, const struct addr *addr, struct geo *geo,
                        struct arena *names)
{
    *geo = (struct geo){ .country = GEO_UNKNOWN, .named = names != NULL };
    if (geo_is_private(addr)) {
        memcpy(geo->country, GEO_PRIVATE, sizeof(geo->country));
        return;
    }
    bool found = false;
    for (size_t i = 0; i < reader->count; i++) {
        MMDB_entry_s entry;
        struct geo_db *db = database(reader, i);
        if (db == NULL || !find_entry(db, addr, &entry))
            continue;
        const struct kept *kept = value_at(db, &entry);
        if (!found && kept->country[0] != '\0') {
            memcpy(geo->country, kept->country, sizeof(kept->country));
            memcpy(geo->continent, kept->continent, sizeof(kept->continent));
            found = true;
        }
        if (geo->asn == 0)
            geo->asn = kept->asn;
        if (names != NULL) {
            add_name(&geo->city, &entry, city_paths, ARRAY_LEN(city_paths), names);
            add_name(&geo->as_org, &entry, org_paths, ARRAY_LEN(org_paths), names);
        }
    }
}

void geo_look_up(struct worker *worker, const struct addr *addr, struct geo *geo,
                 struct arena *names)
{
    if (worker->geo != NULL)
        geo_reader_look_up(worker->geo, addr, geo, names);
    else
        *geo = (struct geo){ .country = GEO_UNKNOWN, .named = names != NULL };
}

struct geo_reader *geo_reader_new(const struct snapshots *snapshots, uint32_t first,
                                  size_t count, struct arena *arena)
{
    struct geo_reader *reader = arena_new(arena, struct geo_reader);
    struct geo_db *dbs = arena_array(arena, struct geo_db, count);
    if (reader == NULL || dbs == NULL)
        return NULL;
    *reader = (struct geo_reader){ snapshots, first, count, dbs };
    return reader;
}
