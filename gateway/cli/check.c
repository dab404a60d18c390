/*
 * `sallyport check`: everything that is wrong with a configuration, without starting anything.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/loaded.h"
#include "gateway/cli/rules.h"
#include "rules/waf.h"

/* What is looked for in requests, so that nobody has to guess what `auto` came to. */
static void print_rules(struct loaded *loaded)
{
    const struct ruleset *sets[RULE_SETS_MAX];
    unsigned count = waf_sets(loaded->config, sets, RULE_SETS_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct text text = text_growing(&loaded->arena, 256);
        ruleset_describe(sets[i], &text);
        (void)printf("rules: %.*s\n", (int)text.len, text.p);
    }
}

static int outcome(struct loaded *loaded, bool json, bool strict)
{
    bool good = loaded->config != NULL && !(strict && loaded->diags.warnings > 0);
    if (json)
        loaded_print(loaded, STDOUT_FILENO, true);
    else if (loaded->diags.count > 0)
        loaded_print(loaded, STDERR_FILENO, false);
    if (!json && good) {
        print_leases(loaded->config);
        print_rules(loaded);
        (void)printf("good: %zu sites, %u warnings\n", loaded->config->site_count,
                     loaded->diags.warnings);
    }
    return good ? EXIT_GOOD : EXIT_BAD;
}

int verb_check(const struct arguments *arguments)
{
    const char *path = arguments->values[FLAG_CONFIG], *print = arguments->values[FLAG_PRINT];
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (path == NULL)
        return usage_error("`check` needs -c FILE");
    if (print != NULL && strcmp(print, "pipeline") != 0)
        return usage_error("--print knows pipeline, not \"%s\"", print);

    struct loaded loaded;
    loaded_open(&loaded, path);
    int code;
    if (print != NULL && loaded.config != NULL) {
        struct text out = text_growing(&loaded.arena, OUTPUT_BYTES);
        if (json)
            load_print_pipeline_json(&out, loaded.config);
        else
            load_print_pipeline(&out, loaded.config);
        code = print_all(STDOUT_FILENO, text_span(&out)) ? EXIT_GOOD : EXIT_TROUBLE;
        if (loaded.diags.count > 0)
            loaded_print(&loaded, STDERR_FILENO, json);
    } else {
        code = outcome(&loaded, json, arguments->values[FLAG_STRICT] != NULL);
    }
    loaded_close(&loaded);
    return code;
}
