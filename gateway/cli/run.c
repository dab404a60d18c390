/*
 * `sallyport run`: becomes the master.
 */
#include "gateway/cli/cli.h"
#include "gateway/process/process.h"

int verb_run(const struct arguments *arguments)
{
    struct run_options options = { .config_path = arguments->values[FLAG_CONFIG],
                                   .protect = arguments->values[FLAG_PROTECT],
                                   .watch = arguments->values[FLAG_WATCH] != NULL };
    if ((options.config_path != NULL) == (options.protect != NULL))
        return usage_error("`run` needs one of: -c FILE, --protect URL");
    if (options.watch && options.protect != NULL)
        return usage_error("--watch is for -c FILE: there is no file to watch");
    return master_run(&options);
}
