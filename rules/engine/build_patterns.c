/*
 * Which links are matched by scanning, and for what.
 *
 * A link with a literal regular expression, list of words or piece of text becomes patterns for
 * Hyperscan; several patterns may stand for one link, and equal patterns of many links are one.
 * What Hyperscan does not take, or what matches the empty text, stays with PCRE2 or the
 * operator's own function.
 */
#include "rules/engine/build.h"

#include <hs/hs_compile.h>

#include "rules/engine/apart.h"
#include "rules/engine/database.h"
#include "rules/engine/facts.h"
#include "rules/engine/run.h"
#include "rules/engine/split.h"
#include "rules/pattern.h"
#include "rules/words.h"

enum { PIECES_MAX = 64 }; /* of one rule's pattern */

#define CHECK_FLAG (1U << 31) /* none of Hyperscan's: what is no pattern has another key */

/* ---- values that are scanned ----------------------------------------------------------------
 */

bool plan_scannable(enum variable var)
{
    switch ((int)var) {
    case VAR_ARGS:
    case VAR_ARGS_NAMES:
    case VAR_ARGS_GET:
    case VAR_ARGS_GET_NAMES:
    case VAR_ARGS_POST:
    case VAR_ARGS_POST_NAMES:
    case VAR_REQUEST_COOKIES:
    case VAR_REQUEST_COOKIES_NAMES:
    case VAR_REQUEST_HEADERS:
    case VAR_REQUEST_HEADERS_NAMES:
    case VAR_REQUEST_URI:
    case VAR_REQUEST_URI_RAW:
    case VAR_REQUEST_FILENAME:
    case VAR_REQUEST_BASENAME:
    case VAR_REQUEST_LINE:
    case VAR_REQUEST_METHOD:
    case VAR_REQUEST_PROTOCOL:
    case VAR_QUERY_STRING:
    case VAR_REQUEST_BODY:
    case VAR_XML:
    case VAR_FILES:
    case VAR_FILES_NAMES:
    case VAR_MULTIPART_PART_HEADERS:
    case VAR_RESPONSE_HEADERS:
    case VAR_RESPONSE_HEADERS_NAMES:
    case VAR_RESPONSE_STATUS:
    case VAR_RESPONSE_BODY:
    case VAR_OWN_PATH:
    case VAR_OWN_HOST:
    case VAR_OWN_COOKIES:
    case VAR_OWN_ARGS:
    case VAR_OWN_ARGS_NAMES:
    case VAR_OWN_BODY:
        return true;
    default:
        return false;
    }
}

static bool any_scannable(const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->target_count; i++) {
        if (!rule->targets[i].exclude && !rule->targets[i].count &&
            plan_scannable(rule->targets[i].var))
            return true;
    }
    return false;
}

static bool may_be_scanned(const struct sec_rule *rule)
{
    const struct macro *argument = &rule->op.argument;
    return !rule->unconditional && argument->literal && argument->source.len > 0 &&
           any_scannable(rule);
}

static bool looks_for_regex(const struct sec_rule *rule)
{
    return may_be_scanned(rule) && rule->op.regex != NULL &&
           span_equal(span_text(rule->op.row->name), SPAN("rx"));
}

/* ---- drafts ---------------------------------------------------------------------------------
 */

struct find_link {
    struct find_link *next;
    struct plan_find find;
};

struct pattern_draft {
    const char *text;
    unsigned flags;
    const struct plan_check *check;
    uint32_t shortest;
    bool at_start, at_end, own;
    struct find_link *finds;
    unsigned find_count;
};

struct drafting {
    struct plan_builder *b;
    struct table known; /* text and flags -> index + 1 */
};

static enum err grow(struct plan_builder *b)
{
    unsigned capacity = b->draft_capacity == 0 ? 1024 : 2 * b->draft_capacity;
    struct pattern_draft *drafts = arena_array(b->arena, struct pattern_draft, capacity);
    if (drafts == NULL)
        return ERR_MEMORY;
    if (b->draft_count > 0)
        memcpy(drafts, b->drafts, b->draft_count * sizeof(*drafts));
    b->drafts = drafts;
    b->draft_capacity = capacity;
    return OK;
}

static enum err draft_for(struct drafting *d, const struct pattern_info *info,
                          struct pattern_draft **draft)
{
    struct plan_builder *b = d->b;
    struct text key = text_growing(b->arena, strlen(info->text) + 16);
    text_uint(&key, info->flags);
    text_char(&key, ' ');
    text_add(&key, span_text(info->text));
    if (key.overflow)
        return ERR_MEMORY;
    const void *found = table_get(&d->known, text_span(&key));
    if (found != NULL) {
        *draft = &b->drafts[(uintptr_t)found - 1];
        return OK;
    }
    if (b->draft_count == b->draft_capacity)
        TRY(grow(b));
    TRY(table_put(&d->known, text_span(&key), (void *)(uintptr_t)(b->draft_count + 1)));
    *draft = &b->drafts[b->draft_count++];
    **draft = (struct pattern_draft){
        .text = info->text,
        .flags = info->flags,
        .shortest = info->shortest < UINT32_MAX ? (uint32_t)info->shortest : UINT32_MAX,
        .at_start = info->at_start,
        .at_end = info->at_end,
        .own = true,
    };
    return OK;
}

/* Where case means nothing to the pattern, lower case need not be made. Of the forms that
 * multiMatch sees some are not in lower case. */
static unsigned form_for(struct plan_builder *b, const struct sec_link *link, unsigned seen,
                         struct pattern_info *info)
{
    bool many = link->rule->multi_match;
    unsigned form = link->check || link->feeds ? seen : plan_form_without_case(b->plan, seen);
    if (form == seen ||
        !(many ? pattern_has_no_case(info->text, info->flags)
               : facts_is_blind_to_case(b->maker->facts, info->text, info->flags)))
        return seen;
    info->flags |= many ? 0 : HS_FLAG_CASELESS;
    return form;
}

/* The link's bit for each form that its operator sees, found by this pattern. */
static enum err add_finds(struct plan_builder *b, struct pattern_draft *draft,
                          const struct sec_link *link, struct pattern_info *info, unsigned form)
{
    bool many = link->rule->multi_match;
    unsigned count = many ? link->path_count : 1;
    for (unsigned i = 0; i < count; i++) {
        struct find_link *find = arena_new(b->arena, struct find_link);
        if (find == NULL)
            return ERR_MEMORY;
        find->find.bit = (uint16_t)(plan_bit_of(link) + i);
        find->find.form = (uint16_t)(many ? form_for(b, link, link->path[i], info) : form);
        find->next = draft->finds;
        draft->finds = find;
        draft->find_count++;
    }
    return OK;
}

/* ---- what a link looks for ------------------------------------------------------------------
 */

struct pieces {
    struct pattern_info *items;
    unsigned count, capacity;
};

static enum err add_piece(struct plan_builder *b, struct pieces *pieces,
                          const struct pattern_info *info)
{
    if (pieces->count == pieces->capacity) {
        unsigned capacity = pieces->capacity == 0 ? 8 : 2 * pieces->capacity;
        struct pattern_info *items = arena_array(b->arena, struct pattern_info, capacity);
        if (items == NULL)
            return ERR_MEMORY;
        if (pieces->count > 0)
            memcpy(items, pieces->items, pieces->count * sizeof(*items));
        pieces->items = items;
        pieces->capacity = capacity;
    }
    pieces->items[pieces->count++] = *info;
    return OK;
}

/*
 * Whether Hyperscan compiles it at all. What it has no meaning for is known already; what is
 * left is that a pattern can become too large, which only long ones do.
 */
enum { SURELY_SMALL = 512, LONG_MAX = 512 };

static enum err compiles(struct plan_builder *b, const struct pattern_info *info, bool *good)
{
    struct database_fit fit = { .text = info->text, .flags = info->flags, .fits = true };
    enum err err = OK;
    if (strlen(info->text) > SURELY_SMALL)
        err = database_fits(b->maker, &fit, 1);
    *good = fit.fits;
    return err;
}

/* The sources of one round of questions, and of the next: halves of what is too large. */
struct long_ones {
    struct span sources[LONG_MAX];
    unsigned count;
};

static void add_long_one(struct long_ones *round, struct span source)
{
    if (source.len <= SURELY_SMALL || round->count == LONG_MAX)
        return;
    for (unsigned i = 0; i < round->count; i++) {
        if (span_equal(round->sources[i], source))
            return;
    }
    round->sources[round->count++] = source;
}

static enum err ask_round(struct plan_builder *b, const struct long_ones *round,
                          struct long_ones *next)
{
    struct database_fit fits[LONG_MAX];
    struct span asked[LONG_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < round->count; i++) {
        struct pattern_info info;
        if (!facts_read(b->maker->facts, round->sources[i], false, b->arena, &info, NULL))
            continue;
        asked[count] = round->sources[i];
        fits[count++] = (struct database_fit){ .text = info.text, .flags = info.flags };
    }
    TRY(database_fits(b->maker, fits, count));
    next->count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct span halves[2];
        if (fits[i].fits || !pattern_split(asked[i], b->arena, halves))
            continue;
        add_long_one(next, halves[0]);
        add_long_one(next, halves[1]);
    }
    return OK;
}

/*
 * About all of them side by side first; later, one by one, the answers are known. So nothing
 * is missed when there are more than there is room for.
 */
static enum err ask_about_long_ones(struct plan_builder *b)
{
    struct long_ones *rounds = arena_array(b->arena, struct long_ones, 2);
    if (rounds == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < b->link_count; i++) {
        struct span apart[APART_MAX];
        unsigned count = 0;
        if (looks_for_regex(b->links[i]->rule))
            TRY(plan_apart(b, b->links[i]->rule->op.argument.source, apart, &count));
        for (unsigned j = 0; j < count; j++)
            add_long_one(&rounds[0], apart[j]);
    }
    for (unsigned i = 0; rounds[i & 1].count > 0; i++)
        TRY(ask_round(b, &rounds[i & 1], &rounds[~i & 1]));
    return OK;
}

/* A pattern, or its halves, or theirs; `*good`: all of it could be taken. */
static enum err take_regex(struct plan_builder *b, struct span source, struct pieces *pieces,
                           bool *good)
{
    struct pattern_info info;
    struct span halves[2];
    *good = *good && pieces->count < PIECES_MAX;
    bool fits = *good && facts_read(b->maker->facts, source, false, b->arena, &info, NULL);
    if (fits)
        TRY(compiles(b, &info, &fits));
    if (fits)
        return add_piece(b, pieces, &info);
    *good = *good && pattern_split(source, b->arena, halves);
    if (*good)
        TRY(take_regex(b, halves[0], pieces, good));
    return *good ? take_regex(b, halves[1], pieces, good) : OK;
}

static enum err regex_pieces(struct plan_builder *b, const struct sec_rule *rule,
                             struct pieces *pieces)
{
    struct span apart[APART_MAX];
    unsigned count;
    bool good = true;
    TRY(plan_apart(b, rule->op.argument.source, apart, &count));
    for (unsigned i = 0; i < count; i++)
        TRY(take_regex(b, apart[i], pieces, &good));
    if (!good)
        pieces->count = 0;
    return OK;
}

/* Every byte that is not a letter or digit as \xHH: no meaning is left in it. */
static enum err literal_piece(struct plan_builder *b, struct span literal, const char *before,
                              const char *behind, struct pieces *pieces)
{
    struct text text = text_growing(b->arena, 4 * literal.len + 8);
    text_add(&text, span_text(before));
    for (size_t i = 0; i < literal.len; i++) {
        char c = literal.p[i], lower = ascii_lower(c);
        if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9')) {
            text_char(&text, c);
        } else {
            text_lit(&text, "\\x");
            text_hex(&text, &c, 1);
        }
    }
    text_add(&text, span_text(behind));
    struct pattern_info info = {
        .text = text_cstring(&text),
        .flags = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH,
        .shortest = literal.len,
    };
    return info.text == NULL ? ERR_MEMORY : add_piece(b, pieces, &info);
}

static enum err word_pieces(struct plan_builder *b, const struct sec_rule *rule,
                            struct pieces *pieces)
{
    const struct words *words = rule->op.prepared;
    for (size_t i = 0; words != NULL && i < words->count; i++) {
        TRY(literal_piece(b, words->items[i], "", "", pieces));
        pieces->items[pieces->count - 1].flags |= HS_FLAG_CASELESS;
    }
    return OK;
}

/* Operators that look for one piece of text, as a pattern. */
static const struct text_row {
    const char *name, *before, *behind;
} text_rows[] = {
    { "contains", "", "" },
    { "beginsWith", "^", "" },
    { "endsWith", "", "\\z" },
    { "streq", "^", "\\z" },
};

/* Those of the configuration have only patterns that Hyperscan takes: it was asked. */
static enum err own_pieces(struct plan_builder *b, const struct own_rule *own,
                           struct pieces *pieces)
{
    char buffer[256];
    struct text why = text_fixed(buffer, sizeof(buffer));
    for (unsigned i = 0; i < own->pattern_count; i++) {
        struct pattern_info info;
        if (!facts_read(b->maker->facts, own->patterns[i], own->caseless, b->arena, &info,
                        &why)) {
            text_lit(b->why, "rule \"");
            text_add(b->why, own->name);
            text_lit(b->why, "\": \"");
            text_add(b->why, own->patterns[i]);
            text_lit(b->why, "\": ");
            text_add(b->why, text_span(&why));
            return ERR_CONFIG;
        }
        TRY(add_piece(b, pieces, &info));
    }
    return OK;
}

static enum err pieces_of(struct plan_builder *b, const struct sec_rule *rule,
                          struct pieces *pieces)
{
    if (rule->own != NULL)
        return own_pieces(b, rule->own, pieces);
    const struct operator_row *row = rule->op.row;
    const struct macro *argument = &rule->op.argument;
    if (!may_be_scanned(rule))
        return OK;
    if (looks_for_regex(rule))
        return regex_pieces(b, rule, pieces);
    if (row->eval == operator_find(SPAN("pm"))->eval)
        return word_pieces(b, rule, pieces);
    for (size_t i = 0; i < ARRAY_LEN(text_rows); i++) {
        if (strcmp(row->name, text_rows[i].name) == 0)
            return literal_piece(b, argument->source, text_rows[i].before, text_rows[i].behind,
                                 pieces);
    }
    return OK;
}

/* ---- checks ---------------------------------------------------------------------------------
 */

/* A pattern that takes everything is no check: it would say yes to every value. */
static bool takes_everything(const struct sec_operator *op)
{
    struct regex_local local;
    bool all = true;
    if (op->regex == NULL || regex_attach(&local) != OK)
        return true;
    static const char *const samples[] = { "", "x" };
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        all = all && regex_match(&local, op->regex, span_text(samples[i]), NULL) == REGEX_YES;
    regex_detach(&local);
    return all;
}

/* Every argument would be asked for the sake of one, say, and one that says "not" would say yes
 * of most. */
static bool is_about_few(const struct sec_rule *rule)
{
    bool few = true;
    for (unsigned i = 0; i < rule->target_count && few; i++)
        few = rule->targets[i].exclude || plan_names_one_of_many(&rule->targets[i]);
    return few;
}

/*
 * A link whose operator depends on nothing but the value: it is asked once about each different
 * text, and the rule is looked at only where it matches. Behind the chain's first only what is
 * asked quickly: it often would not be come to.
 */
static bool may_be_checked(const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    const struct sec_operator *op = link->op;
    if (rule->unconditional || !op->argument.literal || !any_scannable(rule) ||
        is_about_few(rule) ||
        (rule != rule->head && (op->row->kind != OPERATOR_EVAL || op->row->compile != NULL)))
        return false;
    return op->row->kind == OPERATOR_REGEX ? !takes_everything(op)
                                           : op->row->kind == OPERATOR_EVAL;
}

/* The same operator with the same argument is one check for all links; of what was prepared
 * from a file, its path says too little, and what a link feeds is its own. */
static enum err check_piece(struct plan_builder *b, const struct plan_check *check,
                            struct pieces *pieces)
{
    const struct sec_operator *op = check->op;
    struct text name = text_growing(b->arena, op->argument.source.len + 64);
    text_format(&name, "%s@%s %p %p ", op->negated ? "!" : "", op->row->name, op->prepared,
                (const void *)check->feeds);
    text_add(&name, op->argument.source);
    struct pattern_info info = { .text = text_cstring(&name), .flags = CHECK_FLAG };
    return info.text == NULL ? ERR_MEMORY : add_piece(b, pieces, &info);
}

/* What is asked by an operator itself; NULL where it is not. */
static enum err check_of(struct plan_builder *b, struct sec_link *link, struct pieces *pieces,
                         struct plan_check **check)
{
    link->check = !link->feeds && pieces->count == 0 && may_be_checked(link);
    if (!link->check && !link->feeds)
        return OK;
    *check = arena_new(b->arena, struct plan_check);
    if (*check == NULL)
        return ERR_MEMORY;
    if (link->feeds)
        plan_feed_check(b, link, *check);
    else
        (*check)->op = link->op;
    (*check)->traits = link->feeds ? TRAIT_ANY : sec_check_wants(link->op);
    return check_piece(b, *check, pieces);
}

static enum err plan_link(struct drafting *d, struct sec_link *link)
{
    struct plan_builder *b = d->b;
    struct pieces pieces = { .count = 0 };
    struct plan_check *check = NULL;
    if (!link->feeds)
        TRY(pieces_of(b, link->rule, &pieces));
    TRY(check_of(b, link, &pieces, &check));
    if (pieces.count == 0)
        return OK;
    unsigned bits = link->rule->multi_match ? link->path_count : 1;
    if (b->plan->bit_count + bits > PLAN_BITS_MAX) {
        text_format(b->why, "more than %d rules look for patterns", PLAN_BITS_MAX);
        return ERR_CONFIG;
    }
    if (link->feeds) {
        link->feed_bit = (uint16_t)b->plan->bit_count;
    } else {
        link->bit = (uint16_t)b->plan->bit_count;
        link->match = LINK_SCANNED;
    }
    b->plan->bit_count += bits;
    for (unsigned i = 0; i < pieces.count; i++) {
        struct pattern_draft *draft;
        unsigned form = form_for(b, link, link->form, &pieces.items[i]);
        TRY(draft_for(d, &pieces.items[i], &draft));
        draft->own = draft->own && link->rule->own != NULL;
        if (check != NULL)
            draft->check = check;
        TRY(add_finds(b, draft, link, &pieces.items[i], form));
    }
    return OK;
}

/* ---- all ------------------------------------------------------------------------------------
 */

static enum err settle(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    plan->patterns = arena_array(b->arena, struct plan_pattern, b->draft_count);
    if (plan->patterns == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < b->draft_count; i++) {
        const struct pattern_draft *draft = &b->drafts[i];
        struct plan_find *finds = arena_array(b->arena, struct plan_find, draft->find_count);
        if (finds == NULL)
            return ERR_MEMORY;
        unsigned count = 0;
        for (const struct find_link *find = draft->finds; find != NULL; find = find->next)
            finds[count++] = find->find;
        plan->patterns[i] = (struct plan_pattern){ .text = draft->text,
                                                   .flags = draft->flags,
                                                   .check = draft->check,
                                                   .finds = finds,
                                                   .find_count = count,
                                                   .shortest = draft->shortest,
                                                   .at_start = draft->at_start,
                                                   .at_end = draft->at_end,
                                                   .own = draft->own };
    }
    plan->pattern_count = b->draft_count;
    return OK;
}

/* No rule becomes more patterns than this: a pattern is cut at its bars. */
static size_t most_pieces(const struct sec_rule *rule)
{
    struct span source = rule->op.argument.source;
    size_t pieces = 1;
    if (rule->unconditional)
        return 0;
    if (rule->own != NULL)
        return rule->own->pattern_count;
    if (rule->op.row->eval == operator_find(SPAN("pm"))->eval && rule->op.prepared != NULL)
        return ((const struct words *)rule->op.prepared)->count + 1;
    for (size_t i = 0; i < source.len; i++)
        pieces += source.p[i] == '|';
    return pieces < PIECES_MAX ? pieces : PIECES_MAX;
}

enum err plan_patterns(struct plan_builder *b)
{
    struct drafting d = { .b = b };
    size_t most = 0;
    for (unsigned i = 0; i < b->link_count; i++)
        most += most_pieces(b->links[i]->rule);
    TRY(table_init(&d.known, b->arena, most));
    TRY(ask_about_long_ones(b));
    for (unsigned i = 0; i < b->link_count; i++)
        TRY(plan_link(&d, b->links[i]));
    b->plan->bit_words = (b->plan->bit_count + 63) / 64;
    b->negated = arena_array(b->arena, uint64_t, b->plan->bit_words);
    if (b->negated == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < b->link_count; i++) {
        const struct sec_link *link = b->links[i];
        unsigned bits = link->rule->multi_match ? link->path_count : 1;
        bool says_not = link->bit != NO_BIT && !link->check && link->op->negated;
        for (unsigned j = 0; says_not && j < bits; j++)
            bit_add(b->negated, link->bit + j);
    }
    return settle(b);
}
