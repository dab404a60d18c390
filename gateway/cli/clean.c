/*
 * What clients, feeds and databases wrote, made fit for a terminal: nothing in it moves the
 * cursor, changes colours or turns the direction of writing.
 */
#include "gateway/cli/clean.h"

#include <stdlib.h>
#include <string.h>

/* How many bytes from here on a terminal would act upon; 0: none. */
static size_t acting(const unsigned char *p)
{
    if (*p < 0x20 || *p == 0x7f)
        return 1;
    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* U+0080 to U+009F: controls again */
        return 2;
    if (p[0] != 0xe2)
        return 0;
    bool marks =
        p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xaa && p[2] <= 0xae));
    bool isolates = p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9;
    return marks || isolates ? 3 : 0;
}

void clean_text(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0';) {
        size_t len = acting(p);
        if (len > 0)
            memset(p, '.', len);
        p += len > 0 ? len : 1;
    }
}

static void clean_string(json_t *string)
{
    size_t len = json_string_length(string);
    char *copy = malloc(len + 1);
    if (copy == NULL)
        return;
    memcpy(copy, json_string_value(string), len);
    copy[len] = '\0';
    for (char *nul; (nul = memchr(copy, '\0', len)) != NULL;) /* it hides nothing behind it */
        *nul = '.';
    clean_text(copy);
    (void)json_string_set_nocheck(string, copy);
    free(copy);
}

void clean_json(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(value))
        clean_string(value);
    json_array_foreach(value, i, item) clean_json(item);
    json_object_foreach(value, key, item) clean_json(item);
}
