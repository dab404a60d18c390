/*
 * A demo shop to stand behind the gateway, naive on purpose: it shows what was searched for and
 * said without escaping a byte, and asks nobody at /admin for a password. It serves 127.0.0.1
 * on a free port, which it prints as `port=N`, until a signal.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 64, REQUEST_MAX = 16 * 1024, PAGE_MAX = 64 * 1024, COMMENT_MAX = 512 };

struct client {
    int fd;
    size_t len;
    char bytes[REQUEST_MAX + 1];
};

struct page {
    size_t len;
    char bytes[PAGE_MAX];
};

static struct client clients[CLIENTS_MAX];
static char last_comment[COMMENT_MAX];

__attribute__((format(printf, 2, 3))) static void add(struct page *page, const char *form, ...)
{
    size_t room = sizeof page->bytes - page->len;
    va_list args;
    va_start(args, form);
    int n = vsnprintf(page->bytes + page->len, room, form, args);
    va_end(args);
    page->len += n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static bool write_all(int fd, const struct page *page)
{
    size_t at = 0;
    while (at < page->len) {
        ssize_t n = send(fd, page->bytes + at, page->len - at, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Undoes form encoding in place, as naively as one does. */
static const char *decode(char *text)
{
    char *out = text;
    unsigned value;
    for (const char *p = text; *p != '\0'; p++) {
        *out = *p == '+' ? ' ' : *p;
        if (*p == '%' && sscanf(p + 1, "%2x", &value) == 1 && p[2] != '\0') {
            *out = (char)value;
            p += 2;
        }
        out++;
    }
    *out = '\0';
    return text;
}

/* ---- pages ----------------------------------------------------------------------------------
 */

static void front(struct page *page, char *query)
{
    (void)query;
    add(page,
        "<!doctype html><title>Chair shop</title><h1>Chairs</h1><p>Served by the demo "
        "backend.</p><form action=/search><input name=q><button>Search</button></form>"
        "<p>Last comment: %s</p><form method=post action=/comment><input name=text>"
        "<button>Say</button></form>\n",
        last_comment);
}

static void search(struct page *page, char *query)
{
    add(page, "<!doctype html><p>SELECT * FROM chairs WHERE name = '%s'</p>\n",
        strncmp(query, "q=", 2) == 0 ? decode(query + 2) : "");
}

static void comment(struct page *page, char *body)
{
    const char *text = strncmp(body, "text=", 5) == 0 ? decode(body + 5) : "";
    (void)snprintf(last_comment, sizeof last_comment, "%s", text);
    add(page, "<!doctype html><p>Thank you: %s</p>\n", text);
}

static void admin(struct page *page, char *query)
{
    (void)query;
    add(page, "<!doctype html><title>Admin</title><h1>Delete all chairs?</h1>\n");
}

static void items(struct page *page, char *query)
{
    (void)query;
    add(page,
        "{\"items\": [{\"id\": 1, \"name\": \"oak\"}, {\"id\": 2, \"name\": \"ash\"}]}\n");
}

static const struct {
    const char *method, *path, *type;
    void (*make)(struct page *page, char *input); /* the query, or the body of a POST */
} pages[] = {
    { "GET", "/", "text/html", front },
    { "GET", "/search", "text/html", search },
    { "POST", "/comment", "text/html", comment },
    { "GET", "/admin", "text/html", admin },
    { "GET", "/api/items", "application/json", items },
};

/* ---- serving --------------------------------------------------------------------------------
 */

static bool answer(int fd, const char *method, char *target, char *body)
{
    static struct page page, out;
    const char *type = "text/plain", *status = "404 Not Found";
    char *query = target + strcspn(target, "?");

    page.len = out.len = 0;
    if (*query == '?')
        *query++ = '\0';
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(method, pages[i].method) != 0 || strcmp(target, pages[i].path) != 0)
            continue;
        pages[i].make(&page, strcmp(method, "POST") == 0 ? body : query);
        type = pages[i].type;
        status = "200 OK";
    }
    add(&out, "HTTP/1.1 %s\r\nServer: demo-shop/0.1\r\nContent-Type: %s\r\n", status, type);
    add(&out, "Content-Length: %zu\r\n\r\n%.*s", page.len, (int)page.len, page.bytes);
    return write_all(fd, &out);
}

/* Answers every request that is complete. False: the connection ends. */
static bool serve(struct client *client)
{
    char method[16], target[4096], body[REQUEST_MAX + 1], *end;

    client->bytes[client->len] = '\0';
    while ((end = strstr(client->bytes, "\r\n\r\n")) != NULL) {
        const char *field = strcasestr(client->bytes, "\r\nContent-Length:");
        size_t body_len = field != NULL && field < end ? strtoul(field + 17, NULL, 10) : 0;
        size_t used = (size_t)(end + 4 - client->bytes);
        if (body_len > REQUEST_MAX - used ||
            sscanf(client->bytes, "%15s %4095s", method, target) != 2)
            return false;
        if (used + body_len > client->len)
            return true;
        memcpy(body, end + 4, body_len);
        body[body_len] = '\0';
        if (!answer(client->fd, method, target, body))
            return false;
        client->len -= used + body_len;
        memmove(client->bytes, client->bytes + used + body_len, client->len + 1);
    }
    return client->len < REQUEST_MAX;
}

static void hear(struct client *client)
{
    ssize_t n = recv(client->fd, client->bytes + client->len, REQUEST_MAX - client->len, 0);
    client->len += n > 0 ? (size_t)n : 0;
    if (n > 0 && serve(client))
        return;
    (void)close(client->fd);
    client->fd = -1;
}

static void welcome(int listener)
{
    int fd = accept(listener, NULL, NULL);
    for (size_t i = 0; fd >= 0 && i < CLIENTS_MAX; i++) {
        if (clients[i].fd >= 0)
            continue;
        clients[i] = (struct client){ .fd = fd };
        return;
    }
    if (fd >= 0)
        (void)close(fd);
}

int main(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, size) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) != 0)
        return 1;
    printf("port=%u\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        clients[i].fd = -1;
    for (;;) {
        struct pollfd set[CLIENTS_MAX + 1] = { { .fd = listener, .events = POLLIN } };
        for (size_t i = 0; i < CLIENTS_MAX; i++)
            set[i + 1] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
        (void)poll(set, CLIENTS_MAX + 1, -1);
        for (size_t i = 0; i < CLIENTS_MAX; i++)
            if (set[i + 1].revents != 0)
                hear(&clients[i]);
        if (set[0].revents != 0)
            welcome(listener);
    }
}
