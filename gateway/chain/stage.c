/* The options that every stage has, whatever else it has. */
#include "gateway/chain/stage.h"

const struct choice mode_choices[] = {
    { "block", MODE_BLOCK, "Refuse what is objected to." },
    { "detect", MODE_DETECT,
      "Let it through, and say in the record what block would have done." },
    { "off", MODE_OFF, "Do not look." },
    { NULL, 0, NULL },
};

static const struct choice on_error_choices[] = {
    { "deny", ON_ERROR_DENY, "Refuse the request." },
    { "pass", ON_ERROR_PASS, "Let it through unchecked; the record says so." },
    { NULL, 0, NULL },
};

const struct option stage_common_options[] = {
    OPTION(
        struct stage_common, mode, OPT_ENUM, .fallback = "block", .choices = mode_choices,
        .help =
            "What follows from an objection. The least strict mode of server, site, route and "
            "stage holds."),
    OPTION(struct stage_common, on_error, OPT_ENUM, .fallback = "deny",
           .choices = on_error_choices,
           .help = "What happens to a request that the stage could not check."),
    OPTION(struct stage_common, deadline, OPT_DURATION, .fallback = "1s", .min = 1,
           .max = 60000,
           .help = "How long the stage may wait for others, in all, on one request."),
    OPTION(struct stage_common, unless, OPT_EXPR,
           .help = "Requests for which this is true are not shown to the stage.",
           .example = "client.ip in @office"),
    OPTIONS_END,
};

const struct option *stage_common_rows(const struct stage_type *type)
{
    for (const struct option *row = type->options; row != NULL && row->kind != OPT_END; row++)
        if (strcmp(row->name, stage_common_options[0].name) == 0)
            return stage_common_options + 1;
    return stage_common_options;
}
