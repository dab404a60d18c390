/* Plain texts that a batch looks for by hand (few.h): those of parts with few of them, and what
 * ways need. */
#include "rules/engine/build.h"

#include "rules/engine/database.h"
#include "rules/engine/few.h"
#include "rules/engine/need.h"
#include "rules/engine/usual.h"

enum {
    MEMORY_FIRST = 8 * 1024, /* enough for the tree of most texts */
    MEMORY_MAX = 1 << 20,
    CASE_BIT = 'a' ^ 'A',
};

/* One byte, or a letter in either case. */
static bool read_byte(const struct byte_set *set, uint8_t *byte, uint8_t *fold)
{
    struct byte_set same = { { 0 } };
    unsigned c = 0;
    while (c < UINT8_MAX && !byte_set_has(set, (uint8_t)c))
        c++;
    byte_set_add(&same, (uint8_t)c);
    *fold = c >= 'A' && c <= 'Z' && byte_set_has(set, (uint8_t)(c | CASE_BIT)) ? CASE_BIT : 0;
    *byte = (uint8_t)(c | *fold);
    byte_set_add(&same, *byte);
    return memcmp(&same, set, sizeof(same)) == 0;
}

/* False: it is no plain text. */
static bool read_text(const struct rx_node *tree, uint8_t *bytes, uint8_t *folds, size_t *len)
{
    const struct rx_node *all = tree->child;
    if (tree->kind != RX_ALT || all == NULL || all->next != NULL || all->kind != RX_SEQ)
        return false;
    *len = 0;
    for (const struct rx_node *node = all->child; node != NULL; node = node->next, ++*len) {
        if (node->kind != RX_SET || *len == FEW_BYTES_MAX ||
            !read_byte(&node->set, &bytes[*len], &folds[*len]))
            return false;
    }
    return *len > 0;
}

static enum err make(struct plan_builder *b, const char *pattern, unsigned flags,
                     struct few_text *few, bool *good)
{
    char first[MEMORY_FIRST];
    uint8_t bytes[FEW_BYTES_MAX], folds[FEW_BYTES_MAX];
    struct arena scratch;
    arena_init(&scratch, first, sizeof(first), NULL, MEMORY_MAX);
    const struct rx_node *tree = rx_parse(span_text(pattern), flags, &scratch);
    *good = tree != NULL && read_text(tree, bytes, folds, &few->len);
    arena_reset(&scratch);
    if (!*good)
        return OK;
    struct span kept_bytes = arena_copy(b->arena, span_of((const char *)bytes, few->len));
    struct span kept_folds = arena_copy(b->arena, span_of((const char *)folds, few->len));
    few->bytes = (const uint8_t *)kept_bytes.p;
    few->folds = (const uint8_t *)kept_folds.p;
    return kept_bytes.p != NULL && kept_folds.p != NULL ? OK : ERR_MEMORY;
}

static enum err make_usual(struct plan_builder *b, struct scan_part *part)
{
    struct usual *usual = arena_new(b->arena, struct usual);
    if (usual == NULL)
        return ERR_MEMORY;
    usual_make(usual, part->few, part->id_count);
    part->usual = usual;
    return OK;
}

enum err plan_few(struct plan_builder *b, struct scan_part *part, const struct database_job *of)
{
    bool good = part->literals && of->count <= (part->words ? (unsigned)USUAL_MAX : FEW_MAX);
    if (!good)
        return OK;
    struct few_text *few = arena_array(b->arena, struct few_text, of->count);
    if (few == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < of->count && good; i++)
        TRY(make(b, of->texts[i], of->flags[i], &few[i], &good));
    part->few = good ? few : NULL;
    return good && part->words ? make_usual(b, part) : OK;
}

const struct few_text *plan_few_words(struct plan_builder *b, const struct span *words,
                                      unsigned count)
{
    struct few_text *few = arena_array(b->arena, struct few_text, count);
    for (unsigned i = 0; i < count && few != NULL; i++) {
        struct span bytes = arena_copy(b->arena, words[i]);
        uint8_t *folds = arena_array(b->arena, uint8_t, words[i].len);
        if (bytes.p == NULL || folds == NULL)
            return NULL;
        for (size_t j = 0; j < words[i].len; j++)
            folds[j] = words[i].p[j] >= 'a' && words[i].p[j] <= 'z' ? CASE_BIT : 0;
        few[i] = (struct few_text){ (const uint8_t *)bytes.p, folds, words[i].len };
    }
    return few;
}
