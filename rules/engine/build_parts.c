/*
 * A class's patterns to databases. Most patterns need something that plain values do not have:
 * a bracket, a quote, a certain word. Those of one kind of need share a database, which texts
 * without that never meet.
 */
#include <hs/hs_compile.h>

#include "rules/engine/build.h"
#include "rules/engine/database.h"
#include "rules/engine/set128.h"
#include "rules/engine/sort.h"
#include "rules/engine/usual.h"

enum {
    TEXTS_PER_CLASS_MAX = 64 * CLUSTER_TEXT_WORDS_MAX,
    MEMBERS_MAX = 96,      /* clusters of one kind before they are joined */
    PATTERN_WEIGHT = 3000, /* hundredths of a nanosecond that it takes to look for it, too */
    EDGE_PATTERNS_MAX = 128,
    EDGE_MEMORY_MAX = 256 << 20, /* of all trees; without it there are no edges */
};

struct sorting {
    struct plan_builder *b;
    struct sorted *patterns;
    struct edge_room *edges;
};

/* One class while it is taken apart. */
struct draft {
    struct scan_class *class;
    struct span *texts;
    struct byte_set *text_gates;
    uint64_t *usual; /* set of texts that are looked for by hand */
    uint32_t *opens;
    struct opening *openings;
    unsigned text_count, text_max;
    struct table known; /* text -> index + 1 */
    uint64_t *telling;
    struct cluster_texts set;
    struct cluster clusters[MEMBERS_MAX];
    unsigned cluster_count;
    uint16_t *member_of; /* by pattern of the class, and behind them by text */
    uint8_t *part_of;    /* the same, when the clusters of its kind are joined */
    unsigned per_part[PARTS_MAX];
};

/* ---- texts ----------------------------------------------------------------------------------
 */

/* The rarest byte of a text, in both cases. */
static struct byte_set rarest_of(struct span text)
{
    struct byte_set set = { { 0 } };
    char rarest = text.p[0];
    for (size_t i = 1; i < text.len; i++) {
        if (byte_share((uint8_t)text.p[i]) < byte_share((uint8_t)rarest))
            rarest = text.p[i];
    }
    byte_set_add(&set, (uint8_t)rarest);
    if (rarest >= 'a' && rarest <= 'z')
        byte_set_add(&set, (uint8_t)(rarest - 'a' + 'A'));
    return set;
}

static enum err add_text(struct draft *draft, struct span text)
{
    if (table_get(&draft->known, text) != NULL)
        return OK;
    unsigned index = draft->text_count++;
    draft->texts[index] = text;
    draft->text_gates[index] = rarest_of(text);
    if (byte_set_share(&draft->text_gates[index]) <= 100)
        bit_add(draft->telling, index);
    return table_put(&draft->known, text, (void *)(uintptr_t)draft->text_count);
}

static unsigned text_index(const struct draft *draft, struct span text)
{
    return (unsigned)((uintptr_t)table_get(&draft->known, text) - 1);
}

/* What it needs by all of its ways is more, and most of that the same texts. */
static unsigned texts_at_most(const struct sorted *sorted)
{
    unsigned sum = sorted->text_count;
    for (unsigned i = 0; i < sorted->ways.count && sorted->text_count > 0; i++) {
        for (unsigned j = 0; j < sorted->ways.items[i].list_count; j++)
            sum += sorted->ways.items[i].lists[j].count;
    }
    return sum;
}

static enum err add_texts_of(struct draft *draft, const struct sorted *sorted)
{
    for (unsigned i = 0; i < sorted->text_count; i++)
        TRY(add_text(draft, sorted->texts[i]));
    for (unsigned i = 0; i < sorted->ways.count && sorted->text_count > 0; i++) {
        for (unsigned j = 0; j < sorted->ways.items[i].list_count; j++) {
            const struct need_list *list = &sorted->ways.items[i].lists[j];
            for (unsigned k = 0; k < list->count; k++)
                TRY(add_text(draft, list->texts[k]));
        }
    }
    return OK;
}

/* Of those that plain text has, as many as are looked for together. */
static void tell_usual(struct draft *draft)
{
    unsigned count = 0;
    for (unsigned i = 0; i < draft->text_count && count < USUAL_MAX; i++) {
        const struct span text = draft->texts[i];
        if (text.len > 1 && text.len <= FEW_BYTES_MAX && edges_plain_has(text)) {
            bit_add(draft->usual, i);
            count++;
        }
    }
    if (count < USUAL_LEAST)
        memset(draft->usual, 0, draft->set.words * sizeof(*draft->usual));
}

/* A pattern whose texts have no room left goes without. */
static enum err gather_texts(const struct sorting *s, struct draft *draft)
{
    const struct scan_class *class = draft->class;
    struct arena *arena = s->b->arena;
    for (unsigned i = 0; i < class->id_count; i++) {
        struct sorted *sorted = &s->patterns[class->ids[i]];
        if (draft->text_max + texts_at_most(sorted) > TEXTS_PER_CLASS_MAX) {
            sorted->kind = CLUSTER_UNTOLD;
            sorted->text_count = 0;
        }
        draft->text_max += texts_at_most(sorted);
    }
    draft->set.words = (draft->text_max + 63) / 64;
    draft->texts = arena_array(arena, struct span, draft->text_max);
    draft->text_gates = arena_array(arena, struct byte_set, draft->text_max);
    draft->opens = arena_array(arena, uint32_t, draft->text_max);
    draft->openings = arena_array(arena, struct opening, draft->text_max);
    draft->telling = arena_array(arena, uint64_t, draft->set.words);
    draft->usual = arena_array(arena, uint64_t, draft->set.words);
    draft->member_of = arena_array(arena, uint16_t, class->id_count + draft->text_max + 1);
    draft->part_of = arena_array(arena, uint8_t, class->id_count + draft->text_max);
    if (draft->texts == NULL || draft->text_gates == NULL || draft->opens == NULL ||
        draft->openings == NULL || draft->telling == NULL || draft->usual == NULL ||
        draft->member_of == NULL || draft->part_of == NULL)
        return ERR_MEMORY;
    draft->set.telling = draft->telling;
    TRY(table_init(&draft->known, arena, draft->text_max));
    for (unsigned i = 0; i < class->id_count; i++)
        TRY(add_texts_of(draft, &s->patterns[class->ids[i]]));
    tell_usual(draft);
    return OK;
}

/* ---- clusters -------------------------------------------------------------------------------
 */

static bool same_bytes(const struct byte_set *a, const struct byte_set *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool is_plain(enum cluster_kind kind)
{
    return kind == CLUSTER_LITERALS || kind == CLUSTER_BYTES || kind == CLUSTER_USUAL;
}

/* The cluster that has the same gate; of patterns with texts each is its own, and plain texts
 * have one. With none free, the last one takes everything. */
static struct cluster *cluster_for(struct draft *draft, enum cluster_kind kind,
                                   const struct byte_set *gate)
{
    bool own = kind == CLUSTER_TOLD || kind == CLUSTER_PLAIN_TOLD;
    for (unsigned i = 0; i < draft->cluster_count && !own; i++) {
        if (is_plain(kind) || same_bytes(&draft->clusters[i].gate, gate))
            return &draft->clusters[i];
    }
    if (draft->cluster_count == MEMBERS_MAX)
        return &draft->clusters[MEMBERS_MAX - 1];
    struct cluster *cluster = &draft->clusters[draft->cluster_count++];
    *cluster = (struct cluster){ .kind = kind };
    return cluster;
}

static enum err put_in(const struct sorting *s, struct draft *draft, unsigned member,
                       enum cluster_kind kind, const struct byte_set *gate)
{
    struct cluster *cluster = cluster_for(draft, kind, gate);
    byte_set_unite(&cluster->gate, gate);
    cluster->weight += PATTERN_WEIGHT;
    draft->member_of[member] = (uint16_t)(cluster - draft->clusters);
    bool told = kind == CLUSTER_TOLD || kind == CLUSTER_PLAIN_TOLD;
    if (!told || cluster->texts != NULL)
        return OK;
    cluster->texts = arena_array(s->b->arena, uint64_t, draft->set.words);
    return cluster->texts != NULL ? OK : ERR_MEMORY;
}

/* What needs a text: which, and what else lets it match. */
static void add_needs(struct draft *draft, unsigned member, const struct sorted *sorted)
{
    struct cluster *cluster = &draft->clusters[draft->member_of[member]];
    for (unsigned i = 0; i < sorted->text_count; i++)
        bit_add(cluster->texts, text_index(draft, sorted->texts[i]));
    if (cluster->texts != NULL) {
        byte_set_unite(&cluster->unless, &sorted->unless);
        cluster->others += sorted->others;
    }
}

/* ---- marks ----------------------------------------------------------------------------------
 */

/* MARK_ANY where a set is too common to be worth one, or none is left. */
static uint64_t mark_of(struct sec_plan *plan, const struct byte_set *set)
{
    if (byte_set_share(set) >= 1000)
        return MARK_ANY;
    for (unsigned i = 0; i < plan->mark_count; i++) {
        if (same_bytes(&plan->marked[i], set))
            return UINT64_C(1) << i;
    }
    if (plan->mark_count == MARKS_MAX)
        return MARK_ANY;
    uint64_t mark = UINT64_C(1) << plan->mark_count;
    plan->marked[plan->mark_count++] = *set;
    for (unsigned c = 0; c < 256; c++) {
        if (byte_set_has(set, (uint8_t)c))
            plan->marks[c] |= mark;
    }
    return mark;
}

/* ---- one class ------------------------------------------------------------------------------
 */

static void make_parts(const struct sorting *s, struct draft *draft, uint16_t *became)
{
    struct scan_class *class = draft->class;
    if (draft->cluster_count == 0)
        return;
    unsigned count = clusters_join(draft->clusters, draft->cluster_count, &draft->set, became);
    for (unsigned i = 0; i < count; i++) {
        const struct cluster *cluster = &draft->clusters[i];
        struct scan_part *part = &class->parts[class->part_count + i];
        *part = (struct scan_part){ .shortest = SIZE_MAX,
                                    .gate = mark_of(s->b->plan, &cluster->gate),
                                    .needs_text = cluster->texts != NULL };
        part->literals = is_plain(cluster->kind);
        part->bytes = cluster->kind == CLUSTER_BYTES;
        part->words = cluster->kind == CLUSTER_USUAL;
        part->alone = cluster->kind == CLUSTER_LINE_ENDS;
        if (byte_set_share(&cluster->unless) > 0)
            part->unless = mark_of(s->b->plan, &cluster->unless);
    }
}

/* Of a pattern of the class, or of a text behind them that opens others. */
static enum cluster_kind kind_of(const struct sorting *s, const struct draft *draft,
                                 unsigned member)
{
    const struct scan_class *class = draft->class;
    if (member < class->id_count)
        return s->patterns[class->ids[member]].kind;
    return bit_has(draft->usual, member - class->id_count) ? CLUSTER_USUAL : CLUSTER_LITERALS;
}

static enum err sort_kind(const struct sorting *s, struct draft *draft, enum cluster_kind kind)
{
    struct scan_class *class = draft->class;
    uint16_t became[MEMBERS_MAX] = { 0 };
    const unsigned members = class->id_count + draft->text_count;
    draft->cluster_count = 0;
    for (unsigned i = 0; i < members; i++) {
        if (kind_of(s, draft, i) != kind)
            continue;
        if (i >= class->id_count) {
            TRY(put_in(s, draft, i, kind, &draft->text_gates[i - class->id_count]));
            continue;
        }
        const struct sorted *sorted = &s->patterns[class->ids[i]];
        TRY(put_in(s, draft, i, kind, &sorted->gate));
        add_needs(draft, i, sorted);
    }
    make_parts(s, draft, became);
    unsigned parts = 0;
    for (unsigned i = 0; i < members; i++) {
        if (kind_of(s, draft, i) != kind)
            continue;
        unsigned cluster = became[draft->member_of[i]];
        draft->part_of[i] = (uint8_t)(class->part_count + cluster);
        draft->per_part[class->part_count + cluster]++;
        parts = cluster + 1 > parts ? cluster + 1 : parts;
    }
    class->part_count += parts;
    return OK;
}

static void note_openings(const struct sorting *s, struct draft *draft)
{
    for (unsigned i = 0; i < draft->class->id_count; i++) {
        const struct sorted *sorted = &s->patterns[draft->class->ids[i]];
        for (unsigned j = 0; j < sorted->text_count; j++)
            draft->opens[text_index(draft, sorted->texts[j])] |= UINT32_C(1)
                                                                 << draft->part_of[i];
    }
}

static enum err fill_parts(const struct sorting *s, struct draft *draft)
{
    const struct sec_plan *plan = s->b->plan;
    struct scan_class *class = draft->class;
    for (unsigned i = 0; i < class->part_count; i++) {
        class->parts[i].ids = arena_array(s->b->arena, uint32_t, draft->per_part[i]);
        if (class->parts[i].ids == NULL)
            return ERR_MEMORY;
    }
    for (unsigned i = 0; i < class->id_count + draft->text_count; i++) {
        bool text = i >= class->id_count;
        unsigned index = text ? i - class->id_count : 0;
        size_t least = text ? draft->texts[index].len : plan->patterns[class->ids[i]].shortest;
        struct scan_part *part = &class->parts[draft->part_of[i]];
        uint32_t *ids = (uint32_t *)part->ids;
        ids[part->id_count++] = text ? PART_OPENS | draft->opens[index] : class->ids[i];
        part->shortest = least < part->shortest ? least : part->shortest;
    }
    return OK;
}

/* Each byte of a text is needed, in one case or the other. */
static void text_sets(struct span text, struct byte_set *sets, unsigned *count)
{
    *count = 0;
    for (size_t i = 0; i < text.len; i++) {
        struct byte_set set = { { 0 } };
        byte_set_add(&set, (uint8_t)text.p[i]);
        byte_set_add(&set, (uint8_t)ascii_lower(text.p[i]));
        if (text.p[i] >= 'a' && text.p[i] <= 'z')
            byte_set_add(&set, (uint8_t)(text.p[i] - 'a' + 'A'));
        need_add_set(sets, count, &set);
    }
}

/* Of plain texts, of which there are many, the rarest, and whether there is a letter. */
static unsigned few_sets(struct byte_set *sets, unsigned count)
{
    bool letter = count > 1 && same_bytes(&sets[count - 1], &need_letters);
    if (letter)
        sets[1] = need_letters;
    return count == 0 ? 0 : letter ? 2 : 1;
}

static void open_by(struct draft *draft, unsigned number, const struct need_way *way)
{
    for (unsigned i = 0; i < way->list_count; i++) {
        for (unsigned j = 0; j < way->lists[i].count; j++) {
            unsigned text = text_index(draft, way->lists[i].texts[j]);
            bit_add(draft->openings[text].by[i].words, number);
        }
    }
}

/* A pattern of which no ways are known has one that needs nothing. */
static enum err tell_ways(const struct sorting *s, struct draft *draft, unsigned index)
{
    struct pattern_ways any_way = { .count = 1 };
    uint32_t id = draft->class->ids[index];
    const struct pattern_ways *ways = &s->patterns[id].ways;
    struct scan_part *part = &draft->class->parts[draft->part_of[index]];
    for (unsigned i = 0; i < NEED_STARTS; i++)
        any_way.items[0].starts[i] = need_every_byte;
    if (ways->count == 0)
        ways = &any_way;
    for (unsigned i = 0; i < ways->count; i++) {
        const struct need_way *way = &ways->items[i];
        unsigned number, condition;
        TRY(plan_batch_add(s->b, draft->class, draft->part_of[index], &s->b->plan->patterns[id],
                           way->sets, way->set_count, &condition));
        if (!part->needs_text)
            continue;
        TRY(plan_way_add(s->b, draft->class, condition, way, &s->b->plan->patterns[id],
                         &number));
        bit_add(part->ways.words, number);
        if (s->patterns[id].edges == NULL)
            bit_add(part->sure.words, number);
        open_by(draft, number, way);
    }
    return OK;
}

static enum err tell_batch(const struct sorting *s, struct draft *draft)
{
    const struct sec_plan *plan = s->b->plan;
    struct scan_class *class = draft->class;
    struct byte_set sets[NEED_SETS_MAX];
    unsigned condition;
    for (unsigned i = 0; i < class->id_count; i++) {
        const struct pattern_need *need = &s->patterns[class->ids[i]].need;
        if (!need->literal) {
            TRY(tell_ways(s, draft, i));
            continue;
        }
        memcpy(sets, need->sets, sizeof(sets));
        TRY(plan_batch_add(s->b, class, draft->part_of[i], &plan->patterns[class->ids[i]], sets,
                           few_sets(sets, need->set_count), &condition));
    }
    for (unsigned i = 0; i < draft->text_count; i++) {
        unsigned count;
        text_sets(draft->texts[i], sets, &count);
        TRY(plan_batch_add(s->b, class, draft->part_of[class->id_count + i], NULL, sets,
                           few_sets(sets, count), &condition));
    }
    return OK;
}

/* To each part what its texts open. */
static enum err place_openings(const struct sorting *s, const struct draft *draft)
{
    struct scan_class *class = draft->class;
    unsigned at[PARTS_MAX] = { 0 };
    for (unsigned i = 0; i < class->id_count + draft->text_count; i++) {
        struct scan_part *part = &class->parts[draft->part_of[i]];
        unsigned id = at[draft->part_of[i]]++;
        if (i < class->id_count)
            continue;
        if (part->openings == NULL)
            part->openings = arena_array(s->b->arena, struct opening, part->id_count);
        if (part->openings == NULL)
            return ERR_MEMORY;
        struct opening *opening = (struct opening *)part->openings + id;
        *opening = draft->openings[i - class->id_count];
        opening->len = draft->texts[i - class->id_count].len;
        for (unsigned j = 0; j < WAY_LISTS; j++)
            set128_unite(&part->opened, &opening->by[j]);
    }
    return OK;
}

/* Edges of a part's patterns. Those that have none are asked about by their ways alone, if all
 * have ways. */
static enum err make_edges(const struct sorting *s, struct scan_part *part)
{
    const struct pattern_edges *edges[EDGE_PATTERNS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < part->id_count; i++) {
        if ((part->ids[i] & PART_OPENS) != 0)
            continue;
        const struct sorted *sorted = &s->patterns[part->ids[i]];
        if ((sorted->edges == NULL && !part->needs_text) || count == EDGE_PATTERNS_MAX)
            return OK;
        if (sorted->edges != NULL)
            edges[count++] = sorted->edges;
    }
    return count > 0 ? edges_make(s->edges, edges, count, s->b->arena, &part->edges) : OK;
}

static enum err take_apart(const struct sorting *s, struct draft *draft)
{
    TRY(gather_texts(s, draft));
    for (unsigned kind = 0; kind < CLUSTER_KINDS; kind++)
        TRY(sort_kind(s, draft, (enum cluster_kind)kind));
    note_openings(s, draft);
    TRY(fill_parts(s, draft));
    TRY(tell_batch(s, draft));
    TRY(place_openings(s, draft));
    for (unsigned i = 0; i < draft->class->part_count; i++) {
        if (!draft->class->parts[i].literals && draft->class->looked_count > 0)
            TRY(make_edges(s, &draft->class->parts[i]));
    }
    return plan_batch_end(s->b, draft->class);
}

/* ---- databases ------------------------------------------------------------------------------
 */

/* Without regard to case; each byte as \xHH has no other meaning. */
static const char *text_pattern(struct plan_builder *b, struct span text)
{
    struct text out = text_growing(b->arena, 4 * text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        text_lit(&out, "\\x");
        text_hex(&out, text.p + i, 1);
    }
    return text_cstring(&out);
}

static enum err describe(struct plan_builder *b, const struct draft *draft,
                         const struct scan_part *part, struct database_job *job)
{
    const char **texts = arena_array(b->arena, const char *, part->id_count);
    unsigned *flags = arena_array(b->arena, unsigned, part->id_count);
    unsigned *ids = arena_array(b->arena, unsigned, part->id_count);
    unsigned index = (unsigned)(part - draft->class->parts), text = draft->class->id_count;
    if (texts == NULL || flags == NULL || ids == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < part->id_count; i++) {
        ids[i] = i;
        if ((part->ids[i] & PART_OPENS) != 0) {
            while (draft->part_of[text] != index)
                text++;
            texts[i] = text_pattern(b, draft->texts[text++ - draft->class->id_count]);
            flags[i] = HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH;
            if (texts[i] == NULL)
                return ERR_MEMORY;
            continue;
        }
        texts[i] = b->plan->patterns[part->ids[i]].text;
        flags[i] = b->plan->patterns[part->ids[i]].flags;
    }
    *job = (struct database_job){ .texts = texts,
                                  .flags = flags,
                                  .ids = ids,
                                  .count = part->id_count,
                                  .mode = HS_MODE_BLOCK };
    return OK;
}

static void explain(struct plan_builder *b, const struct database_job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (jobs[i].error == NULL)
            continue;
        text_add(b->why, span_text(jobs[i].error));
        if (jobs[i].error_at < 0 || (unsigned)jobs[i].error_at >= jobs[i].count)
            return;
        text_lit(b->why, ": ");
        text_add(b->why, span_sub(span_text(jobs[i].texts[jobs[i].error_at]), 0, 200));
        return;
    }
}

struct jobs {
    struct database_job items[2 * PLAN_CLASSES_MAX * PARTS_MAX];
    struct hs_database **dbs[2 * PLAN_CLASSES_MAX * PARTS_MAX];
    struct scan_part
        *shared[PLAN_CLASSES_MAX * PARTS_MAX]; /* whose one database serves twice */
    unsigned count, shared_count;
};

static enum err add_jobs(struct plan_builder *b, struct jobs *jobs, const struct draft *draft)
{
    struct scan_class *class = draft->class;
    for (unsigned i = 0; i < class->part_count; i++) {
        struct scan_part *part = &class->parts[i];
        struct database_job *job = &jobs->items[jobs->count];
        bool possible, own;
        jobs->dbs[jobs->count++] = &part->db;
        TRY(describe(b, draft, part, job));
        TRY(plan_few(b, part, job));
        TRY(plan_batch_job(b, part, job, &jobs->items[jobs->count], &possible, &own));
        if (possible && own)
            jobs->dbs[jobs->count++] = &part->wide;
        else if (possible)
            jobs->shared[jobs->shared_count++] = part;
    }
    return OK;
}

/* All at once, so that they can be compiled side by side. */
static enum err make_all(struct plan_builder *b, struct edge_room *edges)
{
    struct sorting s = { .b = b };
    struct jobs *jobs = arena_new(b->arena, struct jobs);
    if (jobs == NULL)
        return ERR_MEMORY;
    s.edges = edges;
    TRY(plan_sort(b, edges, &s.patterns));
    for (unsigned i = 1; i < b->plan->class_count; i++) {
        struct draft *draft = arena_new(b->arena, struct draft);
        if (draft == NULL)
            return ERR_MEMORY;
        draft->class = &b->plan->classes[i];
        TRY(take_apart(&s, draft));
        TRY(add_jobs(b, jobs, draft));
    }
    enum err err = databases_make(b->maker, jobs->items, jobs->count, &b->plan->scratch);
    if (err == ERR_CONFIG)
        explain(b, jobs->items, jobs->count);
    for (unsigned i = 0; i < jobs->count; i++) {
        *jobs->dbs[i] = jobs->items[i].db;
        jobs->items[i].db = NULL;
        database_job_clear(&jobs->items[i]);
    }
    for (unsigned i = 0; i < jobs->shared_count; i++)
        jobs->shared[i]->wide = jobs->shared[i]->db;
    return err;
}

enum err plan_parts(struct plan_builder *b)
{
    struct arena scratch;
    arena_init(&scratch, NULL, 0, NULL, EDGE_MEMORY_MAX);
    struct edge_room *edges = arena_new(&scratch, struct edge_room);
    enum err err = ERR_MEMORY;
    if (edges != NULL) {
        edges->arena = &scratch;
        err = make_all(b, edges);
    }
    arena_reset(&scratch);
    return err;
}
