/*
 * MMDB files: what is built is found again, by the library too; what is damaged is refused
 * before anybody looks something up in it. With MMDB_DATA in the environment also the files of
 * that folder's test-data and bad-data (of MaxMind's repository), else they are skipped.
 */
#include "geoip/geofile.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "geoip/build.h"
#include "geoip/countries.h"
#include "tests/unit/check.h"

static struct arena arena;

static struct geo_build built(const char *table, unsigned record_size)
{
    struct geo_table ranges = { .count = 0 };
    struct geo_build build = { .record_size = record_size, .epoch = 1700000000 };
    unsigned line;
    assert_int_equal(geo_table_reserve(&ranges, span_text(table), &arena), OK);
    assert_int_equal(geo_table_parse(&ranges, span_text(table), &line), OK);
    assert_int_equal(geo_build(&build, &ranges, &arena), OK);
    return build;
}

static const char small[] = "81.2.69.0/24,GB\n84.0.0.0,84.255.255.255,DE\n2001:db8::/32,NO\n"
                            "2a02::,2a02:ffff:ffff:ffff:ffff:ffff:ffff:ffff,FR\n";

/* Through the library, on bytes of exactly this size. */
static int country_of(const MMDB_s *db, const char *address)
{
    struct addr addr;
    struct sockaddr_storage sa;
    int error = 0;
    MMDB_entry_data_s data;
    assert_true(addr_parse(span_text(address), &addr));
    (void)addr_to_sockaddr(&addr, (struct sockaddr *)&sa);
    MMDB_lookup_result_s result = MMDB_lookup_sockaddr(db, (struct sockaddr *)&sa, &error);
    assert_int_equal(error, MMDB_SUCCESS);
    if (!result.found_entry)
        return -1;
    assert_int_equal(MMDB_get_value(&result.entry, &data, "country", "iso_code", NULL),
                     MMDB_SUCCESS);
    assert_int_equal(data.data_size, 2);
    return country_number(data.utf8_string);
}

static void what_is_built_is_found(void **state)
{
    (void)state;
    static const unsigned sizes[] = { 0, 24, 28, 32 };
    static const struct {
        const char *address, *country;
    } rows[] = {
        { "81.2.69.0", "GB" },  { "81.2.69.255", "GB" }, { "81.2.68.255", NULL },
        { "81.2.70.0", NULL },  { "84.0.0.0", "DE" },    { "84.255.255.255", "DE" },
        { "85.0.0.0", NULL },   { "2001:db8::", "NO" },  { "2001:db8:ffff::1", "NO" },
        { "2001:db9::", NULL }, { "2a02::", "FR" },      { "2a02:ffff:ffff::", "FR" },
        { "2a03::", NULL },     { "::1", NULL },         { "255.255.255.255", NULL },
        { "::5402:302", "DE" }, /* below 96 zero bits */
    };
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct geo_build build = built(small, sizes[s]);
        MMDB_s db;
        assert_null(geofile_verify(build.bytes));
        assert_null(geofile_open(&db, build.bytes));
        assert_int_equal(db.metadata.record_size, sizes[s] != 0 ? sizes[s] : 24);
        assert_int_equal(db.metadata.build_epoch, 1700000000);
        assert_int_equal(build.countries, 4);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            assert_int_equal(country_of(&db, rows[i].address),
                             rows[i].country != NULL ? country_number(rows[i].country) : -1);
    }
}

/* We fill in the library's struct: as the library itself does. */
static void expect_same(const char *path, const MMDB_s *ours)
{
    MMDB_s theirs;
    assert_int_equal(MMDB_open(path, MMDB_MODE_MMAP, &theirs), MMDB_SUCCESS);
    assert_int_equal(theirs.file_size, ours->file_size);
    assert_int_equal(theirs.data_section - theirs.file_content,
                     ours->data_section - ours->file_content);
    assert_int_equal(theirs.data_section_size, ours->data_section_size);
    assert_int_equal(theirs.metadata_section - theirs.file_content,
                     ours->metadata_section - ours->file_content);
    assert_int_equal(theirs.metadata_section_size, ours->metadata_section_size);
    assert_int_equal(theirs.full_record_byte_size, ours->full_record_byte_size);
    assert_int_equal(theirs.depth, ours->depth);
    assert_int_equal(theirs.ipv4_start_node.node_value, ours->ipv4_start_node.node_value);
    assert_int_equal(theirs.ipv4_start_node.netmask, ours->ipv4_start_node.netmask);
    assert_int_equal(theirs.metadata.node_count, ours->metadata.node_count);
    assert_int_equal(theirs.metadata.record_size, ours->metadata.record_size);
    assert_int_equal(theirs.metadata.ip_version, ours->metadata.ip_version);
    assert_int_equal(theirs.metadata.build_epoch, ours->metadata.build_epoch);
    MMDB_close(&theirs);
}

static void the_library_opens_it_likewise(void **state)
{
    (void)state;
    static const unsigned sizes[] = { 24, 28, 32 };
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct geo_build build = built(small, sizes[i]);
        char path[] = "/tmp/sallyport-geofile-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, build.bytes.p, build.bytes.len), build.bytes.len);
        MMDB_s db;
        assert_null(geofile_open(&db, build.bytes));
        expect_same(path, &db);
        assert_int_equal(close(fd), 0);
        assert_int_equal(unlink(path), 0);
    }
}

/* In memory of exactly its size, so that a read behind the end is seen. */
static const char *verify_copy(const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, bytes, len);
    const char *trouble = geofile_verify(span_of(copy, len));
    free(copy);
    return trouble;
}

/* Our look-up and the library's lead to the same value, from the root and from the kept top. */
static void both_look_ups_agree(void **state)
{
    (void)state;
    static const unsigned sizes[] = { 24, 28, 32 };
    uint32_t *top = arena_array(&arena, uint32_t, GEOFILE_TOP);
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        MMDB_s db;
        assert_null(geofile_open(&db, built(small, sizes[s]).bytes));
        geofile_fill_top(&db, top);
        for (uint32_t i = 0; i < 1 << 16; i++) {
            struct sockaddr_in sa = { .sin_family = AF_INET };
            uint32_t spread = i * 2654435761u;
            if (i % 2 == 0) /* around 81.2.69.0/24 */
                spread = 0x51024500u + i % 1024 - 512;
            uint8_t bytes[] = { (uint8_t)(spread >> 24), (uint8_t)(spread >> 16),
                                (uint8_t)(spread >> 8), (uint8_t)spread };
            int error = 0;
            MMDB_entry_s entry;
            memcpy(&sa.sin_addr, bytes, sizeof(bytes));
            MMDB_lookup_result_s result =
                MMDB_lookup_sockaddr(&db, (struct sockaddr *)&sa, &error);
            uint32_t record = geofile_descend(&db, top[bytes[0] << 8 | bytes[1]], bytes,
                                              GEOFILE_TOP_BITS, 32);
            assert_int_equal(geofile_entry(&db, record, &entry), result.found_entry);
            if (result.found_entry)
                assert_int_equal(entry.offset, result.entry.offset);
        }
    }
}

/* A node that leads to itself, or to the one above, is deeper than any address. */
static void circles_are_refused(void **state)
{
    (void)state;
    struct geo_build build = built(small, 24);
    char *bytes = arena_alloc(&arena, build.bytes.len);
    for (uint8_t target = 0; target < 2; target++) {
        memcpy(bytes, build.bytes.p, build.bytes.len);
        memcpy(bytes + 6, (const char[]){ 0, 0, (char)target }, 3);
        assert_string_equal(verify_copy(bytes, build.bytes.len),
                            "its tree is deeper than an address, or goes in circles");
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct geo_build build = built(small, 24);
    for (size_t len = 0; len < build.bytes.len; len++)
        assert_non_null(verify_copy(build.bytes.p, len));
    assert_null(verify_copy(build.bytes.p, build.bytes.len));
}

/* A file of one node whose left record leads to `value`, of `len` bytes. */
static const char *verify_value(const char *value, size_t len)
{
    static const char head[] = "\x00\x00\x11\x00\x00\x01" /* 1 + 16, and nothing */
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    static const char tail[] = "\xab\xcd\xefMaxMind.com"
                               "\xe4"
                               "\x4anode_count\xc1\x01"
                               "\x4brecord_size\xa1\x18"
                               "\x4aip_version\xa1\x04"
                               "\x5b"
                               "binary_format_major_version\xa1\x02";
    struct text file = text_growing(&arena, 256);
    text_add(&file, span_of(head, 22));
    text_add(&file, span_of(value, len));
    text_add(&file, span_of(tail, sizeof(tail) - 1));
    return verify_copy(file.p, file.len);
}
#define VERIFY(bytes) verify_value(bytes, sizeof(bytes) - 1)

static void values_are_walked(void **state)
{
    (void)state;
    assert_null(VERIFY("\x42XY"));
    assert_null(VERIFY("\xe1\x41x\x41y"));
    assert_null(VERIFY("\x02\x04\x41x\xa1\x07"));                /* an array of two */
    assert_null(VERIFY("\xe1\x20\x05\x41y\x41k"));               /* the key by a pointer */
    assert_non_null(VERIFY("\x43XY"));                           /* longer than what is there */
    assert_non_null(VERIFY("\xe1\x41x"));                        /* without its value */
    assert_non_null(VERIFY("\xe1\xa1\x01\x41y"));                /* a number for a key */
    assert_non_null(VERIFY("\x20\x00"));                         /* a pointer to itself */
    assert_non_null(VERIFY("\x20\x02\x20\x00"));                 /* to a pointer */
    assert_non_null(VERIFY("\x28\xff"));                         /* out of the section */
    assert_non_null(VERIFY("\xa3\x01\x02\x03"));                 /* 16 bits in three bytes */
    assert_non_null(VERIFY("\x67\x01\x02\x03\x04\x05\x06\x07")); /* half a double */
    assert_non_null(VERIFY("\x00\x05"));                         /* a cache, not a value */
    assert_non_null(VERIFY("\x02\x07"));                         /* a boolean of 2 */
    assert_non_null(VERIFY("\x00\xff"));                         /* no such type */
    assert_non_null(VERIFY("\xff\xff\xff\xff"));                 /* a map of millions */
}

static void depth_has_a_limit(void **state)
{
    (void)state;
    char nested[2 * (GEOFILE_DEPTH_MAX + 1)];
    for (size_t depth = GEOFILE_DEPTH_MAX; depth <= GEOFILE_DEPTH_MAX + 1; depth++) {
        for (size_t i = 0; i < depth; i++)
            memcpy(nested + 2 * i, i + 1 < depth ? "\x01\x04" : "\x00\x04", 2);
        if (depth == GEOFILE_DEPTH_MAX)
            assert_null(verify_value(nested, 2 * depth));
        else
            assert_non_null(verify_value(nested, 2 * depth));
    }
}

/* Arrays of pointers to one another: each level doubles what a walk without memory does. */
static void shared_values_cost_no_more_than_their_bytes(void **state)
{
    (void)state;
    char levels[30 * 6 + 2];
    for (size_t i = 0; i < 30; i++) {
        size_t next = 6 * (i + 1);
        char level[] = { 2, 4, 0x20, (char)next, 0x20, (char)next };
        memcpy(levels + 6 * i, level, sizeof(level));
    }
    memcpy(levels + 180, "\x41x", 2);
    (void)verify_value(levels, sizeof(levels)); /* ends, at once */
}

/* ---- MaxMind's own files ---- */

static unsigned verify_folder(const char *folder, bool (*judge)(const char *, const char *))
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[1024];
        struct file file;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        if (entry->d_type == DT_DIR) {
            count += verify_folder(path, judge);
            continue;
        }
        if (!span_ends(span_text(path), SPAN(".mmdb")) ||
            file_read(path, GEOFILE_BYTES_MAX, &arena, &file) != NULL)
            continue;
        const char *trouble = verify_copy(file.text.p, file.text.len);
        if (!judge(entry->d_name, trouble)) {
            print_message("%s: %s\n", path, trouble != NULL ? trouble : "taken");
            fail();
        }
        MMDB_s db;
        if (trouble == NULL && geofile_open(&db, file.text) == NULL)
            expect_same(path, &db);
        count++;
    }
    (void)closedir(dir);
    return count;
}

static bool good_unless_named_so(const char *name, const char *trouble)
{
    /* A double of half its bytes stands in a part that a reader of countries never meets. */
    bool broken = strstr(name, "roken") != NULL || strstr(name, "Invalid") != NULL;
    return (trouble != NULL) == broken;
}

static bool no_crash(const char *name, const char *trouble)
{
    (void)name;
    (void)trouble;
    return true;
}

static void files_of_others(void **state)
{
    (void)state;
    const char *data = getenv("MMDB_DATA");
    char folder[1024];
    if (data == NULL)
        return;
    (void)snprintf(folder, sizeof(folder), "%s/test-data", data);
    assert_true(verify_folder(folder, good_unless_named_so) > 10);
    (void)snprintf(folder, sizeof(folder), "%s/bad-data", data);
    assert_true(verify_folder(folder, no_crash) > 0);
}

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, (size_t)256 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_built_is_found),
        cmocka_unit_test(the_library_opens_it_likewise),
        cmocka_unit_test(both_look_ups_agree),
        cmocka_unit_test(circles_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(values_are_walked),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(shared_values_cost_no_more_than_their_bytes),
        cmocka_unit_test(files_of_others),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
