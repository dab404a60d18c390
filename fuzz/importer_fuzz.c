/*
 * Configurations of ModSecurity from hostile bytes through the whole importer: reading,
 * mapping, and what it prints, which is lines of YAML without control characters. The file is a
 * real one, as the reader opens what it is told; it may include itself.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/cli/import.h"
#include "rules/seclang/program.h"

enum { MEMORY = 256 << 20 };

static void check_text(const struct text *text)
{
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->p[i];
        INVARIANT(c == '\n' || (c >= 0x20 && c != 0x7f));
    }
}

static void try_file(const char *path)
{
    struct import *import = calloc(1, sizeof(*import));
    INVARIANT(import != NULL);
    arena_init(&import->arena, NULL, 0, NULL, MEMORY);
    diags_init(&import->diags, &import->arena);
    import->exclude = text_growing(&import->arena, 4096);
    import->losses = text_growing(&import->arena, 4096);
    const struct seclang_options options = { .skip_unsupported = true };
    struct seclang_source source = { .path = span_text(path) };
    if (import_read(import, path)) {
        enum err err = seclang_load(&import->program, &source, 1, &options, &import->arena,
                                    &import->diags);
        if (err != OK)
            import->program = NULL;
        INVARIANT(import->file_count <= IMPORT_FILES_MAX &&
                  import->statement_count <= IMPORT_STATEMENTS_MAX);
        import_map(import);
        if (!import->arena.exhausted) {
            check_text(&import->exclude);
            check_text(&import->losses);
        }
    }
    if (import->program != NULL)
        seclang_free(import->program);
    arena_reset(&import->arena);
    free(import);
}

/* Includes may name the file itself, and not whatever is on this machine. */
static bool stays_here(struct span text)
{
    bool includes = false;
    for (size_t i = 0; i < text.len; i++)
        includes = includes || span_starts_nocase(span_sub(text, i, text.len), SPAN("include"));
    for (size_t i = 0; includes && i < text.len; i++)
        if (memchr("/*?[~{", text.p[i], 6) != NULL)
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (size > 32 * 1024 || !stays_here(span_of((const char *)data, size)))
        return 0;
    if (fd < 0) {
        fd = memfd_create("import", MFD_CLOEXEC);
        INVARIANT(fd >= 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int null = open("/dev/null", O_WRONLY); /* what it says of refused files */
        if (null >= 0 && getenv("FUZZ_TALKS") == NULL)
            (void)dup2(null, STDERR_FILENO);
    }
    INVARIANT(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    try_file(path);
    return 0;
}
