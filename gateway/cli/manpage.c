/*
 * `sallyport manpage [VERB]`: manual pages in man(7), from the table of verbs: sallyport(8),
 * and one for each verb.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/version.h"

/* A line of text: no request may begin in it, and hyphens stay hyphens. */
static void print_text(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (p == text && (*p == '.' || *p == '\''))
            (void)printf("\\&");
        if (*p == '\\')
            (void)printf("\\e");
        else if (*p == '-')
            (void)printf("\\-");
        else
            (void)putchar(*p);
    }
}

static void print_title(const char *name, const char *summary)
{
    (void)printf(".TH SALLYPORT");
    if (name != NULL) {
        (void)printf("\\-");
        for (const char *p = name; *p != '\0'; p++)
            (void)putchar(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    }
    (void)printf(" 8 \"\" \"Sallyport " SALLYPORT_VERSION
                 "\" \"Sallyport\"\n.SH NAME\nsallyport");
    if (name != NULL)
        (void)printf("\\-%s", name);
    (void)printf(" \\- ");
    print_text(summary);
    (void)putchar('\n');
}

static void print_flag_name(const struct flag *flag)
{
    if (flag->letter != 0)
        (void)printf("\\fB\\-%c\\fR, ", flag->letter);
    (void)printf("\\fB\\-\\-%s\\fR", flag->name);
    if (flag->value != NULL) {
        (void)printf(" \\fI");
        print_text(flag->value);
        (void)printf("\\fR");
    }
}

static void print_verb(const struct verb *verb)
{
    print_title(verb->name, verb->summary);
    (void)printf(".SH SYNOPSIS\n.B sallyport %s\n", verb->name);
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
        (void)printf("[");
        print_flag_name(flag);
        (void)printf("]\n");
    }
    if (verb->operands != NULL) {
        print_text(verb->operands);
        (void)putchar('\n');
    }
    (void)printf(".SH DESCRIPTION\n");
    print_text(verb->summary);
    (void)printf("\n");
    if (verb->flags[0].id != FLAG_NONE)
        (void)printf(".SH OPTIONS\n");
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
        (void)printf(".TP\n");
        print_flag_name(flag);
        (void)putchar('\n');
        print_text(flag->help);
        (void)putchar('\n');
    }
    (void)printf(".SH EXIT STATUS\n0: good. 2: bad configuration or usage. 1: anything else.\n"
                 ".SH SEE ALSO\n.BR sallyport (8)\n");
}

static void print_all_verbs(void)
{
    print_title(NULL, "a web application firewall and rate-limiting reverse proxy");
    (void)printf(".SH SYNOPSIS\n.B sallyport\n.I VERB\n[options]\n.PP\n"
                 ".B sallyport run \\-\\-protect http://127.0.0.1:3000\n.br\n"
                 ".B sallyport run \\-c sallyport.yaml\n.SH VERBS\n");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++) {
        (void)printf(".TP\n.BR sallyport\\-%s (8)\n", verb->name);
        print_text(verb->summary);
        (void)putchar('\n');
    }
    (void)printf(".SH EXIT STATUS\n0: good. 2: bad configuration or usage. 1: anything else.\n"
                 ".SH SEE ALSO\nEvery option of the file: \\fBsallyport config manual\\fR.\n");
}

int verb_manpage(const struct arguments *arguments)
{
    if (arguments->operand_count > 1)
        return usage_error("`manpage` takes one verb, or none");
    if (arguments->operand_count == 0) {
        print_all_verbs();
        return EXIT_GOOD;
    }
    const struct verb *verb = verb_find(arguments->operands[0]);
    if (verb == NULL)
        return usage_error("no verb \"%s\"; `sallyport help` lists them",
                           arguments->operands[0]);
    print_verb(verb);
    return EXIT_GOOD;
}
