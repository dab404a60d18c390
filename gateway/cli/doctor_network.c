/*
 * What other servers do: applications that answer around the gateway, or send their clients in
 * circles; the shared store.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/doctor.h"
#include "gateway/load_rows.h"

enum { CONNECT_MS = 2000, ANSWER_MS = 5000, ANSWER_BYTES = 16 * 1024, INTERFACES_MAX = 64 };

/* ---- sockets ---- */

static bool is_ready(int fd, short events, int ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = events };
    return poll(&poll_fd, 1, ms) == 1;
}

/* A connected socket, or -1 and errno. */
static int dial(const struct sockaddr *address, socklen_t len)
{
    int error = 0;
    socklen_t size = sizeof(error);
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, address, len) == 0)
        return fd;
    error = errno;
    if (error == EINPROGRESS) {
        error = ETIMEDOUT;
        if (is_ready(fd, POLLOUT, CONNECT_MS) &&
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
            return fd;
    }
    (void)close(fd);
    errno = error;
    return -1;
}

static int dial_addr(const struct addr *addr)
{
    struct sockaddr_storage storage;
    if (addr->family != ADDR_V4 && addr->family != ADDR_V6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    socklen_t len = addr_to_sockaddr(addr, (struct sockaddr *)&storage);
    return dial((const struct sockaddr *)&storage, len);
}

static int dial_path(struct span path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (path.len >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path.p, path.len);
    return dial((const struct sockaddr *)&address, sizeof(address));
}

/* Sends, and reads until `until` stands there, or the end. */
static struct span converse(int fd, struct span request, const char *until, char *buffer)
{
    size_t len = 0;
    if (send(fd, request.p, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
        return span_of("", 0);
    while (len < ANSWER_BYTES && span_find(span_of(buffer, len), span_text(until)) < 0 &&
           is_ready(fd, POLLIN, ANSWER_MS)) {
        ssize_t got = recv(fd, buffer + len, ANSWER_BYTES - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    return span_of(buffer, len);
}

/* ---- around the gateway ---- */

static bool is_loopback(const struct addr *addr)
{
    static const uint8_t one[16] = { [15] = 1 };
    return addr->family == ADDR_V4 ? addr->bytes[0] == 127
                                   : memcmp(addr->bytes, one, sizeof(one)) == 0;
}

static bool is_private(const struct addr *addr)
{
    const uint8_t *b = addr->bytes;
    if (addr->family == ADDR_V4)
        return b[0] == 10 || b[0] == 127 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
               (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254) ||
               (b[0] == 100 && (b[1] & 0xc0) == 64);
    return is_loopback(addr) || (b[0] & 0xfe) == 0xfc ||
           (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

/* An application on this machine that listens on more than loopback. */
static void check_other_addresses(struct doctor *doctor, const struct upstream_server *server,
                                  const struct addr *addr)
{
    struct ifaddrs *all = NULL;
    unsigned tried = 0;
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *one = all; one != NULL && tried < INTERFACES_MAX;
         one = one->ifa_next) {
        struct addr other;
        if (one->ifa_addr == NULL ||
            (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6))
            continue;
        addr_from_sockaddr(&other, one->ifa_addr);
        if (is_loopback(&other) || (other.family == ADDR_V6 && is_private(&other)))
            continue;
        tried++;
        other.port = addr->port;
        int fd = dial_addr(&other);
        if (fd < 0)
            continue;
        (void)close(fd);
        char text[64];
        struct text shown = text_fixed(text, sizeof(text));
        addr_write(&shown, &other);
        doctor_say(
            doctor, HEALTH_BAD, "origin",
            "%.*s answers on %.*s port %u, too: clients can go around the gateway. Bind it "
            "to loopback",
            (int)server->label.len, server->label.p, (int)shown.len, shown.p, other.port);
        freeifaddrs(all);
        return;
    }
    freeifaddrs(all);
    doctor_say(doctor, HEALTH_GOOD, "origin", "%.*s is not to be reached around the gateway",
               (int)server->label.len, server->label.p);
}

/* ---- circles ---- */

static struct span field_of(struct span head, const char *name)
{
    struct span line;
    while (head.p != NULL && span_cut(&head, '\n', &line)) {
        struct span value = line, key;
        if (span_cut(&value, ':', &key) && value.p != NULL &&
            span_equal_nocase(key, span_text(name))) {
            while (value.len > 0 && value.p[value.len - 1] == '\r')
                value.len--;
            return span_trim(value);
        }
    }
    return span_of("", 0);
}

/* As the gateway asks: does it send the client to where the client is? */
static void check_circle(struct doctor *doctor, const struct site *site,
                         const struct upstream_server *server, int fd)
{
    char request[1024], buffer[ANSWER_BYTES];
    struct span host = site->host_count > 0 ? site->hosts[0] : SPAN("");
    struct text out = text_fixed(request, sizeof(request));
    if (host.len == 0 || host.p[0] == '*')
        host = SPAN("localhost");
    const char *scheme = site->tls ? "https" : "http";
    text_lit(&out, "GET / HTTP/1.1\r\nHost: ");
    text_add(&out, host);
    text_format(&out,
                "\r\nX-Forwarded-Proto: %s\r\nX-Forwarded-For: 192.0.2.1\r\n"
                "User-Agent: sallyport-doctor\r\nConnection: close\r\n\r\n",
                scheme);
    struct span answer = converse(fd, text_span(&out), "\r\n\r\n", buffer);
    struct text here = text_fixed(request, sizeof(request));
    text_format(&here, "%s://", scheme);
    text_add(&here, host);
    if (!span_starts(answer, SPAN("HTTP/1."))) {
        doctor_say(doctor, HEALTH_WARN, "origin", "%.*s accepts, but does not answer as HTTP/1",
                   (int)server->label.len, server->label.p);
        return;
    }
    struct span to = field_of(answer, "Location"), rest = to;
    bool same = span_starts(to, text_span(&here));
    if (same)
        rest = span_sub(to, here.len, to.len);
    if (same && (rest.len == 0 || span_equal(rest, SPAN("/"))))
        doctor_say(doctor, HEALTH_BAD, "redirects",
                   "%s: %.*s sends / to where the client is already: it does not believe "
                   "X-Forwarded-Proto",
                   site->name, (int)server->label.len, server->label.p);
    else
        doctor_say(doctor, HEALTH_GOOD, "origin", "%s: %.*s answers", site->name,
                   (int)server->label.len, server->label.p);
}

static void check_server(struct doctor *doctor, const struct site *site,
                         const struct upstream_server *server)
{
    bool local = server->url.path.len > 0 && span_equal(server->url.scheme, SPAN("unix"));
    int fd = -1;
    if (local)
        fd = dial_path(server->url.path);
    for (unsigned i = 0; !local && fd < 0 && i < server->addr_count; i++)
        fd = dial_addr(&server->addrs[i]);
    if (fd < 0) {
        doctor_say(doctor, HEALTH_BAD, "origin", "%s: %.*s cannot be reached: %s", site->name,
                   (int)server->label.len, server->label.p, strerrordesc_np(errno));
        return;
    }
    if (span_equal(server->url.scheme, SPAN("https")))
        doctor_say(doctor, HEALTH_GOOD, "origin", "%s: %.*s accepts connections", site->name,
                   (int)server->label.len, server->label.p);
    else
        check_circle(doctor, site, server, fd);
    (void)close(fd);
    if (server->addr_count > 0 && is_loopback(&server->addrs[0]))
        check_other_addresses(doctor, server, &server->addrs[0]);
    else if (server->addr_count > 0 && !is_private(&server->addrs[0]))
        doctor_say(doctor, HEALTH_WARN, "origin",
                   "%.*s has a public address: unless a firewall lets in the gateway alone, "
                   "clients can go around it",
                   (int)server->label.len, server->label.p);
}

static bool seen_before(const struct site *site, size_t route, const struct upstream *upstream)
{
    for (size_t i = 0; i < route; i++)
        if (site->routes[i].upstream == upstream)
            return true;
    return false;
}

void doctor_origins(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    for (size_t s = 0; s < config->site_count; s++)
        for (size_t r = 0; r < config->sites[s].route_count; r++) {
            const struct upstream *upstream = config->sites[s].routes[r].upstream;
            if (upstream == NULL || seen_before(&config->sites[s], r, upstream))
                continue;
            for (size_t i = 0; i < upstream->server_count; i++)
                check_server(doctor, &config->sites[s], &upstream->servers[i]);
        }
}

/* ---- the store ---- */

void doctor_store(struct doctor *doctor)
{
    const struct store *store = doctor->config->store;
    char buffer[ANSWER_BYTES];
    if (store == NULL)
        return;
    bool local = store->server.path.len > 0;
    int fd = local ? dial_path(store->server.path) : -1;
    for (unsigned i = 0; !local && fd < 0 && i < store->server.addr_count; i++)
        fd = dial_addr(&store->server.addrs[i]);
    if (fd < 0) {
        doctor_say(doctor, HEALTH_BAD, "store", "Redis cannot be reached: %s",
                   strerrordesc_np(errno));
        return;
    }
    if (store->server.tls != NULL) {
        doctor_say(doctor, HEALTH_GOOD, "store", "Redis accepts connections (TLS)");
    } else {
        struct span said = converse(fd, SPAN("PING\r\n"), "\r\n", buffer);
        if (span_starts(said, SPAN("+PONG")) || span_starts(said, SPAN("-NOAUTH")))
            doctor_say(doctor, HEALTH_GOOD, "store", "Redis answers%s",
                       said.p[0] == '-' ? ", and asks for a password" : "");
        else
            doctor_say(doctor, HEALTH_BAD, "store", "what is there does not answer as Redis");
    }
    (void)close(fd);
}
