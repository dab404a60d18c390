/*
 * What somebody may have meant who asked for an option that does not exist: the paths that end
 * with what was given, else the nearest path, else those that end with its last word.
 */
#include "conf/manual_rows.h"
#include "conf/suggest.h"

enum { PATH_BYTES_MAX = 256, OFFERED_MAX = 5 };

/* Paths to choose from. */
struct offers {
    char text[OFFERED_MAX * PATH_BYTES_MAX];
    size_t len;
    unsigned count;
};

struct search {
    struct suggestion nearest;
    struct span asked, word;    /* what was given, and its last word */
    struct offers tails, words; /* those that end with the one and the other */
    char best[PATH_BYTES_MAX];  /* what nearest.best points to */
};

static void offer(struct offers *offers, struct span path)
{
    struct text out = text_fixed(offers->text, sizeof(offers->text));

    if (offers->count == OFFERED_MAX)
        return;
    out.len = offers->len;
    text_add(&out, offers->count++ > 0 ? SPAN(", ") : SPAN(""));
    text_add(&out, path);
    offers->len = out.len;
}

static bool is_tail(struct span path, struct span asked)
{
    return path.len > asked.len && asked.len > 0 && span_ends(path, asked) &&
           path.p[path.len - asked.len - 1] == '.';
}

static void consider(struct search *search, struct span path, struct span name)
{
    struct span before = search->nearest.best;

    suggest_consider(&search->nearest, path);
    if (search->nearest.best.p != before.p) {
        memcpy(search->best, path.p, path.len);
        search->nearest.best = span_of(search->best, path.len);
    }
    if (is_tail(path, search->asked))
        offer(&search->tails, path);
    if (span_equal(name, search->word))
        offer(&search->words, path);
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
    struct search search = { .nearest = suggest_for(path), .asked = path };
    struct span rest = path;

    while (span_cut(&rest, '.', &search.word))
        ;
    for (size_t i = 0; i < count; i++)
        walk_part(&search, &parts[i]);
    const struct offers *offers = search.tails.count > 0 ? &search.tails : &search.words;
    if (offers->count == 0 || (search.tails.count == 0 && search.nearest.best.p != NULL)) {
        suggest_write(out, &search.nearest);
        return;
    }
    text_lit(out, "did you mean ");
    text_add(out, span_of(offers->text, offers->len));
    text_char(out, '?');
}
