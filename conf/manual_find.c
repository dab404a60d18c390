/*
 * What somebody may have meant who asked for an option that does not exist: the nearest path,
 * or the paths that end with the word that was given.
 */
#include "conf/manual_rows.h"
#include "conf/suggest.h"

enum { PATH_BYTES_MAX = 256, OFFERED_MAX = 5 };

struct search {
    struct suggestion nearest;
    struct span word; /* the last one that was given */
    struct text *offers;
    unsigned offered;
    char best[PATH_BYTES_MAX]; /* what nearest.best points to */
};

static void consider(struct search *search, struct span path, struct span name)
{
    struct span before = search->nearest.best;

    suggest_consider(&search->nearest, path);
    if (search->nearest.best.p != before.p) {
        memcpy(search->best, path.p, path.len);
        search->nearest.best = span_of(search->best, path.len);
    }
    if (!span_equal(name, search->word) || search->offered == OFFERED_MAX)
        return;
    text_add(search->offers, search->offered++ > 0 ? SPAN(", ") : SPAN(""));
    text_add(search->offers, path);
}

static void walk_rows(struct search *search, const struct option *rows, struct span prefix)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        char buffer[PATH_BYTES_MAX];
        struct text path = text_fixed(buffer, sizeof(buffer));
        text_add(&path, prefix);
        text_add(&path, span_text(row->name));
        if (path.overflow || (row->flags & OPTION_HIDDEN) != 0)
            continue;
        consider(search, text_span(&path), span_text(row->name));
        text_char(&path, '.');
        if (row->options != NULL && !path.overflow)
            walk_rows(search, row->options, text_span(&path));
    }
}

static void walk_part(struct search *search, const struct manual_part *part)
{
    char buffer[PATH_BYTES_MAX];
    struct text path = text_fixed(buffer, sizeof(buffer));

    text_add(&path, span_text(part->path));
    if (path.len > 0) {
        consider(search, text_span(&path), manual_last(part->path));
        text_char(&path, '.');
    }
    walk_rows(search, part->rows, text_span(&path));
    walk_rows(search, part->more, text_span(&path));
}

void manual_suggest(struct text *out, const struct manual_part *parts, size_t count,
                    struct span path)
{
    char buffer[OFFERED_MAX * PATH_BYTES_MAX];
    struct text offers = text_fixed(buffer, sizeof(buffer));
    struct search search = { .nearest = suggest_for(path), .offers = &offers };
    struct span rest = path;

    while (span_cut(&rest, '.', &search.word))
        ;
    for (size_t i = 0; i < count; i++)
        walk_part(&search, &parts[i]);
    if (search.nearest.best.p != NULL || search.offered == 0) {
        suggest_write(out, &search.nearest);
        return;
    }
    text_lit(out, "did you mean ");
    text_add(out, text_span(&offers));
    text_char(out, '?');
}
