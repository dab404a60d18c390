/*
 * Loading for `check`, `config`, and for who needs the control socket's path.
 */
#include "gateway/cli/loaded.h"

#include "gateway/cli/cli.h"

#define LOADED_BYTES_MAX ((size_t)16 << 30)

void loaded_open(struct loaded *loaded, const char *path)
{
    *loaded = (struct loaded){ .config = NULL };
    arena_init(&loaded->arena, NULL, 0, NULL, LOADED_BYTES_MAX);
    diags_init(&loaded->diags, &loaded->arena);
    struct load load = { .arena = &loaded->arena, .diags = &loaded->diags };
    loaded->config = load_file(&load, path);
}

void loaded_close(struct loaded *loaded)
{
    arena_reset(&loaded->arena);
}

void loaded_print(struct loaded *loaded, int fd, bool json)
{
    struct text out = text_growing(&loaded->arena, OUTPUT_BYTES);
    diags_write(&out, &loaded->diags, json ? DIAG_JSON : DIAG_HUMAN);
    (void)print_all(fd, text_span(&out));
}
