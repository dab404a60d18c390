/* What tests of the SecLang front end share: a program from a text, and what was said. */
#ifndef SALLYPORT_TESTS_SECLANG_H
#define SALLYPORT_TESTS_SECLANG_H

#include "conf/source.h"
#include "rules/seclang/program.h"
#include "tests/unit/check.h"

struct loaded {
    struct arena arena;
    struct diags diags;
    struct sec_program *program;
    enum err err;
};

static inline void load_sources(struct loaded *l, const struct seclang_source *sources,
                                size_t count, bool skip)
{
    const struct seclang_options options = { .skip_unsupported = skip };
    arena_init(&l->arena, NULL, 0, NULL, 256u << 20);
    diags_init(&l->diags, &l->arena);
    l->program = NULL;
    l->err = seclang_load(&l->program, sources, count, &options, &l->arena, &l->diags);
}

static inline void load_text(struct loaded *l, const char *text, bool skip)
{
    const struct seclang_source source = { .path = SPAN("test.conf"), .text = span_text(text) };
    load_sources(l, &source, 1, skip);
}

static inline void unload(struct loaded *l)
{
    if (l->err == OK)
        seclang_free(l->program);
    arena_reset(&l->arena);
}

static inline void show_diags(struct loaded *l)
{
    struct text out = text_growing(&l->arena, 1024);
    diags_write(&out, &l->diags, DIAG_HUMAN);
    print_error("%.*s\n", (int)out.len, out.p);
}

/* A text that has to load. */
static inline void load_good(struct loaded *l, const char *text)
{
    load_text(l, text, false);
    if (l->err != OK)
        show_diags(l);
    assert_int_equal(l->err, OK);
}

static inline const struct sec_rule *rule_at(const struct loaded *l, unsigned i)
{
    assert_in_range(i, 0, l->program->rule_count - 1);
    return l->program->rules[i];
}

#endif
