/*
 * Runs a fuzz harness over files instead of under libFuzzer: `NAME_replay FILE|FOLDER...`. So a
 * corpus is a regression test that needs no clang, and a crash can be replayed in a debugger.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { INPUT_BYTES_MAX = 16 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each input gets memory of its exact size, so that a sanitizer sees the first byte too far. */
static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = size <= INPUT_BYTES_MAX ? malloc(size > 0 ? size : 1) : NULL;
    int failed = 1;
    if (file == NULL || data == NULL || fread(data, 1, size, file) != size)
        fprintf(stderr, "%s: cannot read\n", path);
    else
        failed = LLVMFuzzerTestOneInput(data, size) != 0;
    free(data);
    if (file != NULL)
        fclose(file);
    return failed;
}

/* Answers how many inputs ran, or -1. */
static int replay_folder(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    int ran = count < 0 ? -1 : 0;

    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat status;
        int len = snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (ran < 0 || len < 0 || (size_t)len >= sizeof(path) || stat(path, &status) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        ran = replay_file(path, (size_t)status.st_size) == 0 ? ran + 1 : -1;
    }
    if (count >= 0)
        free(entries);
    return ran;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) != 0) {
            fprintf(stderr, "%s: not there\n", argv[i]);
            return 1;
        }
        int ran = S_ISDIR(status.st_mode)                             ? replay_folder(argv[i])
                  : replay_file(argv[i], (size_t)status.st_size) == 0 ? 1
                                                                      : -1;
        if (ran < 0)
            return 1;
        total += ran;
    }
    /* An empty corpus proves nothing: it is a mistake. */
    printf("%s: %d inputs\n", argv[0], total);
    return total == 0;
}
