/* Names to servers: see dnslookup.h. */
#include "gateway/upstream/dnslookup.h"

static void finish_if_over(struct lookup *lookup)
{
    if (lookup->open == 0 && !lookup->starting)
        lookup->done(lookup);
}

static void note_ttl(struct lookup *lookup, const struct dns_answer *answer)
{
    if (answer->count > 0 && (lookup->ttl == 0 || answer->ttl < lookup->ttl))
        lookup->ttl = answer->ttl > 0 ? answer->ttl : 1;
}

static void on_addresses(struct question *question, enum err err,
                         const struct dns_answer *answer)
{
    struct lookup_question *asked = CONTAINER(question, struct lookup_question, question);
    struct lookup *lookup = asked->lookup;

    lookup->open--;
    lookup->partly |= err != OK;
    if (err == OK) {
        note_ttl(lookup, answer);
        for (unsigned i = 0; i < answer->count; i++) {
            struct addr addr = answer->records[i].addr;
            addr.port = asked->at.port;
            (void)found_add(&lookup->list, &addr, asked->weight, asked->backup);
        }
    }
    finish_if_over(lookup);
}

static void ask_addresses(struct lookup *lookup, const char *name, uint16_t port,
                          uint32_t weight, bool backup)
{
    static const enum dns_type types[] = { DNS_A, DNS_AAAA };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct lookup_question *asked = &lookup->questions[lookup->count++];
        *asked =
            (struct lookup_question){ .question = { .done = on_addresses, .type = types[i] },
                                      .lookup = lookup,
                                      .at = { .port = port },
                                      .weight = weight,
                                      .backup = backup };
        lookup->open++;
        resolver_ask(lookup->resolver, &asked->question, name);
    }
}

/* RFC 2782: the least number is the highest priority. Others serve when those cannot. */
static uint16_t first_priority(const struct dns_answer *answer)
{
    uint16_t first = UINT16_MAX;

    for (unsigned i = 0; i < answer->count; i++)
        first = answer->records[i].priority < first ? answer->records[i].priority : first;
    return first;
}

static void on_services(struct question *question, enum err err,
                        const struct dns_answer *answer)
{
    static struct dns_answer services; /* answers come while questions are asked */
    struct lookup *lookup = CONTAINER(question, struct lookup_question, question)->lookup;
    bool outer = lookup->starting;

    lookup->open--;
    lookup->starting = true;
    lookup->partly |= err != OK;
    if (err == OK) {
        services = *answer;
        note_ttl(lookup, &services);
        uint16_t first = first_priority(&services);
        for (unsigned i = 0; i < services.count && i < LOOKUP_TARGETS_MAX; i++) {
            const struct dns_record *record = &services.records[i];
            /* With its dot: no search domain is added to a target. */
            char target[DNS_NAME_BYTES + 1];
            struct text name = text_fixed(target, sizeof target);
            text_add(&name, span_text(record->target));
            text_char(&name, '.');
            text_char(&name, '\0');
            ask_addresses(lookup, target, record->port, record->weight,
                          record->priority != first);
        }
    }
    lookup->starting = outer;
    finish_if_over(lookup);
}

void lookup_start(struct lookup *lookup, struct resolver *resolver,
                  const struct discovery *discovery)
{
    *lookup = (struct lookup){ .done = lookup->done, .resolver = resolver, .starting = true };
    if (discovery->kind == DISCOVER_SERVICES) {
        lookup->services =
            (struct lookup_question){ .question = { .done = on_services, .type = DNS_SRV },
                                      .lookup = lookup };
        lookup->open++;
        resolver_ask(resolver, &lookup->services.question, discovery->name);
    } else {
        ask_addresses(lookup, discovery->name, discovery->port, 1, false);
    }
    lookup->starting = false;
    finish_if_over(lookup);
}
