/*
 * Answers of name servers. Whatever comes, counts are within bounds and targets are names of
 * hosts; a message that is cut anywhere has no more records than the whole one. Input: the
 * first byte picks the type.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/net/dns.h"

static void check_target(const char *target)
{
    size_t len = strlen(target);

    INVARIANT(len > 0 && len < DNS_NAME_BYTES);
    for (size_t i = 0; i < len; i++)
        INVARIANT(target[i] > ' ' && (uint8_t)target[i] < 0x7f &&
                  !(target[i] >= 'A' && target[i] <= 'Z'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_SRV, DNS_PTR };
    static struct dns_answer answer, cut;

    if (size == 0)
        return 0;
    enum dns_type type = types[data[0] % ARRAY_LEN(types)];
    struct span message = span_of((const char *)data + 1, size - 1);
    enum err err = dns_parse(message, type, &answer);
    INVARIANT(err == OK || err == ERR_PROTOCOL);
    if (err != OK)
        return 0;
    INVARIANT(answer.count <= DNS_RECORDS_MAX && answer.ttl <= 0x7fffffff);
    for (unsigned i = 0; i < answer.count; i++) {
        const struct dns_record *record = &answer.records[i];
        if (type == DNS_SRV) {
            INVARIANT(record->port != 0);
            check_target(record->target);
        } else if (type == DNS_PTR) {
            check_target(record->target);
        } else {
            INVARIANT(record->addr.family == (type == DNS_A ? ADDR_V4 : ADDR_V6));
        }
    }
    if (dns_parse(span_sub(message, 0, message.len / 2), type, &cut) == OK)
        INVARIANT(cut.count <= answer.count);
    return 0;
}
