/* Patterns of all kinds, at random, and texts that they match. */
#include "tests/unit/rules/engine/patterns.h"

unsigned random_below(struct random *random, unsigned limit)
{
    random->state = random->state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return limit > 1 ? (unsigned)(random->state >> 33) % limit : 0;
}

static const char *const atoms[] = {
    "a",       "B",      "union", "select", "<",     "[a-c]",   "[^x]",        "\\d",
    "\\s",     ".",      "\\(",   "[\"'`]", "\\x41", "=",       "script",      "\\bon",
    "[\\w.-]", "\\.",    "%",     "\\n",    "(?i)q", "(?i:Xy)", "[[:digit:]]", "java",
    "\\S",     "[^\\s]", "\\W",   "\\\\",   "-",     "[A-F]",
};
static const char *const repeats[] = { "?", "*", "+", "{2}", "{0,2}", "{1,}", "+?", "*?" };

void pattern_write(struct random *random, struct text *out, unsigned depth)
{
    unsigned parts = 1 + random_below(random, 4);
    for (unsigned i = 0; i < parts; i++) {
        if (depth > 0 && random_below(random, 3) == 0) {
            text_add(out, random_below(random, 2) != 0 ? SPAN("(?:") : SPAN("("));
            unsigned branches = 1 + random_below(random, 3);
            for (unsigned j = 0; j < branches; j++) {
                if (j > 0)
                    text_char(out, '|');
                pattern_write(random, out, depth - 1);
            }
            text_char(out, ')');
        } else {
            text_add(out, span_text(atoms[random_below(random, ARRAY_LEN(atoms))]));
        }
        if (random_below(random, 4) == 0)
            text_add(out, span_text(repeats[random_below(random, ARRAY_LEN(repeats))]));
    }
}

void pattern_write_text(struct random *random, struct text *out, const struct rx_node *node)
{
    unsigned count = 0;
    switch (node->kind) {
    case RX_SET:
        for (unsigned c = random_below(random, 256), i = 0; i < 256; i++, c = (c + 1) & 255) {
            if (!byte_set_has(&node->set, (uint8_t)c))
                continue;
            text_char(out, (char)c);
            return;
        }
        return;
    case RX_SEQ:
        for (const struct rx_node *child = node->child; child != NULL; child = child->next)
            pattern_write_text(random, out, child);
        return;
    case RX_ALT:
        for (const struct rx_node *child = node->child; child != NULL; child = child->next)
            count++;
        count = random_below(random, count);
        for (const struct rx_node *child = node->child; child != NULL; child = child->next) {
            if (count-- == 0)
                pattern_write_text(random, out, child);
        }
        return;
    case RX_REPEAT:
        count = node->min + random_below(random, 3);
        for (unsigned i = 0; i < (count < node->max ? count : node->max); i++)
            pattern_write_text(random, out, node->child);
        return;
    case RX_NOTHING:
        return;
    }
}
