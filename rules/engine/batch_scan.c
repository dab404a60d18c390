/*
 * The texts of a batch scanned together, a line each: in the lines where something was found,
 * the part is asked about each text by itself, and that alone counts.
 *
 * Why nothing is missed: what `db` of a part finds in a text, `wide` finds in its line
 * (pattern_for_lines, and plain texts at every place), and a text that opens a part stands in
 * the line as it stands in the text. Texts that edges (edge.h) do not let pass have no match.
 *
 * Work is counted by value, whatever else is in the buffer, so that no decision depends on what
 * a value happens to stand beside.
 */
#include "rules/engine/batch.h"
#include "rules/engine/edge.h"
#include "rules/engine/hand.h"
#include "rules/engine/set128.h"

#include <hs/hs_runtime.h>

enum {
    LONG_LINE = 512, /* texts in lines so long are better looked for once in each of them */
    SCANS_MAX = 8,   /* of a part's lines together, when some have finds */
    WORK_LINE = 16,
    WORK_FIND = 8,
    EDGE_BYTES = 2, /* looked at for edges in the time it takes to scan one */
};

/* The line that has the byte before `to`. */
static unsigned line_at(struct sec_batch *batch, unsigned long long to)
{
    size_t at = to > 0 ? (size_t)to - 1 : 0;
    if (at < batch->starts[batch->at])
        batch->at = 0;
    while (batch->at + 1 < batch->pick_count && at >= batch->starts[batch->at + 1])
        batch->at++;
    return batch->at;
}

static void count_work(struct sec_batch *batch, const struct line *line, size_t work)
{
    batch->run->work += work;
    batch->values[line->value].work += work;
}

/* Work is counted once for each, however often and in whatever company it is found. */
static void find(struct sec_batch *batch, const struct line *line,
                 const struct plan_pattern *pattern)
{
    const struct batch_value *of = &batch->values[line->value];
    const struct scan_class *class = &batch->run->plan->classes[of->class];
    const struct sec_value *value = of->value;
    const struct plan_group *group = &batch->run->plan->groups[value->group];
    if ((pattern->at_start && value->goes_back) || (pattern->at_end && value->goes_on))
        return;
    for (unsigned i = 0; i < pattern->find_count && !batch->memory; i++) {
        const struct plan_find *found = &pattern->finds[i];
        if (!bit_has(group->bits, found->bit) ||
            sec_batch_text(class, of, found->form) != line->index ||
            (value->hits != NULL && bit_has(value->hits, found->bit)))
            continue;
        count_work(batch, line, WORK_FIND);
        batch->memory = !sec_note_find(batch->run, of->value, found->bit);
    }
}

static void open_ways(struct line *line, const struct opening *opening)
{
    for (unsigned i = 0; i < WAY_LISTS; i++)
        set128_unite(&line->found[i], &opening->by[i]);
}

/* A plain text is found where it stands; one with a line's end in it, in two lines, is not. */
static int on_text(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *context)
{
    struct sec_batch *batch = context;
    uint32_t index = batch->part->ids[id];
    (void)from, (void)flags;
    unsigned at = line_at(batch, to);
    struct line *line = &batch->lines[batch->picked[at]];
    if ((index & PART_OPENS) != 0) {
        const struct opening *opening = &batch->part->openings[id];
        if (to >= batch->starts[at] + opening->len && to <= batch->starts[at] + line->text.len)
            open_ways(line, opening);
        return 0;
    }
    const struct plan_pattern *pattern = &batch->run->plan->patterns[index];
    if (to >= batch->starts[at] + pattern->shortest && to <= batch->starts[at] + line->text.len)
        find(batch, line, pattern);
    return batch->memory;
}

struct batch_scan {
    struct sec_batch *batch;
    unsigned from;
};

static int on_pattern(unsigned id, unsigned long long from, unsigned long long to,
                      unsigned flags, void *context)
{
    struct batch_scan *scan = context;
    (void)id, (void)from, (void)flags;
    scan->batch->hit = line_at(scan->batch, to + scan->batch->starts[scan->from]);
    return 1;
}

/* One of the part's texts or patterns is in the line. */
static void meet(struct sec_batch *batch, struct line *line, unsigned id)
{
    uint32_t index = batch->part->ids[id];
    if ((index & PART_OPENS) != 0)
        open_ways(line, &batch->part->openings[id]);
    else
        find(batch, line, &batch->run->plan->patterns[index]);
}

static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *context)
{
    struct sec_batch *batch = context;
    (void)from, (void)to, (void)flags;
    meet(batch, batch->alone, id);
    return batch->memory;
}

static void scan(struct sec_batch *batch, const struct hs_database *db, struct span text,
                 match_event_handler handler, void *context)
{
    struct sec_run *run = batch->run;
    run->counts.scans++;
    run->counts.scanned_bytes += text.len;
    hs_error_t err =
        hs_scan(db, text.p, (unsigned)text.len, 0, run->local->scratch, handler, context);
    INVARIANT(err == HS_SUCCESS || err == HS_SCAN_TERMINATED);
}

static void scan_alone(struct sec_batch *batch, unsigned picked)
{
    batch->alone = &batch->lines[batch->picked[picked]];
    if (!batch->memory)
        scan(batch, batch->part->db, batch->alone->text, on_find, batch);
}

static void scan_each(struct sec_batch *batch)
{
    for (unsigned i = 0; i < batch->pick_count; i++)
        scan_alone(batch, i);
}

static void look_by_hand(struct sec_batch *batch)
{
    for (unsigned i = 0; i < batch->pick_count; i++) {
        struct line *line = &batch->lines[batch->picked[i]];
        uint32_t found = hand_found(batch->part, line->text);
        for (; found != 0 && !batch->memory; found &= found - 1)
            meet(batch, line, (unsigned)__builtin_ctz(found));
    }
}

/* The lines [from, to), and by itself each that has a find. */
static void scan_lines(struct sec_batch *batch, unsigned from, unsigned to, unsigned *scans)
{
    const struct scan_part *part = batch->part;
    struct batch_scan lines = { batch, from };
    if (from >= to)
        return;
    if (to - from == 1 || (*scans)++ >= SCANS_MAX) {
        for (unsigned i = from; i < to; i++)
            scan_alone(batch, i);
        return;
    }
    batch->hit = BATCH_TEXTS_MAX;
    scan(batch, part->wide,
         span_of(batch->buffer + batch->starts[from], batch->starts[to] - batch->starts[from]),
         on_pattern, &lines);
    unsigned hit = batch->hit;
    if (hit == BATCH_TEXTS_MAX)
        return;
    scan_alone(batch, hit);
    scan_lines(batch, from, hit, scans);
    scan_lines(batch, hit + 1, to, scans);
}

static bool is_asked(struct sec_batch *batch, const struct line *line,
                     const struct scan_part *part)
{
    uint64_t open = 0, sure = 0;
    if (line->text.len < part->shortest ||
        (part->usual != NULL && !set128_meet(&line->may, &part->opened)))
        return false;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t ways = line->may.words[i] & line->found[0].words[i] & line->found[1].words[i];
        open |= ways & part->ways.words[i];
        sure |= ways & part->sure.words[i];
    }
    if (part->needs_text && open == 0)
        return false;
    if (sure != 0 || part->edges == NULL)
        return true;
    count_work(batch, line, line->text.len / EDGE_BYTES);
    return edges_pass(part->edges, line->text);
}

/* Which lines each of some parts is asked about. */
static void pick(struct sec_batch *batch, unsigned class, uint32_t among)
{
    const struct scan_part *parts = batch->run->plan->classes[class].parts;
    for (unsigned next = batch->lines_of[class]; next > 0;) {
        const unsigned i = next - 1;
        const struct line *line = &batch->lines[i];
        next = line->next;
        for (uint32_t asks = line->asks & among; asks != 0; asks &= asks - 1) {
            const unsigned part = (unsigned)__builtin_ctz(asks);
            if (is_asked(batch, line, &parts[part]))
                batch->picks_of[part][batch->picks[part]++] = (uint16_t)i;
        }
    }
}

static void scan_with_others(struct sec_batch *batch)
{
    const struct scan_part *part = batch->part;
    unsigned used = 0, scans = 0;
    batch->at = 0;
    for (unsigned i = 0; i < batch->pick_count; i++) {
        const struct line *line = &batch->lines[batch->picked[i]];
        batch->starts[i] = used;
        memcpy(batch->buffer + used, line->text.p, line->text.len);
        used += (unsigned)line->text.len;
        batch->buffer[used++] = '\n';
    }
    batch->starts[batch->pick_count] = used;
    if (part->literals)
        scan(batch, part->wide, span_of(batch->buffer, used), on_text, batch);
    else
        scan_lines(batch, 0, batch->pick_count, &scans);
}

/* Whether its lines are better scanned one by one. */
static bool is_for_each(const struct sec_batch *batch, size_t bytes)
{
    const struct scan_part *part = batch->part;
    if (part->wide == NULL)
        return true;
    return part->literals ? bytes / batch->pick_count >= LONG_LINE : batch->pick_count == 1;
}

static void scan_part(struct sec_batch *batch, unsigned class, unsigned index)
{
    size_t bytes = 0;
    batch->part = &batch->run->plan->classes[class].parts[index];
    batch->picked = batch->picks_of[index];
    batch->pick_count = batch->picks[index];
    for (unsigned i = 0; i < batch->pick_count; i++) {
        const struct line *line = &batch->lines[batch->picked[i]];
        count_work(batch, line,
                   batch->part->usual != NULL ? line->text.len / USUAL_BYTES
                                              : line->text.len + WORK_LINE);
        bytes += line->text.len;
    }
    if (batch->part->few != NULL)
        look_by_hand(batch);
    else if (batch->pick_count > 0 && is_for_each(batch, bytes))
        scan_each(batch);
    else if (batch->pick_count > 0)
        scan_with_others(batch);
}

static enum sec_end scan_parts(struct sec_batch *batch, unsigned class, uint32_t asked)
{
    memset(batch->picks, 0, sizeof(batch->picks));
    pick(batch, class, asked);
    for (; asked != 0; asked &= asked - 1) {
        scan_part(batch, class, (unsigned)__builtin_ctz(asked));
        if (batch->memory)
            return SEC_MEMORY;
        if (batch->run->work > batch->run->budget)
            return SEC_SPENT;
    }
    return SEC_DONE;
}

/* Texts are found before what they open. */
enum sec_end sec_batch_scan(struct sec_batch *batch, struct sec_run *run)
{
    enum sec_end end = SEC_DONE;
    batch->run = run;
    batch->memory = false;
    for (unsigned class = 1; class < batch->class_end && end == SEC_DONE; class ++) {
        const uint32_t asked = batch->asked[class], told = run->plan->classes[class].told;
        if (asked == 0)
            continue;
        end = scan_parts(batch, class, asked & ~told);
        if (end == SEC_DONE)
            end = scan_parts(batch, class, asked & told);
    }
    return end;
}
