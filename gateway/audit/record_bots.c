/* One member of the line, and the commas in it. */
#include "gateway/audit/record_bots.h"

#include "gateway/audit/record_line.h"

static void put_reasons(struct text *out, const struct bots_told *bots)
{
    text_lit(out, "\"reasons\":[");
    for (unsigned i = 0; i < bots->reason_count && i < BOT_REASONS_MAX; i++) {
        text_lit(out, "{\"reason\":\"");
        text_add(out, bots->reasons[i].name);
        text_lit(out, "\",\"weight\":");
        text_int(out, bots->reasons[i].weight);
        text_lit(out, "},");
    }
    line_end(out, ']');
}

void record_put_bots(struct line *line, const struct bots_told *bots)
{
    struct text *out = line->out;
    if (bots == NULL)
        return;
    OBJECT(out, "bots");
    if (bots->scored) {
        MEMBER(out, "score");
        text_int(out, bots->score);
        text_char(out, ',');
        put_reasons(out, bots);
    }
    if (bots->outcome != NULL) {
        MEMBER(out, "outcome");
        line_name(out, bots->outcome);
    }
    if (bots->verified.len > 0) {
        MEMBER(out, "verified");
        line_text(line, "sallyport.bots.verified", bots->verified, LINE_NAME_MAX);
    }
    if (bots->cleared)
        text_lit(out, "\"cleared\":true,");
    if (bots->attack)
        text_lit(out, "\"attack\":true,");
    line_end(out, '}');
}
