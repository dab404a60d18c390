/*
 * The verbs `replay`, `diff` and `capture`.
 */
#include "gateway/cli/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/base/secret.h"
#include "gateway/cli/replay_groups.h"

struct run {
    struct loaded loaded;
    struct replay_answers answers;
};

struct replaying {
    struct arena arena;
    struct captured_list captures;
    struct replay_groups groups;
};
static struct replaying replaying;

static int open_run(struct run *run, const char *config)
{
    loaded_open(&run->loaded, config);
    if (run->loaded.config != NULL)
        return EXIT_GOOD;
    loaded_print(&run->loaded, STDERR_FILENO, false);
    return EXIT_BAD;
}

static int read_captures(const struct arguments *arguments, const struct config *config)
{
    const char *key = arguments->values[FLAG_KEY], *file = arguments->values[FLAG_FILE];
    arena_init(&replaying.arena, NULL, 0, NULL, (size_t)16 << 30);
    replaying.groups.arena = &replaying.arena;
    if (key == NULL)
        return usage_error("needs --key FILE: the private key that captures are sealed to");
    if (file == NULL && config->audit.file.text.len > 0)
        file = arena_cstring(&replaying.arena, config->audit.file.text);
    if (file == NULL)
        return usage_error("the configuration has no audit.file: say which by --file");
    const char *wrong = captured_read(&replaying.captures, file, key, &replaying.arena);
    if (wrong != NULL)
        return usage_error("captures of %s: %s", file, wrong);
    replaying.groups.unreadable = replaying.captures.unreadable;
    replaying.groups.incomplete = replaying.captures.incomplete;
    return EXIT_GOOD;
}

static bool decide(struct run *run)
{
    return replay_answers(&run->loaded, &replaying.captures, &run->answers, &replaying.arena);
}

/* `from` NULL: what was decided then. */
static int compare(const struct run *from, const struct run *to, bool json)
{
    const struct captured_list *list = &replaying.captures;
    for (size_t i = 0; i < list->count; i++) {
        const json_t *facts = list->items[i].facts;
        const json_t *before =
            from != NULL ? from->answers.decisions[i] : json_object_get(facts, "decision");
        if (before == NULL)
            groups_unknown(&replaying.groups, from->answers.whys[i]);
        else if (to->answers.decisions[i] == NULL)
            groups_unknown(&replaying.groups, to->answers.whys[i]);
        else
            groups_compare(&replaying.groups, facts, before, to->answers.decisions[i],
                           &replaying.arena);
    }
    groups_print(&replaying.groups, json);
    (void)fflush(stdout);
    return replaying.groups.changed > 0 ? EXIT_CHANGED : EXIT_GOOD;
}

int verb_replay(const struct arguments *arguments)
{
    static struct run run;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 0 || arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("`replay` takes -c FILE and --key FILE");
    int code = open_run(&run, arguments->values[FLAG_CONFIG]);
    if (code == EXIT_GOOD)
        code = read_captures(arguments, run.loaded.config);
    if (code != EXIT_GOOD)
        return code;
    if (!decide(&run))
        return EXIT_TROUBLE;
    return compare(NULL, &run, json);
}

int verb_diff(const struct arguments *arguments)
{
    static struct run from, to;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if (arguments->operand_count != 2)
        return usage_error("`diff` takes two configurations: OLD NEW");
    int code = open_run(&from, arguments->operands[0]);
    if (code == EXIT_GOOD)
        code = open_run(&to, arguments->operands[1]);
    if (code == EXIT_GOOD)
        code = read_captures(arguments, from.loaded.config);
    if (code != EXIT_GOOD)
        return code;
    if (!decide(&from) || !decide(&to))
        return EXIT_TROUBLE;
    return compare(&from, &to, json);
}

/* ---- keys ---- */

static int make_key(const char *to)
{
    uint8_t public[CAPTURE_KEY_BYTES], secret[CAPTURE_KEY_BYTES];
    char private_text[CAPTURE_KEY_TEXT + 2], public_text[CAPTURE_KEY_TEXT + 2];
    struct text first = text_fixed(private_text, sizeof(private_text));
    struct text second = text_fixed(public_text, sizeof(public_text));
    if (to == NULL)
        return usage_error("`capture key` takes --to FILE, which will hold the private key");
    if (!capture_key_pair(public, secret))
        return usage_error("no key could be made");
    capture_key_write(&first, secret);
    capture_key_write(&second, public);
    text_char(&first, '\n');
    text_char(&second, '\n');
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && print_all(fd, text_span(&first)) && fsync(fd) == 0;
    int reason = errno;
    if (fd >= 0)
        (void)close(fd);
    wipe(secret, sizeof(secret));
    wipe(private_text, sizeof(private_text));
    if (!good)
        return usage_error("%s: %s", to, strerrordesc_np(reason));
    (void)print_all(STDOUT_FILENO, text_span(&second));
    return EXIT_GOOD;
}

static int list_captures(const struct arguments *arguments, bool json)
{
    static struct run run;
    int code = open_run(&run, arguments->values[FLAG_CONFIG]);
    if (code == EXIT_GOOD)
        code = read_captures(arguments, run.loaded.config);
    for (size_t i = 0; code == EXIT_GOOD && i < replaying.captures.count; i++) {
        const json_t *facts = replaying.captures.items[i].facts;
        char line[512];
        struct text out = text_fixed(line, sizeof(line));
        if (json) {
            (void)json_dumpf(facts, stdout, JSON_COMPACT);
            (void)putchar('\n');
            continue;
        }
        decision_text(&out, json_object_get(facts, "decision"));
        (void)printf("%s  %.*s\n", json_string_value(json_object_get(facts, "id")),
                     (int)out.len, out.p);
    }
    return code;
}

static bool is_chunked(struct span head)
{
    struct span line;
    while (span_cut(&head, '\n', &line))
        if (span_starts_nocase(line, SPAN("transfer-encoding:")))
            return true;
    return false;
}

/* As the client sent it, but that a chunked body is one chunk now. */
static bool write_request(int fd, const struct captured *captured)
{
    char size[32];
    struct text chunk = text_fixed(size, sizeof(size));
    struct span head = captured->parts.head, body = captured->parts.body;
    if (!print_all(fd, head))
        return false;
    if (!is_chunked(head))
        return print_all(fd, body);
    text_format(&chunk, "%zx\r\n", body.len);
    if (body.len > 0 && !(print_all(fd, text_span(&chunk)) && print_all(fd, body) &&
                          print_all(fd, SPAN("\r\n"))))
        return false;
    return print_all(fd, SPAN("0\r\n\r\n"));
}

/* ID.http in the folder. What was not kept whole would be another request: it is left out. */
static int export_one(int folder, const struct captured *captured)
{
    char name[64];
    struct text text = text_fixed(name, sizeof(name));
    const char *id = json_string_value(json_object_get(captured->facts, "id"));
    for (const char *p = id; p != NULL && *p != '\0'; p++)
        if (hex_value(*p) < 0 && *p != '-')
            id = NULL;
    text_format(&text, "%s.http", id != NULL ? id : "");
    if (id == NULL || text_cstring(&text) == NULL ||
        !json_is_true(json_object_get(captured->facts, "whole")))
        return 0;
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write_request(fd, captured);
    int reason = errno;
    if (fd >= 0)
        (void)close(fd);
    if (!good)
        (void)usage_error("%s: %s", name, strerrordesc_np(reason));
    return good ? 1 : -1;
}

static int export_captures(const struct arguments *arguments, bool json)
{
    static struct run run;
    const char *to = arguments->values[FLAG_TO];
    size_t done = 0;
    if (to == NULL)
        return usage_error("`capture export` takes --to FOLDER, where the requests go");
    int folder = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return usage_error("%s: %s", to, strerrordesc_np(errno));
    int code = open_run(&run, arguments->values[FLAG_CONFIG]);
    if (code == EXIT_GOOD)
        code = read_captures(arguments, run.loaded.config);
    for (size_t i = 0; code == EXIT_GOOD && i < replaying.captures.count; i++) {
        int wrote = export_one(folder, &replaying.captures.items[i]);
        done += wrote > 0;
        code = wrote < 0 ? EXIT_TROUBLE : EXIT_GOOD;
    }
    (void)close(folder);
    if (code == EXIT_GOOD)
        (void)printf(json ? "{\"written\":%zu,\"captured\":%zu}\n" : "%zu of %zu\n", done,
                     replaying.captures.count);
    return code;
}

int verb_capture(const struct arguments *arguments)
{
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    const char *what = arguments->operand_count == 1 ? arguments->operands[0] : "";
    if (strcmp(what, "key") == 0)
        return make_key(arguments->values[FLAG_TO]);
    if (strcmp(what, "list") == 0 && arguments->values[FLAG_CONFIG] != NULL)
        return list_captures(arguments, json);
    if (strcmp(what, "export") == 0 && arguments->values[FLAG_CONFIG] != NULL)
        return export_captures(arguments, json);
    return usage_error("`capture` takes `key --to FILE`, `list -c FILE --key FILE`, or "
                       "`export -c FILE --key FILE --to FOLDER`");
}
