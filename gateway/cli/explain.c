/*
 * `sallyport explain`: what the gateway decides about a request, and why. Requests come as what
 * people have at hand, or as the id of one that was answered: that one stands in the log, and
 * where it was captured it is decided once more.
 */
#include "gateway/cli/explain.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/audit/search.h"
#include "gateway/base/file.h"
#include "gateway/cli/replay.h"

enum { REQUEST_BYTES_MAX = 64 * 1024 * 1024 };

struct explaining {
    struct loaded loaded;
    struct captured_list captures;
    const struct arguments *arguments;
    struct addr from;
    bool json, https;
    bool captures_read; /* once, whatever is asked of them */
};
static struct explaining explaining;

/* ---- what is asked ---- */

static const char *read_input(const char *name, struct arena *arena, struct span *text)
{
    struct file file;
    if (strcmp(name, "-") != 0) {
        const char *wrong = file_read(name, REQUEST_BYTES_MAX, arena, &file);
        *text = wrong == NULL ? file.text : span_of(NULL, 0);
        return wrong;
    }
    struct text in = text_growing(arena, 65536);
    ssize_t got;
    while (text_reserve(&in, 65536) && (got = read(STDIN_FILENO, in.p + in.len, 65536)) > 0)
        in.len += (size_t)got;
    *text = text_span(&in);
    return in.len > REQUEST_BYTES_MAX ? "longer than 64 MiB" : NULL;
}

static const char *requests_named(const char *what, struct arena *arena,
                                  struct asked_list *list)
{
    struct span text = span_text(what);
    const char *wrong = NULL;
    bool itself = span_starts(text, SPAN("curl ")) || span_starts(text, SPAN("http://")) ||
                  span_starts(text, SPAN("https://")) || span_starts(text, SPAN("{"));
    *list = (struct asked_list){ .count = 0 };
    if (!itself)
        wrong = read_input(what, arena, &text);
    return wrong != NULL ? wrong : requests_from(text, arena, list);
}

const char *request_named(const char *what, struct arena *arena, struct asked *asked)
{
    struct asked_list list;
    const char *wrong = requests_named(what, arena, &list);
    if (wrong == NULL)
        *asked = list.items[0];
    return wrong;
}

/* ---- one that was answered ---- */

static bool is_id(const char *what)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(what) != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (form[i] == 'x' ? hex_value(what[i]) < 0 : what[i] != form[i])
            return false;
    return true;
}

static const char *log_path(struct explaining *e)
{
    const char *file = e->arguments->values[FLAG_FILE];
    struct span named = e->loaded.config->audit.file.text;
    if (file != NULL || named.len == 0)
        return file;
    return arena_cstring(&e->loaded.arena, named);
}

struct found {
    struct arena *arena;
    struct span line;
};

static bool keep_line(void *context, struct span line)
{
    struct found *found = context;
    found->line = arena_copy(found->arena, line);
    return false;
}

/* As it was decided then; which may have been by another configuration. */
static int explain_recorded(struct explaining *e, const char *id)
{
    struct found found = { .arena = &e->loaded.arena };
    struct query query = { .limit = 1 };
    struct search_stats stats;
    const char *path = log_path(e);
    query.values[KEY_ID] = span_text(id);
    if (path == NULL)
        return usage_error("the configuration has no audit.file: say which by --file");
    enum err err = search(path, &query, &e->loaded.arena, keep_line, &found, &stats);
    if (err != OK || found.line.len == 0) {
        (void)usage_error("no record of %s in %s", id, path);
        return EXIT_TROUBLE;
    }
    if (!e->json)
        (void)printf("As it was recorded. --key FILE decides a captured request once more.\n");
    return explain_show(e->loaded.config, found.line, e->json);
}

/* Scripts get one line for each that they ask of. */
static void tell_unknown(const json_t *facts, const char *why)
{
    json_t *told =
        json_pack("{s:O?, s:s?}", "id", json_object_get(facts, "id"), "unknown", why);
    (void)json_dumpf(told, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(told);
}

static int explain_captured(struct explaining *e, const struct captured *captured)
{
    const char *why = NULL;
    struct span line = replay_record(&e->loaded, captured, &why);
    if (line.len == 0) {
        if (e->json)
            tell_unknown(captured->facts, why);
        return usage_error("it cannot be decided once more: %s", why);
    }
    if (!e->json)
        (void)printf("Decided once more, with what was known of it then.\n");
    return explain_show(e->loaded.config, line, e->json);
}

/* With --key; many ids are looked for in the same. */
static const char *read_captures(struct explaining *e)
{
    const char *path = log_path(e), *key = e->arguments->values[FLAG_KEY];
    if (e->captures_read || key == NULL || path == NULL)
        return NULL;
    e->captures_read = true;
    return captured_read(&e->captures, path, key, &e->loaded.arena);
}

static int explain_id(struct explaining *e, const char *id)
{
    for (size_t i = 0; i < e->captures.count; i++) {
        const json_t *facts = e->captures.items[i].facts;
        const char *kept = json_string_value(json_object_get(facts, "id"));
        if (kept != NULL && strcmp(kept, id) == 0)
            return explain_captured(e, &e->captures.items[i]);
    }
    return explain_recorded(e, id);
}

/* ---- all that is asked ---- */

static int explain_request(struct explaining *e, const struct asked *asked)
{
    const struct explain_client client = { .from = e->from, .https = e->https || asked->https };
    struct span line = explain_record(&e->loaded, asked->bytes, &client);
    return line.len > 0 ? explain_show(e->loaded.config, line, e->json) : EXIT_TROUBLE;
}

/* Each in a process of its own, beginning anew: none counts for another. */
static int in_child(struct explaining *e, const char *id, const struct asked *asked)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int code = id != NULL ? explain_id(e, id) : explain_request(e, asked);
        (void)fflush(stdout);
        _exit(code);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return EXIT_TROUBLE;
    return WEXITSTATUS(status);
}

/* What went wrong outweighs what was refused. */
static int worse(int a, int b)
{
    if (a == EXIT_GOOD || b == EXIT_GOOD)
        return a == EXIT_GOOD ? b : a;
    return a == EXIT_REFUSED ? b : a;
}

static int explain_one(struct explaining *e, const char *what)
{
    struct asked_list list;
    const char *wrong = is_id(what) ? read_captures(e) : NULL;
    if (wrong != NULL)
        return usage_error("captures of %s: %s", log_path(e), wrong);
    if (is_id(what))
        return in_child(e, what, NULL);
    wrong = requests_named(what, &e->loaded.arena, &list);
    if (wrong != NULL)
        return usage_error("cannot make a request of %s: %s", what, wrong);
    int code = EXIT_GOOD;
    for (size_t i = 0; i < list.count; i++)
        code = worse(code, in_child(e, NULL, &list.items[i]));
    return code;
}

int verb_explain(const struct arguments *arguments)
{
    struct explaining *e = &explaining;
    const char *from = arguments->values[FLAG_FROM];
    e->arguments = arguments;
    e->https = arguments->values[FLAG_HTTPS] != NULL;
    e->from = (struct addr){ .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } };
    if (!output_is_json(arguments, &e->json))
        return EXIT_BAD;
    if (arguments->operand_count == 0 || arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("`explain` takes -c FILE and requests: a curl command line in "
                           "quotes, a URL, a file (- for standard input) with a HAR or the "
                           "bytes, or the id of one that was answered");
    if (from != NULL && !addr_parse(span_text(from), &e->from))
        return usage_error("--from takes an address, not \"%s\"", from);
    loaded_open(&e->loaded, arguments->values[FLAG_CONFIG]);
    int code = EXIT_GOOD;
    if (e->loaded.config == NULL) {
        loaded_print(&e->loaded, STDERR_FILENO, false);
        code = EXIT_BAD;
    }
    for (unsigned i = 0; e->loaded.config != NULL && i < arguments->operand_count; i++)
        code = worse(code, explain_one(e, arguments->operands[i]));
    (void)fflush(stdout);
    /* Threads of stages may run still: there is nothing to clear up for them. */
    _exit(code);
}
