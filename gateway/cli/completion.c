/*
 * `sallyport completion bash|zsh|fish`: what a shell completes, from the table of verbs. Words
 * of the table alone go into the scripts, and none of them has a quote or a dollar.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/cli.h"

/* The words that a verb's first operand may be: "list|add ADDRESS" gives list and add. */
static bool next_word(struct span *rest, struct span *word)
{
    struct span part;
    while (rest->p != NULL && span_cut(rest, '|', &part)) {
        size_t len = 0;
        while (len < part.len &&
               ((part.p[len] >= 'a' && part.p[len] <= 'z') || part.p[len] == '-'))
            len++;
        *word = span_sub(part, 0, len);
        if (len > 0 && (len == part.len || part.p[len] == ' '))
            return true;
    }
    return false;
}

static bool is_path(const struct flag *flag)
{
    static const char *const kinds[] = { "FILE", "PATH" };
    for (size_t i = 0; flag->value != NULL && i < ARRAY_LEN(kinds); i++)
        if (strcmp(flag->value, kinds[i]) == 0)
            return true;
    return false;
}

static const char *choices_of(const struct flag *flag)
{
    return flag->value != NULL && strchr(flag->value, '|') != NULL ? flag->value : NULL;
}

static void print_words(const struct verb *verb, const char *between)
{
    struct span rest = span_text(verb->operands), word;
    const char *before = "";
    while (next_word(&rest, &word)) {
        (void)printf("%s%.*s", before, (int)word.len, word.p);
        before = between;
    }
}

static void print_choices(const char *choices)
{
    for (const char *p = choices; *p != '\0'; p++)
        (void)putchar(*p == '|' ? ' ' : *p);
}

/* ---- bash ---- */

static void bash_verb(const struct verb *verb)
{
    (void)printf("    %s)\n        flags=\"", verb->name);
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
        if (flag->letter != 0)
            (void)printf("-%c ", flag->letter);
        (void)printf("--%s ", flag->name);
    }
    (void)printf("--help\"\n        words=\"");
    print_words(verb, " ");
    (void)printf("\"\n        case \"$prev\" in\n");
    for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
        if (flag->value == NULL)
            continue;
        (void)printf("        --%s", flag->name);
        if (flag->letter != 0)
            (void)printf("|-%c", flag->letter);
        if (choices_of(flag) != NULL) {
            (void)printf(") COMPREPLY=($(compgen -W \"");
            print_choices(flag->value);
            (void)printf("\" -- \"$cur\")); return ;;\n");
        } else {
            (void)printf(") COMPREPLY=(%s); return ;;\n",
                         is_path(flag) ? "$(compgen -f -- \"$cur\")" : "");
        }
    }
    (void)printf("        esac ;;\n");
}

static void print_bash(void)
{
    (void)printf("# bash completion for sallyport\n"
                 "_sallyport() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    local flags= words= verb=${COMP_WORDS[1]}\n"
                 "    COMPREPLY=()\n"
                 "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                 "        COMPREPLY=($(compgen -W \"");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        (void)printf("%s ", verb->name);
    (void)printf("\" -- \"$cur\"))\n        return\n    fi\n    case \"$verb\" in\n");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        bash_verb(verb);
    (void)printf("    esac\n"
                 "    if [[ $cur == -* ]]; then\n"
                 "        COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
                 "    elif [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"$words\" ]; then\n"
                 "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                 "    else\n"
                 "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                 "    fi\n"
                 "}\n"
                 "complete -o filenames -F _sallyport sallyport\n");
}

/* ---- zsh ---- */

/* Brackets and colons mean something there; the table's texts are ours. */
static void zsh_text(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr("[]:\\", *p) != NULL)
            (void)putchar('\\');
        if (*p == '\'')
            (void)printf("'\\'");
        (void)putchar(*p);
    }
}

static void zsh_flag(const struct flag *flag)
{
    (void)printf("            '--%s%s[", flag->name, flag->value != NULL ? "=" : "");
    zsh_text(flag->help);
    (void)printf("]");
    if (choices_of(flag) != NULL) {
        (void)printf(":value:(");
        print_choices(flag->value);
        (void)printf(")");
    } else if (flag->value != NULL) {
        (void)printf(":%s:%s", flag->name, is_path(flag) ? "_files" : "");
    }
    (void)printf("' \\\n");
    if (flag->letter != 0)
        (void)printf("            '-%c[same as --%s]%s' \\\n", flag->letter, flag->name,
                     is_path(flag) ? ":file:_files" : ":value:");
}

static void print_zsh(void)
{
    (void)printf("#compdef sallyport\n"
                 "_sallyport() {\n"
                 "    local -a verbs\n"
                 "    verbs=(\n");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++) {
        (void)printf("        '%s:", verb->name);
        zsh_text(verb->summary);
        (void)printf("'\n");
    }
    (void)printf("    )\n"
                 "    if (( CURRENT == 2 )); then\n"
                 "        _describe 'verb' verbs\n"
                 "        return\n"
                 "    fi\n"
                 "    local verb=$words[2]\n"
                 "    shift words\n"
                 "    (( CURRENT-- ))\n"
                 "    case $verb in\n");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++) {
        (void)printf("    %s)\n        _arguments \\\n", verb->name);
        for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++)
            zsh_flag(flag);
        (void)printf("            '1:what:(");
        print_words(verb, " ");
        (void)printf(")' '*:file:_files' ;;\n");
    }
    (void)printf("    esac\n}\n_sallyport \"$@\"\n");
}

/* ---- fish ---- */

static void fish_text(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\')
            (void)putchar('\\');
        (void)putchar(*p);
    }
}

static void print_fish(void)
{
    (void)printf("# fish completion for sallyport\n");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++) {
        (void)printf("complete -c sallyport -n __fish_use_subcommand -f -a %s -d '",
                     verb->name);
        fish_text(verb->summary);
        (void)printf("'\n");
        if (verb->operands != NULL) {
            (void)printf("complete -c sallyport -n '__fish_seen_subcommand_from %s' -a '",
                         verb->name);
            print_words(verb, " ");
            (void)printf("'\n");
        }
        for (const struct flag *flag = verb->flags; flag->id != FLAG_NONE; flag++) {
            (void)printf("complete -c sallyport -n '__fish_seen_subcommand_from %s' -l %s",
                         verb->name, flag->name);
            if (flag->letter != 0)
                (void)printf(" -s %c", flag->letter);
            if (flag->value != NULL)
                (void)printf(is_path(flag) ? " -r -F" : " -x");
            if (choices_of(flag) != NULL) {
                (void)printf(" -a '");
                print_choices(flag->value);
                (void)printf("'");
            }
            (void)printf(" -d '");
            fish_text(flag->help);
            (void)printf("'\n");
        }
    }
}

int verb_completion(const struct arguments *arguments)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };
    for (size_t i = 0; arguments->operand_count == 1 && i < ARRAY_LEN(shells); i++)
        if (strcmp(arguments->operands[0], shells[i].shell) == 0) {
            shells[i].print();
            return EXIT_GOOD;
        }
    return usage_error("`completion` takes bash, zsh or fish");
}
