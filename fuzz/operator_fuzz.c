/*
 * Operators under any argument and value. What matched lies in the value; words, byte ranges
 * and UTF-8 agree with what a slow look at every byte finds. Input: the first byte picks the
 * operator, the argument ends at the first byte 1. Arguments that name files stand for the
 * file's content.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rules/operator.h"
#include "rules/operator/valid.h"
#include "rules/regex.h"
#include "rules/words.h"

enum { ARENA_BYTES = 1024 * 1024 };

static char memory[ARENA_BYTES];
static struct regex_local regex;
static int file = -1;
static char path[32];

static const struct operator_row *pick(uint8_t byte)
{
    size_t count = 0;
    while (operators[count].name != NULL)
        count++;
    return &operators[byte % count];
}

static struct span in_file(struct span content)
{
    INVARIANT(ftruncate(file, 0) == 0);
    INVARIANT(pwrite(file, content.p, content.len, 0) == (ssize_t)content.len);
    return span_text(path);
}

/* Of all words the one that ends first, and of those the longest. */
static const struct span *slow_find(const struct words *words, struct span value, size_t *at)
{
    const struct span *best = NULL;
    size_t best_end = SIZE_MAX;
    for (size_t i = 0; i < words->count; i++) {
        struct span word = words->items[i];
        for (size_t from = 0; from + word.len <= value.len; from++) {
            if (!span_equal_nocase(span_sub(value, from, word.len), word))
                continue;
            size_t end = from + word.len;
            if (end < best_end || (end == best_end && word.len > best->len)) {
                best = &words->items[i];
                best_end = end;
                *at = from;
            }
            break;
        }
    }
    return best;
}

static void check_words(const struct operator_call *call)
{
    size_t slow_at = 0, at = 0;
    const struct span *slow = slow_find(call->prepared, call->value, &slow_at);
    const struct span *word = words_find(call->prepared, call->value, &at);
    INVARIANT((slow == NULL) == (word == NULL));
    if (word != NULL)
        INVARIANT(at == slow_at && span_equal_nocase(*word, *slow));
}

/* Each character on its own is what iconv would take: decode, and see that it is the shortest.
 */
static bool slow_utf8(struct span s)
{
    for (size_t i = 0; i < s.len;) {
        uint8_t first = (uint8_t)s.p[i];
        size_t len = first < 0x80   ? 1
                     : first < 0xc0 ? 0
                     : first < 0xe0 ? 2
                     : first < 0xf0 ? 3
                                    : 4;
        if (len == 0 || first > 0xf7 || i + len > s.len)
            return false;
        uint32_t point = len == 1 ? first : first & (0x7fu >> len);
        for (size_t k = 1; k < len; k++) {
            if ((s.p[i + k] & 0xc0) != 0x80)
                return false;
            point = point << 6 | ((uint8_t)s.p[i + k] & 0x3fu);
        }
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
        i += len;
    }
    return true;
}

static void check_match(const struct operator_row *row, const struct operator_call *call)
{
    struct operator_match match;
    bool found = row->eval(call, &match);
    if (found) {
        INVARIANT(match.offset <= call->value.len);
        INVARIANT(match.len <= call->value.len - match.offset);
    }
    if (span_starts(span_text(row->name), SPAN("pm")))
        check_words(call);
    if (strcmp(row->name, "validateUtf8Encoding") == 0)
        INVARIANT(found != slow_utf8(call->value));
    if (strcmp(row->name, "validateByteRange") == 0) {
        bool outside = false;
        for (size_t i = 0; i < call->value.len; i++)
            outside |= !byte_set_has(call->prepared, (uint8_t)call->value.p[i]);
        INVARIANT(found == outside);
    }
}

static void set_up(void)
{
    if (file >= 0)
        return;
    INVARIANT(regex_attach(&regex) == OK);
    file = memfd_create("operator", 0);
    INVARIANT(file >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    set_up();
    const struct operator_row *row = pick(data[0]);
    struct span value = span_of((const char *)data + 1, size - 1), argument;
    if (row->kind != OPERATOR_EVAL || !span_cut(&value, 1, &argument))
        return 0;

    struct arena arena;
    char reason[256];
    struct text why = text_fixed(reason, sizeof(reason));
    arena_init(&arena, memory, sizeof(memory), NULL, ARENA_BYTES);
    if (span_ends(span_text(row->name), SPAN("FromFile")))
        argument = in_file(argument);
    struct operator_source source = { .argument = argument, .arena = &arena, .why = &why };
    struct operator_call call = { .value = value, .argument = argument, .regex = &regex };
    bool compiled = row->compile == NULL || row->compile(&source, &call.prepared);
    INVARIANT(compiled || why.len > 0);
    if (compiled)
        check_match(row, &call);
    if (compiled && row->release != NULL)
        row->release(call.prepared);
    arena_reset(&arena);
    return 0;
}
