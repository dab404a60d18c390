/*
 * A configuration of any bytes, over a table with every kind of option. Nothing crashes; each
 * diagnostic stands inside the text, where its line and column say; both formats of the
 * diagnostics can be written; and a configuration without errors, printed and read again,
 * prints the same.
 */
#include <stdlib.h>

#include "conf/source.h"
#include "tests/unit/conf/sample.h"

enum { CEILING = 64 * 1024 * 1024 };

static void check_place(const struct place *place)
{
    if (place->source == NULL)
        return;
    struct span text = place->source->text;
    INVARIANT(place->offset <= text.len && place->length <= text.len - place->offset);
    INVARIANT(place->line > 0 && place->column > 0 && place->width > 0);

    struct span before = span_sub(text, 0, place->offset);
    unsigned line = 1;
    size_t start = 0;
    for (size_t i = 0; i < before.len; i++) {
        if (before.p[i] != '\n')
            continue;
        line++;
        start = i + 1;
    }
    struct span on_line = span_sub(before, start, before.len);
    if (span_starts(on_line, SPAN("\xef\xbb\xbf")) && start == 0)
        on_line = span_sub(on_line, 3, on_line.len);
    INVARIANT(place->line == line);
    INVARIANT(place->column == utf8_count(on_line) + 1);
}

static void check_diags(struct diags *diags, struct arena *arena)
{
    for (unsigned i = 0; i < diags->count; i++) {
        check_place(&diags->items[i].place);
        check_place(&diags->items[i].other);
    }
    struct text human = text_growing(arena, 4096), json = text_growing(arena, 4096);
    diags_write(&human, diags, DIAG_HUMAN);
    diags_write(&json, diags, DIAG_JSON);
    INVARIANT(diags->errors + diags->warnings == 0 || human.len > 0 || human.overflow);
}

/* The text as print shows it, or an empty one after an error. */
static struct span load(struct span text, struct arena *arena, struct diags *diags)
{
    struct sample sample = { .workers = 0 };
    struct sample_common common = { .mode = 0 };
    struct section sections[] = { { sample_rows, &sample }, { sample_common_rows, &common } };
    static const char *const also[] = { "version", NULL };

    diags_init(diags, arena);
    struct node *root = yaml_load_text(text, "fuzz.yaml", arena, diags);
    INVARIANT(root != NULL || diags->errors > 0);
    struct schema schema = { arena, diags, &sample_scope, root };
    if (root != NULL) {
        schema_defaults(&schema, sample_rows, &sample);
        schema_defaults(&schema, sample_common_rows, &common);
        schema_apply(&schema, root,
                     &(struct shape){ .what = "the file",
                                      .sections = sections,
                                      .count = ARRAY_LEN(sections),
                                      .also = also,
                                      .complete = true });
    }
    check_diags(diags, arena);
    struct text out = text_growing(arena, 4096);
    if (root == NULL || diags->errors > 0)
        return SPAN("");
    schema_print(&out, sample_rows, &sample, 0, false);
    schema_print(&out, sample_common_rows, &common, 0, false);
    return text_span(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct diags diags;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, CEILING);

    struct span first = load(span_of((const char *)data, size), &arena, &diags);
    if (first.len > 0 && !arena.exhausted) {
        struct span second = load(first, &arena, &diags);
        INVARIANT(arena.exhausted || diags.errors == 0);
        INVARIANT(arena.exhausted || span_equal(first, second));
    }
    arena_reset(&arena);
    return 0;
}
