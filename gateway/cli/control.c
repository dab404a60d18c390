/*
 * The client's side of the control socket. There is no deadline here: `reload --wait` takes as
 * long as a load.
 */
#include "gateway/cli/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/clean.h"
#include "gateway/cli/loaded.h"

enum { ANSWER_BYTES_MAX = 8 * 1024 * 1024, TRIES = 5, PAUSE_US = 200 * 1000 };

/* From --control, else from the configuration; false after a message and with the exit code. */
static int find_socket(const struct arguments *arguments, struct sockaddr_un *name)
{
    struct loaded loaded = { .config = NULL };
    const char *given = arguments->values[FLAG_CONTROL], *path = arguments->values[FLAG_CONFIG];
    struct span socket_path = span_text(given);
    if (given == NULL && path == NULL)
        return usage_error("needs -c FILE or --control PATH, to find the gateway");
    if (given == NULL) {
        loaded_outline(&loaded, path);
        if (loaded.config == NULL) {
            loaded_print(&loaded, STDERR_FILENO, false);
            loaded_close(&loaded);
            return EXIT_BAD;
        }
        socket_path = loaded.config->server.control.text;
    }
    int code = EXIT_GOOD;
    *name = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (socket_path.len == 0 || socket_path.len >= sizeof(name->sun_path))
        code = usage_error("the path of the control socket is empty or too long");
    else
        memcpy(name->sun_path, socket_path.p, socket_path.len);
    if (given == NULL)
        loaded_close(&loaded);
    return code;
}

static char *read_line(int fd, size_t *len)
{
    char *buffer = malloc(ANSWER_BYTES_MAX);
    *len = 0;
    while (buffer != NULL && *len < ANSWER_BYTES_MAX) {
        ssize_t got = recv(fd, buffer + *len, ANSWER_BYTES_MAX - *len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        *len += (size_t)got;
    }
    return buffer;
}

/* The parsed answer, or NULL when there was none. */
static json_t *ask_once(const struct sockaddr_un *name, const char *line)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)name, sizeof(*name)) != 0) {
        (void)usage_error("cannot reach the gateway at %s: %s", name->sun_path,
                          strerrordesc_np(errno));
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    json_t *answer = NULL;
    if (print_all(fd, span_text(line)) && print_all(fd, SPAN("\n"))) {
        size_t len;
        char *text = read_line(fd, &len);
        if (text != NULL)
            answer = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
        free(text);
    }
    (void)close(fd);
    if (!json_is_object(answer)) {
        (void)usage_error("the gateway at %s gave no answer", name->sun_path);
        json_decref(answer);
        return NULL;
    }
    return answer;
}

/* A steward that was just replaced by another generation's. */
static bool is_again(const char *error)
{
    return error != NULL && strcmp(error, "again") == 0;
}

int control_ask(const struct arguments *arguments, json_t *request, json_t **answer)
{
    struct sockaddr_un name;
    char *line = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    int code = line != NULL ? find_socket(arguments, &name) : EXIT_TROUBLE;
    if (code != EXIT_GOOD) {
        free(line);
        return code;
    }
    for (int i = 0; i < TRIES; i++) {
        *answer = ask_once(&name, line);
        if (*answer == NULL || !is_again(json_string_value(json_object_get(*answer, "error"))))
            break;
        json_decref(*answer);
        *answer = NULL;
        (void)usleep(PAUSE_US);
    }
    free(line);
    return *answer != NULL ? EXIT_GOOD : EXIT_TROUBLE;
}

int control_tell(json_t *answer, bool json, void (*print)(const json_t *answer))
{
    bool good = json_is_true(json_object_get(answer, "ok"));
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (json) {
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (good) {
        clean_json(answer);
        print(answer);
    } else {
        (void)usage_error("%s", is_again(error) ? "the master does not answer"
                                : error != NULL ? error
                                                : "refused");
    }
    json_decref(answer);
    return good ? EXIT_GOOD : EXIT_TROUBLE;
}
