/*
 * Places inside texts, paths relative to files, and just enough UTF-8 to count characters.
 */
#include "conf/source.h"

#include <limits.h>
#include <unistd.h>

int32_t utf8_next(const char **p, const char *end)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *s = (const unsigned char *)*p;
    size_t len = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : *s >= 0xc2 ? 2 : 0;
    uint32_t point = len <= 1 ? *s : *s & (0xffu >> (len + 1));

    *p += 1;
    if (len == 0 || *s > 0xf4 || len > (size_t)(end - (const char *)s))
        return -1;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return -1;
        point = point << 6 | (s[i] & 0x3f);
    }
    if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return -1;
    *p += len - 1;
    return (int32_t)point;
}

size_t utf8_count(struct span text)
{
    size_t count = 0;
    for (const char *p = text.p, *end = span_end(text); p < end; count++) {
        if ((unsigned char)*p < 0x80) /* nearly all of them */
            p++;
        else
            (void)utf8_next(&p, end);
    }
    return count;
}

struct place place_inside(struct place place, struct span text, size_t from, size_t len)
{
    struct span before = span_sub(text, 0, from);
    struct span part = span_sub(text, from, len);
    size_t width = utf8_count(part);

    if (place.source != NULL) {
        struct span source = span_sub(place.source->text, place.offset, text.len);
        if (!span_equal(source, text) || span_index(before, '\n') >= 0)
            return place;
    }
    place.column += (unsigned)utf8_count(before);
    place.width = width > 0 ? (unsigned)width : 1;
    place.offset += from;
    place.length = part.len;
    return place;
}

const char *source_path(const struct source *source, struct span path, struct arena *arena)
{
    char working[PATH_MAX];
    struct text t = text_growing(arena, path.len + 64);

    if (!span_starts(path, SPAN("/"))) {
        if (source != NULL && source->folder.len > 0) {
            text_add(&t, source->folder);
        } else if (getcwd(working, sizeof(working)) != NULL) {
            text_add(&t, span_text(working));
            text_char(&t, '/');
        }
    }
    while (span_starts(path, SPAN("./")))
        path = span_sub(path, 2, path.len);
    text_add(&t, path);
    return text_cstring(&t);
}
