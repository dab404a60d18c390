/*
 * `sallyport geoip build`: a country database from tables that anybody may have, such as those
 * of Debian's tor-geoipdb. The file is read back by libmaxminddb before it takes its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/json.h"
#include "gateway/cli/cli.h"
#include "geoip/build.h"
#include "geoip/countries.h"
#include "geoip/geofile.h"

#define TOR_V4 "/usr/share/tor/geoip"
#define TOR_V6 "/usr/share/tor/geoip6"
#define BUILD_BYTES_MAX ((size_t)4 << 30)
enum { PATH_BYTES = 4096, FILE_MODE = 0644 };

static int trouble(const char *path, const char *why)
{
    (void)fprintf(stderr, "error: %s: %s\n", path, why);
    return EXIT_TROUBLE;
}

static int read_table(struct geo_table *table, const char *path, struct arena *arena)
{
    struct file file = { 0 };
    unsigned line = 0;
    const char *why = file_read(path, GEO_TABLE_BYTES_MAX, arena, &file);
    if (why != NULL)
        return trouble(path, why);
    enum err err = geo_table_reserve(table, file.text, arena);
    if (err == OK)
        err = geo_table_parse(table, file.text, &line);
    if (err == ERR_SYNTAX) {
        (void)fprintf(stderr,
                      "error: %s: line %u is neither first,last,country nor prefix,country\n",
                      path, line);
        return EXIT_TROUBLE;
    }
    return err == OK ? EXIT_GOOD : trouble(path, "it has too many lines");
}

static int country_of(const MMDB_s *db, unsigned __int128 number)
{
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
    for (size_t i = 0; i < 16; i++)
        sa.sin6_addr.s6_addr[i] = (uint8_t)(number >> 8 * (15 - i));
    int error = 0;
    MMDB_lookup_result_s result = MMDB_lookup_sockaddr(db, (struct sockaddr *)&sa, &error);
    MMDB_entry_data_s data;
    if (error != MMDB_SUCCESS || !result.found_entry)
        return -1;
    if (MMDB_get_value(&result.entry, &data, "country", "iso_code", NULL) != MMDB_SUCCESS ||
        !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING || data.data_size != 2)
        return -1;
    return country_number(data.utf8_string);
}

/* Both ends of every range, as the library reads them, against the tree they were written from.
 */
static const char *read_back(const char *path, const struct geo_build *build,
                             const struct geo_table *table)
{
    MMDB_s db;
    int opened = MMDB_open(path, MMDB_MODE_MMAP, &db);
    const char *why = opened == MMDB_SUCCESS ? NULL : MMDB_strerror(opened);
    for (size_t i = 0; i < table->count && why == NULL; i++) {
        const struct geo_range *range = &table->ranges[i];
        for (unsigned end = 0; end < 2 && why == NULL; end++) {
            unsigned __int128 number = end == 0 ? range->first : range->last;
            struct addr addr = { .family = ADDR_V6 };
            for (size_t k = 0; k < 16; k++)
                addr.bytes[k] = (uint8_t)(number >> 8 * (15 - k));
            if (country_of(&db, number) != geo_tree_find(build->tree, &addr))
                why = "what was written does not read back";
        }
    }
    if (opened == MMDB_SUCCESS)
        MMDB_close(&db);
    return why;
}

/* Beside its place, then renamed: whoever watches sees the old file or the new one. */
static int put_file(const char *path, const struct geo_build *build,
                    const struct geo_table *table)
{
    char temporary[PATH_BYTES];
    struct text name = text_fixed(temporary, sizeof(temporary));
    text_add(&name, span_text(path));
    text_lit(&name, ".XXXXXX");
    const char *why = geofile_verify(build->bytes);
    if (why != NULL || text_cstring(&name) == NULL)
        return trouble(path, why != NULL ? why : "the path is too long");
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return trouble(path, strerrordesc_np(errno));
    if (!print_all(fd, build->bytes) || fchmod(fd, FILE_MODE) != 0 || fsync(fd) != 0)
        why = strerrordesc_np(errno);
    if (close(fd) != 0 && why == NULL)
        why = strerrordesc_np(errno);
    if (why == NULL)
        why = read_back(temporary, build, table);
    if (why == NULL && rename(temporary, path) != 0)
        why = strerrordesc_np(errno);
    if (why == NULL)
        return EXIT_GOOD;
    (void)unlink(temporary);
    return trouble(path, why);
}

static void tell(const char *to, const struct geo_table *table, const struct geo_build *build)
{
    (void)printf("%s: %zu ranges of %zu countries, %zu of none; %u nodes of 2 x %u bits, "
                 "%zu bytes\n",
                 to, table->count, build->countries, table->unknown, build->nodes,
                 build->record_size, build->bytes.len);
}

static void tell_json(const char *to, const struct geo_table *table,
                      const struct geo_build *build, struct arena *arena)
{
    struct text out = text_growing(arena, 512);
    struct json j = json_writer(&out);
    json_begin_object(&j, NULL);
    json_text(&j, "file", span_text(to));
    json_uint(&j, "ranges", table->count);
    json_uint(&j, "countries", build->countries);
    json_uint(&j, "unknown", table->unknown);
    json_uint(&j, "nodes", build->nodes);
    json_uint(&j, "record_bits", build->record_size);
    json_uint(&j, "bytes", build->bytes.len);
    json_end_object(&j);
    text_char(&out, '\n');
    (void)print_all(STDOUT_FILENO, text_span(&out));
}

static int build_file(const char *to, const struct arguments *arguments, bool json,
                      struct arena *arena)
{
    struct geo_table table = { .count = 0 };
    struct geo_build build = { .epoch = (uint64_t)time(NULL) };
    static const char *const standard[] = { TOR_V4, TOR_V6 };
    bool given = arguments->operand_count > 1;
    unsigned count = given ? arguments->operand_count - 1 : (unsigned)ARRAY_LEN(standard);
    for (unsigned i = 0; i < count; i++) {
        const char *path = given ? arguments->operands[i + 1] : standard[i];
        if (!given && access(path, R_OK) != 0)
            return usage_error("%s cannot be read: install tor-geoipdb, or name a table", path);
        int code = read_table(&table, path, arena);
        if (code != EXIT_GOOD)
            return code;
    }
    if (table.count == 0)
        return trouble(to, "the tables name no country");
    enum err err = geo_build(&build, &table, arena);
    if (err != OK)
        return trouble(to, err == ERR_LIMIT ? "it would be too large" : "out of memory");
    int code = put_file(to, &build, &table);
    if (code == EXIT_GOOD && json)
        tell_json(to, &table, &build, arena);
    else if (code == EXIT_GOOD)
        tell(to, &table, &build);
    return code;
}

int verb_geoip(const struct arguments *arguments)
{
    const char *to = arguments->values[FLAG_TO];
    if (arguments->operand_count == 0 || strcmp(arguments->operands[0], "build") != 0 ||
        to == NULL)
        return usage_error("geoip build --to FILE [TABLE...]");
    struct arena arena;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    arena_init(&arena, NULL, 0, NULL, BUILD_BYTES_MAX);
    int code = build_file(to, arguments, json, &arena);
    arena_reset(&arena);
    return code;
}
