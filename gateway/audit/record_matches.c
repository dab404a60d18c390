/*
 * What an audit line tells of the rules that matched: as many as there is room for. The rest is
 * counted.
 */
#include "gateway/audit/record_line.h"

/* Caps in bytes of output; one unit of a surrogate escape may go over. */
enum {
    LOGDATA_MAX = 512,
    TAG_MAX = 64,
    TAGS_MAX = 16, /* of one match */
    TRANSFORMATIONS_MAX = 16,
    MESSAGE_MAX = 512,
    SAMPLE_MAX = 6 * SAMPLE_BYTES_MAX,
    MATCH_MAX = 2 * LINE_NAME_MAX + LINE_FIELD_MAX + MESSAGE_MAX + SAMPLE_MAX + LOGDATA_MAX +
                (TAGS_MAX + TRANSFORMATIONS_MAX) * (TAG_MAX + 4) + 256,
    TAIL_MAX = 1024, /* what follows the matches */
};

static void put_tags(struct line *line, const struct finding *finding)
{
    struct text *out = line->out;
    unsigned count = finding->tag_count < TAGS_MAX ? finding->tag_count : TAGS_MAX;
    if (count < finding->tag_count)
        line_note_cut(line, "matches.tags");
    if (count == 0)
        return;
    text_lit(out, "\"tags\":[");
    for (unsigned i = 0; i < count; i++)
        line_text(line, "matches.tags", finding->tags[i], TAG_MAX);
    line_end(out, ']');
}

static void put_transformations(struct line *line, const struct finding *finding)
{
    struct text *out = line->out;
    unsigned count = finding->transformation_count;
    if (count > TRANSFORMATIONS_MAX) {
        count = TRANSFORMATIONS_MAX;
        line_note_cut(line, "matches.transformations");
    }
    if (count == 0)
        return;
    text_lit(out, "\"transformations\":[");
    for (unsigned i = 0; i < count; i++)
        line_text(line, "matches.transformations", finding->transformations[i], TAG_MAX);
    line_end(out, ']');
}

static void put_match(struct line *line, const struct record *record,
                      const struct finding *finding)
{
    struct text *out = line->out;
    bool hidden = redaction_hides(line->redaction, record, finding);

    text_lit(out, "{\"rule\":");
    line_text(line, "matches.rule", finding->rule, LINE_NAME_MAX);
    if (finding->message.len > 0) {
        MEMBER(out, "msg");
        line_text(line, "matches.msg", finding->message, MESSAGE_MAX);
    }
    if (finding->severity != NULL) {
        MEMBER(out, "severity");
        line_name(out, finding->severity);
    }
    put_tags(line, finding);
    MEMBER(out, "field");
    line_text(line, "matches.field", finding->field, LINE_FIELD_MAX);
    if (hidden) {
        MEMBER(out, "sample");
        text_char(out, '"');
        redaction_pseudonym(out, line->redaction, finding->sample);
        text_lit(out, "\",");
    } else if (finding->sample.len > 0) {
        MEMBER(out, "sample");
        text_char(out, '"');
        struct span shown = line_cut(finding->sample, SAMPLE_BYTES_MAX);
        (void)line_escape(out, shown, SAMPLE_MAX);
        text_lit(out, "\",");
        if (shown.len < finding->sample.len) {
            MEMBER(out, "sample_bytes");
            line_uint(out, finding->sample.len);
        }
    }
    MEMBER(out, "offset");
    line_uint(out, finding->offset);
    put_transformations(line, finding);
    if (finding->score != 0) {
        MEMBER(out, "score");
        text_int(out, finding->score);
        text_char(out, ',');
    }
    if (finding->logdata.len > 0) {
        MEMBER(out, "logdata");
        text_char(out, '"');
        if (hidden || redaction_hides_logdata(line->redaction, finding))
            redaction_pseudonym(out, line->redaction, finding->logdata);
        else if (!line_escape(out, finding->logdata, LOGDATA_MAX))
            line_note_cut(line, "matches.logdata");
        text_lit(out, "\",");
    }
    line_end(out, '}');
}

static void put_scores(struct text *out, const struct scores *scores)
{
    static const char *const names[SCORE_KINDS] = {
        [SCORE_INBOUND] = "\"inbound\":", [SCORE_OUTBOUND] = "\"outbound\":"
    };
    OBJECT(out, "score");
    for (unsigned kind = 0; kind < SCORE_KINDS; kind++) {
        if (!scores->set[kind])
            continue;
        text_add(out, span_text(names[kind]));
        text_int(out, scores->value[kind]);
        text_char(out, ',');
    }
    line_end(out, '}');
}

void record_put_matches(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    size_t count = record->finding_count < FINDINGS_MAX ? record->finding_count : FINDINGS_MAX;
    size_t dropped = record->findings_dropped, i = 0;

    if (count > 0) {
        text_lit(out, "\"matches\":[");
        for (; i < count; i++) {
            if (out->len - line->start + MATCH_MAX + TAIL_MAX > RECORD_BYTES_MAX)
                break;
            put_match(line, record, &record->findings[i]);
        }
        dropped += count - i;
        line_end(out, ']');
    }
    if (dropped > 0) {
        MEMBER(out, "matches_dropped");
        line_uint(out, dropped);
    }
    if (record->scores.set[SCORE_INBOUND] || record->scores.set[SCORE_OUTBOUND])
        put_scores(out, &record->scores);
}
