/*
 * SecLang's normalizePath: no empty and `.` segments, `..` resolved, as mod_security2 does it.
 *
 * It looks at the last byte of each segment. So `a..` is taken for `..` too: that is the
 * reference's way, and patterns behind it were written against it.
 */
#include "rules/transform/blocks.h"
#include "rules/transform/drive.h"
#include "rules/transform/rows.h"

struct path {
    const char *p, *last; /* the next byte, the last one of the value */
    char *room, *out;
    bool win, relative;
    bool at_root; /* a `..` could not be resolved: those that follow stay as well */
};

static char slashed(const struct path *path, char c)
{
    return path->win && c == '\\' ? '/' : c;
}

/* `..`: takes the segment before it away. False: there is none, and it is copied. */
static bool back(struct path *path)
{
    if (path->relative && (path->at_root || path->out - path->room <= 2)) {
        path->at_root = true;
        return false;
    }
    ptrdiff_t at = path->out - path->room - 3;
    while (at > 0 && path->room[at] != '/')
        at--;
    if (at <= 0)
        path->at_root = true;
    path->out = path->room + (at > 0 ? at : 0);
    return true;
}

/*
 * The dot at the end of a segment: of `.`, `..` or a name. True: it is not copied; nor is the
 * slash before a `.`, as the one behind it will be.
 */
static bool dot(struct path *path)
{
    if (path->out > path->room && path->out[-1] == '.')
        return back(path);
    if (path->out == path->room)
        return true;
    if (path->out[-1] != '/')
        return false;
    if (path->p < path->last)
        path->out--;
    return true;
}

/* Copies one byte, of a run of slashes the last; a relative path gets none at its start. */
static void copy(struct path *path)
{
    if (slashed(path, *path->p) == '/') {
        while (path->p < path->last && slashed(path, path->p[1]) == '/')
            path->p++;
        if (path->relative && path->out == path->room) {
            path->p++;
            return;
        }
    }
    *path->out++ = slashed(path, *path->p++);
}

static inline __m128i slashes16(const struct path *path, __m128i bytes)
{
    __m128i slashes = equal16(bytes, '/');
    return path->win ? _mm_or_si128(slashes, equal16(bytes, '\\')) : slashes;
}

/* Copies what is neither a slash nor before one, nor the last byte: at least one is there. */
static inline void copy_plain(struct path *path)
{
    while (path->last - path->p >= BLOCK) {
        __m128i bytes = load16(path->p), next = load16(path->p + 1);
        unsigned slashes = mask16(_mm_or_si128(slashes16(path, bytes), slashes16(path, next)));
        int count = slashes != 0 ? __builtin_ctz(slashes) : BLOCK;
        store16(path->out, bytes);
        path->p += count;
        path->out += count;
        if (count < BLOCK)
            return;
    }
    while (path->p < path->last && slashed(path, path->p[0]) != '/' &&
           slashed(path, path->p[1]) != '/')
        *path->out++ = *path->p++;
}

static inline struct span normalize(struct span in, char *room, bool win)
{
    if (in.len == 0)
        return in;
    struct path path = {
        .p = in.p, .last = span_end(in) - 1, .room = room, .out = room, .win = win
    };
    path.relative = slashed(&path, *in.p) != '/';
    while (path.p <= path.last) {
        char c = slashed(&path, *path.p);
        bool ends = path.p == path.last || slashed(&path, path.p[1]) == '/';
        if (!ends && c != '/') {
            copy_plain(&path);
            continue;
        }
        if (ends && c == '.' && dot(&path)) {
            if (path.p++ == path.last)
                break;
        } else if (ends && c != '.' && (c != '/' || path.p == path.last) && path.out > room) {
            path.at_root = false;
        }
        copy(&path);
    }
    bool trailing = slashed(&path, *path.last) == '/';
    if (!trailing && path.out > room && path.out[-1] == '/')
        path.out--;
    return made(in, room, path.out);
}

struct span sec_normalize_path(struct span in, char *room)
{
    return normalize(in, room, false);
}

struct span sec_normalize_path_win(struct span in, char *room)
{
    return normalize(in, room, true);
}
