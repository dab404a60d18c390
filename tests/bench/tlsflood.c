/*
 * A hostile TLS client, for tests/bench/floods.py: as much as one thread can of what costs the
 * server more than us, one connection after the other.
 *
 *     tlsflood ADDRESS PORT FROM KIND     until SIGTERM; then "connections longest-in-seconds"
 *
 * KIND: hello (the same ClientHello again and again, and nothing behind its answer), handshake
 * (a whole one, then nothing), update (KeyUpdate without end), tiny (records of one byte),
 * renegotiate (TLS 1.2), half (a ClientHello in records of one byte, and never its end).
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { BATCH = 32 * 1024, GIVE_UP_S = 5 };

static volatile sig_atomic_t stopping;
static struct sockaddr_in to, from;
static SSL_CTX *ctx;

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = { .tv_sec = GIVE_UP_S };

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Blocking, over memory: what is written waits until it is flushed. */
struct peer {
    int fd;
    SSL *ssl;
    BIO *in, *out;
};

static bool flush_out(struct peer *p)
{
    char *bytes;
    long len = BIO_get_mem_data(p->out, &bytes);
    bool good = len == 0 || send(p->fd, bytes, (size_t)len, MSG_NOSIGNAL) == len;

    (void)BIO_reset(p->out);
    return good;
}

static bool hear(struct peer *p)
{
    char bytes[16384];
    ssize_t n = recv(p->fd, bytes, sizeof bytes, 0);

    return n > 0 && BIO_write(p->in, bytes, (int)n) == n;
}

static void shut(struct peer *p)
{
    SSL_free(p->ssl);
    close(p->fd);
}

static bool meet(struct peer *p, int version)
{
    *p = (struct peer){ .fd = open_socket() };
    if (p->fd < 0)
        return false;
    p->ssl = SSL_new(ctx);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_max_proto_version(p->ssl, version);
    SSL_set_tlsext_host_name(p->ssl, "localhost");
    SSL_set_connect_state(p->ssl);
    for (int done; (done = SSL_do_handshake(p->ssl)) != 1;) {
        bool more = SSL_get_error(p->ssl, done) == SSL_ERROR_WANT_READ;
        if (!more || !flush_out(p) || !hear(p)) {
            shut(p);
            return false;
        }
    }
    if (flush_out(p))
        return true;
    shut(p);
    return false;
}

/* Until the other side has gone, or we were stopped. */
static void pour(struct peer *p, bool (*more)(struct peer *p))
{
    while (!stopping && more(p) && flush_out(p)) {
        char bytes[16384];
        ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0)
            break;
    }
}

static bool key_updates(struct peer *p)
{
    while (BIO_pending(p->out) < BATCH)
        if (SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
            SSL_do_handshake(p->ssl) != 1)
            return false;
    return true;
}

static bool tiny_records(struct peer *p)
{
    while (BIO_pending(p->out) < BATCH)
        if (SSL_write(p->ssl, "x", 1) != 1)
            return false;
    return true;
}

static bool renegotiations(struct peer *p)
{
    return SSL_renegotiate(p->ssl) == 1 && SSL_do_handshake(p->ssl) != 1 && flush_out(p) &&
           hear(p) && SSL_do_handshake(p->ssl) == 1;
}

static bool upload(struct peer *p)
{
    static const char head[] = "POST /upload HTTP/1.1\r\nHost: bench\r\n"
                               "Content-Length: 9000000\r\n\r\n";

    return SSL_write(p->ssl, head, sizeof head - 1) == sizeof head - 1;
}

static void attack(const char *kind)
{
    struct peer p;
    int version = strcmp(kind, "renegotiate") == 0 ? TLS1_2_VERSION : 0;

    if (!meet(&p, version))
        return;
    if (strcmp(kind, "update") == 0)
        pour(&p, key_updates);
    else if (strcmp(kind, "tiny") == 0 && upload(&p))
        pour(&p, tiny_records);
    else if (strcmp(kind, "renegotiate") == 0)
        pour(&p, renegotiations);
    shut(&p);
}

/* ---- a ClientHello as it is -------------------------------------------------------------- */

static char hello[4096];
static size_t hello_len;

static void record_hello(void)
{
    struct peer p = { .fd = -1, .ssl = SSL_new(ctx) };

    p.in = BIO_new(BIO_s_mem());
    p.out = BIO_new(BIO_s_mem());
    SSL_set_bio(p.ssl, p.in, p.out);
    SSL_set_tlsext_host_name(p.ssl, "localhost");
    SSL_set_connect_state(p.ssl);
    (void)SSL_do_handshake(p.ssl);
    hello_len = (size_t)BIO_read(p.out, hello, sizeof hello);
    SSL_free(p.ssl);
    ERR_clear_error();
}

static void say_hello(bool half)
{
    char bytes[6 * sizeof hello], answer[16384];
    size_t len = 0;
    int fd = open_socket();

    if (fd < 0)
        return;
    if (half) {
        for (size_t i = 5; i < hello_len - 1; i++, len += 6) {
            memcpy(bytes + len, "\x16\3\1\0\1", 5);
            bytes[len + 5] = hello[i];
        }
    } else {
        memcpy(bytes, hello, len = hello_len);
    }
    if (send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len && !half)
        (void)recv(fd, answer, sizeof answer, 0);
    close(fd);
}

int main(int argc, char **argv)
{
    double longest = 0;
    unsigned long count = 0;

    if (argc != 5)
        return 2;
    to = (struct sockaddr_in){ .sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10)) };
    from.sin_family = AF_INET;
    if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 ||
        inet_pton(AF_INET, argv[3], &from.sin_addr) != 1)
        return 2;
    signal(SIGTERM, stop);
    ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return 1;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    record_hello();
    bool half = strcmp(argv[4], "half") == 0;
    for (; !stopping; count++) {
        double began = now(), lasted;
        if (half || strcmp(argv[4], "hello") == 0)
            say_hello(half);
        else
            attack(argv[4]);
        lasted = now() - began;
        if (!stopping && lasted > longest)
            longest = lasted;
    }
    printf("%lu %.3f\n", count, longest);
    return 0;
}
