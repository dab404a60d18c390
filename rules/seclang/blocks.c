/*
 * Blocks. <IfModule> and <IfDefine> are decided as for a web server that has ModSecurity and
 * nothing else; what is left out by that is told. Blocks that choose by place or host are
 * errors: sites and routes do that.
 */
#include "rules/seclang/parser.h"

/* What rules ask for before they begin. */
static const char *const modules[] = {
    "security2_module", "mod_security2.c",  "mod_security2",   "security3_module",
    "mod_security3.c",  "unique_id_module", "mod_unique_id.c", "mod_security.c",
};

static bool skipping(const struct parser *parser)
{
    return parser->block_count > 0 && parser->blocks[parser->block_count - 1].skipped;
}

static bool module_there(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(modules); i++) {
        if (span_equal_nocase(name, span_text(modules[i])))
            return true;
    }
    return false;
}

/* True: what stands in the block is read. */
static bool decide(struct parser *parser, const struct statement *statement)
{
    struct span name = statement->name.text;
    bool by_module = span_equal_nocase(name, SPAN("IfModule"));
    if (!by_module && !span_equal_nocase(name, SPAN("IfDefine"))) {
        fault_hint(parser, DIAG_SECLANG_UNSUPPORTED, statement_place(statement),
                   "blocks of % are not supported", name,
                   SPAN("which rules apply where is said by sites and routes"));
        return false;
    }
    if (statement->count != 1) {
        fault(parser, DIAG_SECLANG_SYNTAX, statement_place(statement), "% takes one name",
              name);
        return false;
    }
    struct span what = statement->words[0].text;
    bool negated = span_starts(what, SPAN("!"));
    if (negated)
        what = span_sub(what, 1, what.len);
    bool holds = (by_module && module_there(what)) != negated;
    if (!holds)
        note(parser, DIAG_SECLANG_IGNORED, argument_place(statement, 0),
             "what stands in this block is left out: % does not hold here",
             statement->words[0].text);
    return holds;
}

static void open_block(struct parser *parser, const struct statement *statement)
{
    if (parser->block_count == BLOCK_DEPTH_MAX) {
        fault(parser, DIAG_SECLANG_LIMIT, statement_place(statement),
              "blocks are nested too deeply", SPAN(""));
        return;
    }
    bool skipped = skipping(parser) || !decide(parser, statement);
    parser->blocks[parser->block_count++] =
        (struct block_frame){ statement->name.text, statement_place(statement), skipped };
}

static void close_block(struct parser *parser, const struct statement *statement)
{
    const struct block_frame *open =
        parser->block_count > 0 ? &parser->blocks[parser->block_count - 1] : NULL;
    if (open == NULL || !span_equal_nocase(open->name, statement->name.text)) {
        fault(parser, DIAG_SECLANG_SYNTAX, statement_place(statement),
              "no block of % is open here", statement->name.text);
        return;
    }
    parser->block_count--;
}

bool block_run(struct parser *parser, const struct statement *statement)
{
    if (statement->block == BLOCK_OPEN)
        open_block(parser, statement);
    else if (statement->block == BLOCK_CLOSE)
        close_block(parser, statement);
    return statement->block != BLOCK_NONE || skipping(parser);
}

void blocks_end(struct parser *parser, unsigned count)
{
    while (parser->block_count > count) {
        const struct block_frame *open = &parser->blocks[--parser->block_count];
        fault(parser, DIAG_SECLANG_SYNTAX, open->place, "the block of % is never closed",
              open->name);
    }
}
