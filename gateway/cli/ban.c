/*
 * `sallyport ban list|add|del|why`: who is kept out, by hand or by the gateway's own judgement.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/addr.h"
#include "gateway/cli/control.h"

static const char usage[] =
    "ban list | ban add ADDRESS [--for 2h] [--reason TEXT] [--force] | ban del ADDRESS | "
    "ban why ADDRESS";

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_time(const char *before, long long at_s)
{
    time_t at = (time_t)at_s;
    struct tm tm;
    char text[64] = "";
    if (localtime_r(&at, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm);
    (void)printf("%s%s", before, text);
}

static void print_ban(const json_t *ban)
{
    (void)printf("%-24s %-10s", text_of(ban, "net"), text_of(ban, "cause"));
    print_time(" until ", number_of(ban, "until"));
    if (number_of(ban, "bans_before") > 0)
        (void)printf("  (ban %lld)", number_of(ban, "bans_before") + 1);
    if (*text_of(ban, "site") != '\0')
        (void)printf("  site %s", text_of(ban, "site"));
    if (*text_of(ban, "reason") != '\0')
        (void)printf("  %s", text_of(ban, "reason"));
    (void)putchar('\n');
}

static void print_list(const json_t *answer)
{
    const json_t *bans = json_object_get(answer, "bans");
    size_t i;
    json_t *ban;
    json_array_foreach(bans, i, ban) print_ban(ban);
    if (json_array_size(bans) == 0)
        (void)printf("nobody is banned\n");
}

static void print_why(const json_t *answer)
{
    size_t i;
    json_t *offence;
    if (json_is_true(json_object_get(answer, "banned")))
        print_ban(json_object_get(answer, "ban"));
    else
        (void)printf("not banned; %lld points now, banned %lld times lately\n",
                     number_of(answer, "points"), number_of(answer, "bans_so_far"));
    if (json_is_true(json_object_get(answer, "never")))
        (void)printf("the configuration says that it is never banned\n");
    json_array_foreach(json_object_get(answer, "evidence"), i, offence)
    {
        print_time("  ", number_of(offence, "at"));
        (void)printf("  %-10s site %s  request %s\n", text_of(offence, "cause"),
                     text_of(offence, "site"), text_of(offence, "request"));
    }
}

/* ---- where this very session comes from ---- */

enum { PARENTS_MAX = 64, SESSION_BYTES = 128 };

static const char session_name[] = "SSH_CONNECTION";

/* As the process was given it, if we may look. */
static bool session_of(pid_t pid, char session[SESSION_BYTES])
{
    const size_t name_len = sizeof(session_name) - 1;
    char path[32], *entry = NULL;
    size_t size = 0;
    ssize_t len;
    bool found = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (!found && (len = getdelim(&entry, &size, '\0', file)) > 0)
        found = (size_t)len > name_len && entry[name_len] == '=' &&
                memcmp(entry, session_name, name_len) == 0 &&
                snprintf(session, SESSION_BYTES, "%s", entry + name_len + 1) < SESSION_BYTES;
    free(entry);
    (void)fclose(file);
    return found;
}

/* 0: there is none, or it cannot be told. */
static pid_t parent_of(pid_t pid)
{
    char path[32], line[128];
    int parent = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    /* the kernel's own number: NOLINTNEXTLINE(cert-err34-c) */
    while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "PPid: %d", &parent) != 1)
        ;
    (void)fclose(file);
    return parent;
}

/* sudo and su pass it on to nobody: then a process above this one was given it. */
static bool find_session(char session[SESSION_BYTES])
{
    pid_t pid = getpid();
    for (unsigned i = 0; i < PARENTS_MAX && pid > 1; i++, pid = parent_of(pid))
        if (session_of(pid, session))
            return true;
    return false;
}

/* Whoever bans that is out. */
static bool is_own_address(const char *net)
{
    char session[SESSION_BYTES] = "";
    struct cidr cidr;
    struct addr addr;
    struct span rest, own;
    if (!cidr_parse(span_text(net), true, &cidr))
        return false;
    if (cidr.addr.family == ADDR_V6 && cidr.bits > 64)
        cidr.bits = 64;
    bool loopback = cidr.addr.family == ADDR_V4
                        ? cidr.addr.bytes[0] == 127
                        : addr_parse(SPAN("::1"), &addr) && cidr_contains(&cidr, &addr);
    if (loopback)
        return true;
    if (!find_session(session))
        return false;
    rest = span_text(session);
    return span_cut(&rest, ' ', &own) && addr_parse(own, &addr) && cidr_contains(&cidr, &addr);
}

static int ask(const struct arguments *arguments, json_t *request,
               void (*print)(const json_t *answer))
{
    bool json;
    json_t *answer = NULL;
    if (!output_is_json(arguments, &json)) {
        json_decref(request);
        return EXIT_BAD;
    }
    int code = control_ask(arguments, request, &answer);
    if (code != EXIT_GOOD)
        return code;
    bool good = json_is_true(json_object_get(answer, "ok"));
    if (json) {
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (!good) {
        (void)usage_error("%s", text_of(answer, "error"));
    } else {
        print(answer);
    }
    json_decref(answer);
    return good ? EXIT_GOOD : EXIT_TROUBLE;
}

static void print_nothing(const json_t *answer)
{
    (void)answer;
}

static int add(const struct arguments *arguments, const char *net)
{
    const char *length = arguments->values[FLAG_FOR], *reason = arguments->values[FLAG_REASON];
    bool force = arguments->values[FLAG_FORCE] != NULL;
    int64_t seconds = 3600;
    if (length != NULL && !length_read(span_text(length), &seconds))
        return usage_error("--for takes a time of at least a second: 90s, 2h, 7d");
    if (is_own_address(net) && !force)
        return usage_error("%s is where you are yourself; --force bans it all the same", net);
    json_t *request =
        json_pack("{s:s, s:s, s:s, s:I, s:b}", "command", "ban", "action", "add", "net", net,
                  "seconds", (json_int_t)seconds, "force", (int)force);
    if (request != NULL && reason != NULL)
        (void)json_object_set_new(request, "reason", json_string(reason));
    return ask(arguments, request, print_ban);
}

int verb_ban(const struct arguments *arguments)
{
    static const struct {
        const char *name;
        void (*print)(const json_t *answer);
        unsigned operands;
    } actions[] = {
        { "list", print_list, 1 },
        { "del", print_nothing, 2 },
        { "why", print_why, 2 },
    };
    const char *action = arguments->operand_count > 0 ? arguments->operands[0] : "list";
    const char *net = arguments->operand_count > 1 ? arguments->operands[1] : "";
    if (strcmp(action, "add") == 0 && arguments->operand_count == 2)
        return add(arguments, net);
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(action, actions[i].name) != 0 ||
            (arguments->operand_count > 0 ? arguments->operand_count : 1) !=
                actions[i].operands)
            continue;
        return ask(arguments,
                   json_pack("{s:s, s:s, s:s}", "command", "ban", "action", action, "net", net),
                   actions[i].print);
    }
    return usage_error("%s", usage);
}
