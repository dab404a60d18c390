/*
 * argv by the verb's table of flags: -c FILE, --config FILE, --config=FILE.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/cli.h"

int usage_error(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)fputs("error: ", stderr);
    (void)vfprintf(stderr, format, list);
    (void)fputc('\n', stderr);
    va_end(list);
    return EXIT_BAD;
}

bool print_all(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.p, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes = span_sub(bytes, (size_t)written, bytes.len);
    }
    return true;
}

bool output_is_json(const struct arguments *arguments, bool *json)
{
    const char *output = arguments->values[FLAG_OUTPUT];
    *json = output != NULL && strcmp(output, "json") == 0;
    if (output == NULL || *json || strcmp(output, "human") == 0)
        return true;
    (void)usage_error("-o is human or json, not \"%s\"", output);
    return false;
}

/* The flag that `argument` names; what follows "=" in `*value`, or NULL. */
static const struct flag *flag_find(const struct verb *verb, const char *argument,
                                    const char **value)
{
    *value = NULL;
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
        if (argument[1] != '-') {
            if (flag->letter != 0 && argument[1] == flag->letter && argument[2] == '\0')
                return flag;
            continue;
        }
        size_t len = strlen(flag->name);
        if (strncmp(argument + 2, flag->name, len) != 0)
            continue;
        if (argument[2 + len] == '=')
            *value = argument + 2 + len + 1;
        if (argument[2 + len] == '=' || argument[2 + len] == '\0')
            return flag;
    }
    return NULL;
}

bool arguments_parse(const struct verb *verb, int argc, char **argv,
                     struct arguments *arguments)
{
    memset(arguments, 0, sizeof(*arguments));
    for (int i = 0; i < argc; i++) {
        const char *argument = argv[i], *value;
        if (argument[0] != '-' || argument[1] == '\0') {
            if (verb->operands == NULL || arguments->operand_count == OPERANDS_MAX) {
                (void)usage_error("`%s` does not take \"%s\"", verb->name, argument);
                return false;
            }
            arguments->operands[arguments->operand_count++] = argument;
            continue;
        }
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            arguments->values[FLAG_HELP] = "";
            return true; /* nothing else matters */
        }
        const struct flag *flag = flag_find(verb, argument, &value);
        if (flag == NULL) {
            (void)usage_error("`%s` has no option %s; `sallyport help %s` lists them",
                              verb->name, argument, verb->name);
            return false;
        }
        if (flag->value != NULL && value == NULL && i + 1 < argc)
            value = argv[++i];
        if ((flag->value != NULL) != (value != NULL)) {
            (void)usage_error(flag->value != NULL ? "--%s needs a value: %s"
                                                  : "--%s takes no value%s",
                              flag->name, flag->value != NULL ? flag->value : "");
            return false;
        }
        arguments->values[flag->id] = value != NULL ? value : "";
    }
    return true;
}

bool length_read(struct span text, int64_t *seconds)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    uint64_t count, all;
    for (size_t i = 0; i < ARRAY_LEN(units) && text.len > 1; i++) {
        if (text.p[text.len - 1] != units[i].unit)
            continue;
        if (!span_uint(span_sub(text, 0, text.len - 1), &count) ||
            __builtin_mul_overflow(count, units[i].seconds, &all) || all > INT32_MAX)
            return false;
        *seconds = (int64_t)all;
        return all > 0;
    }
    return false;
}
