/*
 * Names asked of name servers, by c-ares on a loop. c-ares does retries, timeouts, TCP, search
 * domains and the check that an answer is one to what was asked; what the answer says is read
 * by dns.h. Not for the request path.
 */
#ifndef SALLYPORT_RESOLVER_H
#define SALLYPORT_RESOLVER_H

#include "gateway/net/dns.h"
#include "gateway/net/loop.h"

struct resolver;

/*
 * `servers` as in "192.0.2.1:53,[2001:db8::1]"; empty: those of /etc/resolv.conf. Files are
 * read here and never again. NULL: no memory, or a server that is none.
 */
struct resolver *resolver_open(struct loop *loop, const char *servers);
/* Questions that are open end with ERR_CLOSED, told before this returns. */
void resolver_close(struct resolver *resolver);

struct question {
    /*
     * OK: `answer` is the server's word, and perhaps has no records: there is no such name, or
     * none of that type. Others: nobody could say. May be called from inside of resolver_ask.
     */
    void (*done)(struct question *question, enum err err, const struct dns_answer *answer);
    enum dns_type type;
};
/* `question` lives until it is done. */
void resolver_ask(struct resolver *resolver, struct question *question, const char *name);

#endif
