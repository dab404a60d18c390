/*
 * What is used of a quota: one cell, by the key that the command line made of the configuration
 * and of what a person named.
 */
#include <jansson.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/process/process.h"
#include "gateway/steward/steward.h"
#include "ratelimit/table.h"

void quotas_map(struct steward *steward)
{
    struct stat info;
    static struct cells cells;
    size_t size = cells_bytes(QUOTA_ENTRIES);
    if (fstat(ROLE_FD_QUOTAS, &info) != 0)
        return; /* no site has limits */
    void *memory = MAP_FAILED;
    if (info.st_size == (off_t)size)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ROLE_FD_QUOTAS, 0);
    (void)close(ROLE_FD_QUOTAS);
    if (memory == MAP_FAILED)
        return;
    cells_over(&cells, memory, QUOTA_ENTRIES);
    steward->quotas = &cells;
    steward->quota_cells = QUOTA_ENTRIES;
}

enum { KEY_BYTES_MAX = 512 };

struct key {
    size_t len;
    char bytes[KEY_BYTES_MAX];
};

static bool read_hex(const char *text, struct key *key)
{
    struct span hex = span_text(text);
    if (text == NULL || hex.len % 2 != 0 || hex.len / 2 > sizeof(key->bytes))
        return false;
    key->len = hex.len / 2;
    for (size_t i = 0; i < key->len; i++) {
        int high = hex_value(hex.p[2 * i]), low = hex_value(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key->bytes[i] = (char)(high << 4 | low);
    }
    return key->len > 0;
}

/* {"command":"quota","key":"hex","ends":S,"reset":false} */
void quota_command(struct client *client, const json_t *request)
{
    struct steward *steward = client->steward;
    struct key key;
    json_int_t ends_s = json_integer_value(json_object_get(request, "ends"));
    if (steward->quotas == NULL) {
        answer_error(client, "no site has limits");
        return;
    }
    if (!read_hex(json_string_value(json_object_get(request, "key")), &key) || ends_s <= 0) {
        answer_error(client, "not a quota's key");
        return;
    }
    struct siphash_key hash = limits_key(steward->settings->kept_key);
    struct cell_key cell = limits_cell(&hash, key.bytes, key.len);
    uint64_t number = cells_get(steward->quotas, cell);
    bool holds = number >> QUOTA_SHIFT == quota_clock(ends_s) >> QUOTA_SHIFT;
    if (json_is_true(json_object_get(request, "reset")))
        cells_store(steward->quotas, cell, 0, 0);
    struct json j = answer_begin(client, true);
    json_uint(&j, "used", holds ? number & QUOTA_USED_MAX : 0);
    answer_end(client, &j);
}
