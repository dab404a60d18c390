/*
 * The state of a configuration's files: see watch.h. Sums of hashes, for the order in which
 * files and matches are met is no matter.
 */
#include "conf/watch.h"

#include <glob.h>

#include "gateway/base/siphash.h"

static uint64_t hash_of(const char *path, uint64_t kind)
{
    const struct siphash_key key = { 0x636f6e666967, kind };

    return siphash(&key, path, strlen(path));
}

static uint64_t hash_file(const char *path, const struct stat *seen)
{
    const struct siphash_key key = { 0x66696c65, hash_of(path, 1) };
    const uint64_t facts[] = { seen->st_dev, seen->st_ino, (uint64_t)seen->st_size,
                               (uint64_t)seen->st_mtim.tv_sec,
                               (uint64_t)seen->st_mtim.tv_nsec };

    return siphash(&key, facts, sizeof facts);
}

static uint64_t hash_match(const char *path)
{
    return hash_of(path, 2);
}

void yaml_watch_file(struct yaml_watch *watch, const char *path, const struct stat *seen)
{
    if (watch == NULL || watch->file_count == WATCHED_CONFIGS_MAX)
        return;
    watch->files[watch->file_count++] = path;
    watch->loaded += hash_file(path, seen);
}

void yaml_watch_pattern(struct yaml_watch *watch, const char *pattern)
{
    if (watch != NULL && watch->pattern_count < WATCHED_PATTERNS_MAX)
        watch->patterns[watch->pattern_count++] = pattern;
}

void yaml_watch_match(struct yaml_watch *watch, const char *path)
{
    if (watch != NULL)
        watch->loaded += hash_match(path);
}

static bool is_loaded(const struct yaml_watch *watch, const char *path)
{
    for (unsigned i = 0; i < watch->file_count; i++)
        if (strcmp(watch->files[i], path) == 0)
            return true;
    return false;
}

static uint64_t state_of(const char *path)
{
    struct stat seen = { .st_dev = 0 };

    return stat(path, &seen) == 0 ? hash_file(path, &seen) : 0;
}

uint64_t yaml_watch_now(const struct yaml_watch *watch)
{
    uint64_t now = 0;

    for (unsigned i = 0; i < watch->file_count; i++)
        now += state_of(watch->files[i]);
    for (unsigned i = 0; i < watch->pattern_count; i++) {
        glob_t found;
        /* no threads here: NOLINTNEXTLINE(concurrency-mt-unsafe) */
        if (glob(watch->patterns[i], 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            const char *path = found.gl_pathv[k];
            now += hash_match(path);
            if (!is_loaded(watch, path)) /* it has come since, and was refused perhaps */
                now += state_of(path);
        }
        globfree(&found);
    }
    return now;
}
