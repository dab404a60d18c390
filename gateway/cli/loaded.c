/*
 * Loading for `check`, `config`, and for who needs the control socket's path.
 */
#include "gateway/cli/loaded.h"

#include <unistd.h>

#include "gateway/cli/cli.h"

#define LOADED_BYTES_MAX ((size_t)16 << 30)

static void open_as(struct loaded *loaded, const char *path, bool outline)
{
    *loaded = (struct loaded){ .config = NULL };
    arena_init(&loaded->arena, NULL, 0, NULL, LOADED_BYTES_MAX);
    diags_init(&loaded->diags, &loaded->arena);
    struct load load = { .arena = &loaded->arena, .diags = &loaded->diags, .outline = outline };
    loaded->config = load_file(&load, path);
}

void loaded_open(struct loaded *loaded, const char *path)
{
    open_as(loaded, path, false);
}

void loaded_outline(struct loaded *loaded, const char *path)
{
    open_as(loaded, path, true);
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

static int path_in(const struct loaded *loaded, const struct named_file *named,
                   struct text *path)
{
    size_t count = 0;
    const struct key_file *files = named->files(loaded->config, &count);
    if (count != 1)
        return usage_error("the configuration has %zu %s: say which by --file", count,
                           named->what);
    text_add(path, files[0].path);
    return EXIT_GOOD;
}

int named_path(const struct arguments *arguments, const struct named_file *named,
               char path[NAMED_PATH_BYTES], char *user)
{
    struct loaded loaded;
    const char *given = arguments->values[FLAG_FILE], *config = arguments->values[FLAG_CONFIG];
    struct text text = text_fixed(path, NAMED_PATH_BYTES);
    struct text whom = text_fixed(user, user != NULL ? NAMED_USER_BYTES : 0);
    int code = EXIT_GOOD;
    if (given == NULL && config == NULL)
        return usage_error("needs --file, or -c FILE of a configuration with `%s`",
                           named->option);
    if (given != NULL) {
        text_add(&text, span_text(given));
    } else {
        loaded_outline(&loaded, config);
        if (loaded.config == NULL) {
            loaded_print(&loaded, STDERR_FILENO, false);
            code = EXIT_BAD;
        } else {
            code = path_in(&loaded, named, &text);
            text_add(&whom, loaded.config->server.user);
        }
        loaded_close(&loaded);
    }
    if (code == EXIT_GOOD && text_cstring(&text) == NULL)
        code = usage_error("the path is too long");
    if (user != NULL && text_cstring(&whom) == NULL)
        user[0] = '\0';
    return code;
}
