/*
 * Address lists at a million IPv4 and 200,000 IPv6 prefixes, each with a reason and an expiry:
 * what reading, building and one look-up cost, and how much memory a prefix takes. Who is
 * looked up: anybody, those that are listed, and clients as they come: 50,000 of them, most
 * often the same few. Exit status 1 over a bar.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "gateway/base/addrlist_block.h"
#include "geoip/listfile.h"

enum { V4 = 1000 * 1000, V6 = 200 * 1000, LOOK_UPS = 1 << 20, ROUNDS = 5 };
enum { NOW_S = 1800000000, LATER_S = NOW_S + 3600 + 10000 };
enum { CLIENTS = 50 * 1000, BAR_NS = 50, BAR_BYTES = 16 };

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t chance(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

/* IPv4: four of five are hosts. IPv6: as routed, /32 to /64, and hosts. */
static struct cidr random_prefix(bool v6)
{
    struct cidr cidr = { .addr = { .family = v6 ? ADDR_V6 : ADDR_V4 } };
    for (size_t i = 0; i < (v6 ? 16 : 4); i++)
        cidr.addr.bytes[i] = (uint8_t)chance();
    if (!v6) {
        cidr.bits = (uint8_t)(chance() % 5 > 0 ? 32 : 16 + chance() % 9);
    } else {
        static const uint8_t bits[] = { 32, 48, 48, 56, 64, 64, 64, 128 };
        cidr.addr.bytes[0] = (uint8_t)(0x20 | (cidr.addr.bytes[0] & 0x0f));
        cidr.bits = bits[chance() % ARRAY_LEN(bits)];
    }
    addr_mask(&cidr.addr, cidr.bits);
    return cidr;
}

static struct span write_list(struct arena *arena, struct cidr *kept)
{
    struct text text = text_growing(arena, 64 << 20);
    for (size_t i = 0; i < V4 + V6; i++) {
        kept[i] = random_prefix(i >= V4);
        cidr_write(&text, &kept[i]);
        text_lit(&text, ",reason ");
        text_uint(&text, i % 1000);
        text_char(&text, ',');
        text_uint(&text, NOW_S + 3600 + i % 100000);
        text_char(&text, '\n');
    }
    return text_span(&text);
}

enum who { ANYBODY, LISTED, CLIENT };

/* Of clients, a tenth is listed, and the earlier ones come more often. */
static void choose(struct addr *addrs, enum who who, const struct cidr *kept, size_t count)
{
    static struct addr clients[CLIENTS];
    bool v6 = kept[0].addr.family == ADDR_V6;
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = i % 10 == 0 ? kept[chance() % count].addr : random_prefix(v6).addr;
    for (size_t i = 0; i < LOOK_UPS; i++) {
        uint64_t skewed = (uint64_t)chance() * chance() >> 32;
        addrs[i] = who == LISTED   ? kept[chance() % count].addr
                   : who == CLIENT ? clients[skewed * CLIENTS >> 32]
                                   : random_prefix(v6).addr;
    }
}

/* The best of some rounds, in ns. */
static double measure(struct span block, const struct addr *addrs, uint32_t now_s,
                      size_t *found)
{
    double best = 1e9;
    for (unsigned round = 0; round < ROUNDS; round++) {
        double began = now_ns();
        uint32_t place;
        *found = 0;
        for (size_t i = 0; i < LOOK_UPS; i++)
            *found += addrlist_find(block, &addrs[i], now_s, &place);
        double ns = (now_ns() - began) / LOOK_UPS;
        best = ns < best ? ns : best;
    }
    return best;
}

static bool look_up(struct span block, const struct cidr *kept, size_t count, enum who who)
{
    static const char *const names[] = { "anybody", "listed", "clients" };
    struct addr *addrs = malloc(LOOK_UPS * sizeof(*addrs));
    if (addrs == NULL)
        exit(2);
    choose(addrs, who, kept, count);
    size_t found, late_found;
    double best = measure(block, addrs, NOW_S, &found);
    double late = measure(block, addrs, LATER_S, &late_found);
    (void)printf("%s, %s: %.0f ns a look-up (bar %d), %.0f %% found: %s; when a tenth has "
                 "expired %.0f ns\n",
                 kept[0].addr.family == ADDR_V6 ? "IPv6" : "IPv4", names[who], best, BAR_NS,
                 100.0 * (double)found / LOOK_UPS, best <= BAR_NS ? "pass" : "FAIL", late);
    free(addrs);
    return best <= BAR_NS;
}

/* As workers have it: mapped, at a page of its own. */
static struct span mapped(struct span block)
{
    void *p = mmap(NULL, block.len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        exit(2);
    memcpy(p, block.p, block.len);
    return span_of(p, block.len);
}

int main(void)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, (size_t)2 << 30);
    struct cidr *kept = malloc((V4 + V6) * sizeof(*kept));
    if (kept == NULL)
        return 2;
    struct span text = write_list(&arena, kept), block;
    struct listfile_problem problem;
    struct addrlist_entries entries;
    struct listfile_how how = { .format = LISTFILE_CSV, .now_s = NOW_S };

    double began = now_ns();
    if (listfile_read(text, &how, &arena, &entries, &problem) != OK) {
        (void)fprintf(stderr, "line %u: %s\n", problem.line, problem.why);
        return 2;
    }
    double parsed = now_ns();
    if (addrlist_build(entries.items, entries.count, NOW_S, &arena, &block) != OK)
        return 2;
    double built = now_ns();
    double checked = built;
    if (!addrlist_valid(block))
        return 2;
    checked = now_ns();
    (void)printf("%zu prefixes of %d: read in %.0f ms, built in %.0f ms, checked in %.4f ms\n",
                 addrlist_count(block), V4 + V6, (parsed - began) / 1e6, (built - parsed) / 1e6,
                 (checked - built) / 1e6);
    double index = 3 * ADDRLIST_INDEX_ENTRIES * (double)sizeof(uint32_t);
    double bytes = ((double)block.len - index) / (double)addrlist_count(block);
    bool good = bytes <= BAR_BYTES;
    (void)printf("%.1f bytes a prefix (bar %d), and the indexes %.1f: %s\n", bytes, BAR_BYTES,
                 index / (double)addrlist_count(block), good ? "pass" : "FAIL");
    block = mapped(block);
    for (unsigned who = ANYBODY; who <= CLIENT; who++)
        good = look_up(block, kept, V4, (enum who)who) && good;
    for (unsigned who = ANYBODY; who <= CLIENT; who++)
        good = look_up(block, kept + V4, V6, (enum who)who) && good;
    free(kept);
    arena_reset(&arena);
    return good ? 0 : 1;
}
