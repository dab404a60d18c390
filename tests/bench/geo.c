/*
 * Nanoseconds of one look-up, as the first stage that asks pays it: geo FILE... (one to three
 * databases, together). Addresses are random ones of the public Internet, each asked once. Exit
 * status 1 over the bar.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/base/file.h"
#include "geoip/database.h"
#include "geoip/geofile.h"

enum { LOOK_UPS = 1 << 20, BAR_NS = 500 };

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void random_addresses(struct addr *addrs, bool v6)
{
    uint64_t seed = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < LOOK_UPS; i++) {
        do {
            addrs[i] = (struct addr){ .family = v6 ? ADDR_V6 : ADDR_V4 };
            for (size_t k = 0; k < (v6 ? 16 : 4); k++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                addrs[i].bytes[k] = (uint8_t)(seed >> 56);
            }
            if (v6) /* where addresses are given out */
                addrs[i].bytes[0] = (uint8_t)(0x20 | (addrs[i].bytes[0] & 0x0f));
        } while (geo_is_private(&addrs[i]));
    }
}

int main(int argc, char **argv)
{
    struct arena arena;
    struct snapshots snapshots;
    arena_init(&arena, NULL, 0, NULL, (size_t)2 << 30);
    if (argc < 2 || argc > 1 + GEO_DATABASES_MAX ||
        snapshots_init(&snapshots, &arena, (size_t)argc - 1) != OK)
        return 2;
    for (int i = 1; i < argc; i++) {
        struct file file;
        const char *why = file_read(argv[i], GEOFILE_BYTES_MAX, &arena, &file);
        double began = now_ns();
        if (why == NULL)
            why = geofile_verify(file.text);
        if (why != NULL) {
            (void)fprintf(stderr, "%s: %s\n", argv[i], why);
            return 2;
        }
        (void)printf("%s: %zu bytes, checked in %.1f ms\n", argv[i], file.text.len,
                     (now_ns() - began) / 1e6);
        snapshot_initial(&snapshots, (uint32_t)i - 1, file.text);
    }
    struct geo_reader *reader = geo_reader_new(&snapshots, 0, (size_t)argc - 1, &arena);
    struct addr *addrs = malloc(LOOK_UPS * sizeof(*addrs));
    if (reader == NULL || addrs == NULL)
        return 2;
    bool good = true;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        size_t known = 0;
        random_addresses(addrs, v6 == 1);
        double began = now_ns();
        for (size_t i = 0; i < LOOK_UPS; i++) {
            struct geo geo;
            geo_reader_look_up(reader, &addrs[i], &geo, NULL);
            known += geo.country[0] != 'X' || geo.asn != 0;
        }
        double ns = (now_ns() - began) / LOOK_UPS;
        good = good && ns <= BAR_NS;
        (void)printf("%s: %.0f ns a look-up (bar %d), %.0f %% known: %s\n",
                     v6 == 1 ? "IPv6" : "IPv4", ns, BAR_NS, 100.0 * (double)known / LOOK_UPS,
                     ns <= BAR_NS ? "pass" : "FAIL");
    }
    free(addrs);
    arena_reset(&arena);
    return good ? 0 : 1;
}
