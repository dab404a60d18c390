/*
 * MMDB files from hostile bytes. Whatever the bytes, a look-up in a file whose head was taken
 * reads nothing outside of it; and in a file that passed the whole check the library meets no
 * damage, wherever the address leads, and networks are weighed.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "geoip/database.h"
#include "geoip/geocover.h"
#include "geoip/geofile.h"

static bool is_damage(int error)
{
    return error == MMDB_CORRUPT_SEARCH_TREE_ERROR || error == MMDB_INVALID_DATA_ERROR ||
           error == MMDB_UNKNOWN_DATABASE_FORMAT_ERROR;
}

static void look_up(const MMDB_s *db, struct addr addr, bool verified)
{
    struct sockaddr_storage sa;
    int error = MMDB_SUCCESS;
    (void)addr_to_sockaddr(&addr, (struct sockaddr *)&sa);
    MMDB_lookup_result_s result = MMDB_lookup_sockaddr(db, (struct sockaddr *)&sa, &error);
    INVARIANT(!verified || !is_damage(error));
    MMDB_entry_s entry;
    uint32_t start = addr.family == ADDR_V4 ? db->ipv4_start_node.node_value : 0;
    bool fits = addr.family == ADDR_V4 || db->depth == 128;
    bool found = fits && geofile_entry(db,
                                       geofile_descend(db, start, addr.bytes, 0,
                                                       addr.family == ADDR_V4 ? 32 : 128),
                                       &entry);
    if (verified) { /* ours and the library's are the same */
        INVARIANT(found == (error == MMDB_SUCCESS && result.found_entry));
        INVARIANT(!found || entry.offset == result.entry.offset);
    }
    if (error != MMDB_SUCCESS || !result.found_entry)
        return;
    static const char *const paths[][4] = { { "country", "iso_code", NULL },
                                            { "a", "b", "c", NULL },
                                            { "x", "0", NULL } };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        MMDB_entry_data_s data;
        int got = MMDB_aget_value(&result.entry, &data, paths[i]);
        INVARIANT(!verified || !is_damage(got));
    }
}

static void look_around(const MMDB_s *db, const uint8_t *bytes, size_t size, bool verified)
{
    struct addr addr = { .family = ADDR_V4 };
    for (size_t i = 0; i + 16 <= size && i < 1024; i += 4) {
        addr = (struct addr){ .family = ADDR_V4 };
        memcpy(addr.bytes, bytes + i, 4);
        look_up(db, addr, verified);
        addr.family = ADDR_V6;
        memcpy(addr.bytes, bytes + i, 16);
        look_up(db, addr, verified);
    }
}

/* As a worker does. */
static void read_as_worker(struct span bytes)
{
    struct arena arena;
    struct snapshots snapshots;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    INVARIANT(snapshots_init(&snapshots, &arena, 1) == OK);
    snapshot_initial(&snapshots, 0, bytes);
    struct geo_reader *reader = geo_reader_new(&snapshots, 0, 1, &arena);
    INVARIANT(reader != NULL);
    for (unsigned i = 0; i < 64; i++) {
        struct geo geo;
        struct addr addr = { .family = i % 2 == 0 ? ADDR_V4 : ADDR_V6 };
        for (unsigned k = 0; k < (i % 2 == 0 ? 4 : 16); k++)
            addr.bytes[k] = (uint8_t)(i * 37 + k * 11);
        geo_reader_look_up(reader, &addr, &geo, i % 4 == 0 ? &arena : NULL);
        INVARIANT(strlen(geo.country) == 2 && strlen(geo.continent) % 2 == 0);
        INVARIANT(geo.city.len <= GEO_NAME_MAX && geo.as_org.len <= GEO_NAME_MAX);
    }
    arena_reset(&arena);
}

/* What networks have, added up in a bounded number of steps. */
static void weigh(struct span bytes)
{
    struct geocover *cover = geocover_new(bytes);
    uint64_t v4 = 0, v6 = 0;
    if (cover == NULL)
        return;
    INVARIANT(geocover_count(cover) > 0);
    geocover_add(cover, 64500, &v4, &v6);
    geocover_add(cover, UINT32_MAX, &v4, &v6);
    geocover_free(cover);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    INVARIANT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    struct span bytes = span_of(copy, size);
    MMDB_s db;
    bool opened = geofile_open(&db, bytes) == NULL;
    bool verified = geofile_verify(bytes) == NULL;
    INVARIANT(opened || !verified);
    if (opened)
        look_around(&db, data, size, verified);
    if (verified)
        weigh(bytes);
    read_as_worker(bytes);
    free(copy);
    return 0;
}
