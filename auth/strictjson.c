/* The depth is counted here: the reader's own limit is 2,048 calls deep. */
#include "auth/strictjson.h"

#include "gateway/base/siphash.h"

void strict_json_init(void)
{
    size_t seed = 0;
    random_bytes(&seed, sizeof(seed));
    json_object_seed(seed | 1); /* 0 would make it look for one itself; only the first counts */
}

/* Of well-formed text the true depth; of other text some number, and the reader refuses it. */
static bool is_shallow(struct span text)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > STRICT_JSON_DEPTH_MAX)
                return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

json_t *strict_json_object(struct span text, size_t bytes_max)
{
    json_error_t error;
    if (text.len == 0 || text.len > bytes_max || !is_shallow(text))
        return NULL;
    json_t *value = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(value))
        return value;
    json_decref(value);
    return NULL;
}

struct span strict_json_text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        return span_of(NULL, 0);
    return span_of(json_string_value(value), json_string_length(value));
}
