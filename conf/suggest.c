/*
 * "Did you mean": the candidate nearest to a misspelt word, by the edit distance that counts a
 * swap of neighbours as one edit. A candidate is near within two edits (one in short words), or
 * when one word begins with the other.
 */
#include "conf/suggest.h"

enum { WORD_MAX = 48, NEAR = 2, SHORT_WORD = 3, PREFIX_MIN = 3 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

static unsigned edit_distance(struct span a, struct span b)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (unsigned j = 0; j <= b.len; j++)
        last[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        now[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned change = ascii_lower(a.p[i - 1]) == ascii_lower(b.p[j - 1]) ? 0 : 1;
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + change);
            bool swapped =
                i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1];
            if (swapped && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b.len];
}

struct suggestion suggest_for(struct span given)
{
    return (struct suggestion){ .given = given, .distance = NEAR + 2 };
}

void suggest_consider(struct suggestion *suggestion, struct span candidate)
{
    struct span given = suggestion->given;
    if (given.len == 0 || given.len > WORD_MAX || candidate.len > WORD_MAX)
        return;
    unsigned distance = edit_distance(given, candidate);
    unsigned near = given.len <= SHORT_WORD || candidate.len <= SHORT_WORD ? 1 : NEAR;
    if (distance > near) {
        bool prefix = given.len >= PREFIX_MIN && candidate.len >= PREFIX_MIN &&
                      (span_starts(candidate, given) || span_starts(given, candidate));
        distance = prefix ? NEAR + 1 : NEAR + 2;
    }
    if (distance < suggestion->distance) {
        suggestion->distance = distance;
        suggestion->best = candidate;
    }
}

void suggest_write(struct text *out, const struct suggestion *suggestion)
{
    if (suggestion->best.p == NULL)
        return;
    text_lit(out, "did you mean \"");
    text_add(out, suggestion->best);
    text_lit(out, "\"?");
}
