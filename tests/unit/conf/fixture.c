/* The fixture of the tests of configuration. */
#include "tests/unit/conf/fixture.h"

#include <stdlib.h>

enum { CEILING = 64 * 1024 * 1024 };

struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    INVARIANT(f != NULL);
    arena_init(&f->arena, NULL, 0, NULL, CEILING);
    diags_init(&f->diags, &f->arena);
    return f;
}

void fixture_free(struct fixture *f)
{
    arena_reset(&f->arena);
    free(f);
}

void fixture_reset(struct fixture *f)
{
    arena_reset(&f->arena);
    diags_init(&f->diags, &f->arena);
}

struct span fixture_human(struct fixture *f)
{
    struct text t = text_growing(&f->arena, 1024);
    diags_write(&t, &f->diags, DIAG_HUMAN);
    return text_span(&t);
}

struct span fixture_json(struct fixture *f)
{
    struct text t = text_growing(&f->arena, 1024);
    diags_write(&t, &f->diags, DIAG_JSON);
    return text_span(&t);
}

struct span fixture_codes(struct fixture *f)
{
    struct text t = text_growing(&f->arena, 256);
    (void)fixture_human(f); /* sorts */
    for (unsigned i = 0; i < f->diags.count; i++) {
        const struct diag *diag = &f->diags.items[i];
        text_format(&t, "%s%s%s@%u:%u", i > 0 ? " " : "",
                    diag->severity == SEVERITY_WARNING ? "w" : "", diag_code_text(diag->code),
                    diag->place.line, diag->place.column);
    }
    return text_span(&t);
}

struct node *fixture_yaml(struct fixture *f, struct span text)
{
    return yaml_load_text(text, "t.yaml", &f->arena, &f->diags);
}
