/*
 * `sallyport help` and `sallyport help VERB`, from the table of verbs.
 */
#include <jansson.h>
#include <stdio.h>

#include "gateway/cli/cli.h"

static void print_flag(const struct flag *flag)
{
    char left[64];
    struct text text = text_fixed(left, sizeof(left));
    if (flag->letter != 0)
        text_format(&text, "-%c, ", flag->letter);
    else
        text_lit(&text, "    ");
    text_format(&text, "--%s", flag->name);
    if (flag->value != NULL)
        text_format(&text, " %s", flag->value);
    (void)printf("  %-26.*s %s\n", (int)text.len, text.p, flag->help);
}

int help_verb(const struct verb *verb)
{
    (void)printf("sallyport %s", verb->name);
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
        if (flag->letter != 0)
            (void)printf(" [-%c", flag->letter);
        else
            (void)printf(" [--%s", flag->name);
        (void)printf("%s%s]", flag->value != NULL ? " " : "",
                     flag->value != NULL ? flag->value : "");
    }
    (void)printf("%s%s\n\n%s\n", verb->operands != NULL ? " " : "",
                 verb->operands != NULL ? verb->operands : "", verb->summary);
    if (verb->flags[0].id != FLAG_NONE)
        (void)printf("\n");
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++)
        print_flag(flag);
    return EXIT_GOOD;
}

/* ---- for programs ---- */

static json_t *verb_json(const struct verb *verb)
{
    json_t *options = json_array();
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
        char letter[] = { flag->letter, '\0' };
        (void)json_array_append_new(options, json_pack("{s:s, s:s, s:s?, s:s}", "name",
                                                       flag->name, "letter", letter, "value",
                                                       flag->value, "help", flag->help));
    }
    return json_pack("{s:s, s:s?, s:s, s:o}", "name", verb->name, "operands", verb->operands,
                     "summary", verb->summary, "options", options);
}

static int help_json(const struct verb *only)
{
    json_t *all = only != NULL ? verb_json(only) : json_array();
    for (const struct verb *verb = verbs; only == NULL && verb->name != NULL; verb++)
        (void)json_array_append_new(all, verb_json(verb));
    (void)json_dumpf(all, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(all);
    return EXIT_GOOD;
}

int verb_help(const struct arguments *arguments)
{
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count > 0) {
        const struct verb *verb = verb_find(arguments->operands[0]);
        if (verb == NULL)
            return usage_error("no verb \"%s\"; `sallyport help` lists them",
                               arguments->operands[0]);
        return json ? help_json(verb) : help_verb(verb);
    }
    if (json)
        return help_json(NULL);
    (void)printf("Sallyport: a web application firewall and rate-limiting reverse proxy.\n\n"
                 "  sallyport run --protect http://127.0.0.1:3000\n"
                 "  sallyport run -c sallyport.yaml\n\n");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        (void)printf("  %-8s %s\n", verb->name, verb->summary);
    (void)printf("\n`sallyport help VERB` lists a verb's options.\n"
                 "Exit codes: 0 good, 2 bad configuration or usage, 1 anything else.\n");
    return EXIT_GOOD;
}
