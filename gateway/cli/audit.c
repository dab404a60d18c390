/*
 * `sallyport audit`: which log, which records, and who shows them.
 */
#include "gateway/cli/audit.h"

#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/cli/loaded.h"

#define AUDIT_BYTES_MAX ((size_t)8 << 30)

static const struct part {
    const char *name;
    int (*run)(struct audit_command *command);
    bool terms; /* takes terms of a query; otherwise its operands are its own */
} parts[] = {
    { "verify", audit_verify, false }, { "search", audit_search, true },
    { "show", audit_show, false },     { "timeline", audit_timeline, true },
    { "export", audit_export, true },
};

static const struct part *part_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    return NULL;
}

/* The audit file that --file or the configuration names. */
static int find_log(struct audit_command *command)
{
    const char *file = command->arguments->values[FLAG_FILE];
    const char *config = command->arguments->values[FLAG_CONFIG];
    if (file != NULL) {
        command->path = file;
        return EXIT_GOOD;
    }
    if (config == NULL)
        return usage_error("`audit` needs -c FILE or --file PATH, to find the log");
    struct loaded loaded;
    loaded_outline(&loaded, config);
    int code = EXIT_GOOD;
    if (loaded.config == NULL) {
        loaded_print(&loaded, STDERR_FILENO, false);
        code = EXIT_BAD;
    } else if (loaded.config->audit.file.text.len == 0) {
        code = usage_error("this configuration writes its records to standard output");
    } else {
        command->path = arena_cstring(command->arena, loaded.config->audit.file.text);
        code = command->path != NULL ? EXIT_GOOD : EXIT_TROUBLE;
    }
    loaded_close(&loaded);
    return code;
}

static int read_terms(struct audit_command *command)
{
    enum { MS = 1000 };
    struct clock now;
    clock_read(&now);
    for (unsigned i = 1; i < command->arguments->operand_count; i++) {
        struct span term = span_text(command->arguments->operands[i]);
        const char *wrong = query_term(&command->query, term, now.wall_us, command->arena);
        if (wrong != NULL)
            return usage_error("\"%s\": %s", term.p, wrong);
    }
    /* As records have them: what is written of them is read to the same. */
    command->query.since_us -= command->query.since_us % MS;
    command->query.until_us -= command->query.until_us % MS;
    return EXIT_GOOD;
}

int verb_audit(const struct arguments *arguments)
{
    struct arena arena;
    struct audit_command command = { .arguments = arguments, .arena = &arena };
    if (!output_is_json(arguments, &command.json))
        return EXIT_BAD;
    const struct part *part =
        arguments->operand_count > 0 ? part_find(arguments->operands[0]) : NULL;
    if (part == NULL)
        return usage_error("`audit` is followed by verify, search, show, timeline or export");
    arena_init(&arena, NULL, 0, NULL, AUDIT_BYTES_MAX);
    /* Evidence is verified by itself: no log is needed. */
    bool alone = part->run == audit_verify && arguments->operand_count > 1;
    int code = alone ? EXIT_GOOD : find_log(&command);
    if (code == EXIT_GOOD && part->terms)
        code = read_terms(&command);
    if (code == EXIT_GOOD)
        code = part->run(&command);
    arena_reset(&arena);
    return code;
}
