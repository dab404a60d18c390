/*
 * libyaml says what its grammar expected. This says what the writer most likely did: an
 * unquoted
 * `*` or `@`, a tab, a colon inside a value, a quote that nothing closes.
 */
#include "conf/loading.h"

enum { WORD_SHOWN = 40 };

struct situation {
    struct span text, at_problem, at_context; /* the last two: from there to the end */
    struct arena *arena;
};

/* The value that begins there: as far as it would go without quotes. */
static struct span word_at(struct span text)
{
    size_t len = 0;
    while (len < text.len && len < WORD_SHOWN && strchr(" \t\r\n,]}#", text.p[len]) == NULL)
        len++;
    return span_sub(text, 0, len);
}

static struct span quote_it(struct arena *arena, struct span at)
{
    struct span word = word_at(at);
    struct text t = text_growing(arena, 64);
    if (word.len == 0 || memchr(word.p, '"', word.len) != NULL)
        return SPAN("quote it");
    text_lit(&t, "quote it: \"");
    text_add(&t, word);
    text_char(&t, '"');
    return text_span(&t);
}

static void explain_alias(const struct situation *at, struct yaml_fault *fault)
{
    fault->message = SPAN("a value without quotes cannot start with * or &");
    fault->hint = quote_it(at->arena, at->at_context);
    fault->at_context = true;
}

static void explain_tag(const struct situation *at, struct yaml_fault *fault)
{
    fault->message = SPAN("a value without quotes cannot start with !");
    fault->hint = quote_it(at->arena, at->at_context);
    fault->at_context = true;
}

static void explain_tab(const struct situation *at UNUSED, struct yaml_fault *fault)
{
    fault->message = SPAN("a tab cannot be used for indentation");
    fault->hint = SPAN("indent with spaces");
}

static void explain_start(const struct situation *at, struct yaml_fault *fault)
{
    if (span_starts(at->at_problem, SPAN("\t"))) {
        explain_tab(at, fault);
        return;
    }
    fault->message = SPAN("a value without quotes cannot start with this character");
    fault->hint = quote_it(at->arena, at->at_problem);
}

/* A second colon on the line, or a line that is indented too far. */
static void explain_colon(const struct situation *at, struct yaml_fault *fault)
{
    const char *p = at->at_problem.p;
    bool colon_before = false;
    while (p > at->text.p && p[-1] != '\n') {
        p--;
        colon_before = colon_before || *p == ':';
    }
    fault->message = SPAN("a colon cannot stand here");
    fault->hint = colon_before ? SPAN("quote the value: it has a colon in it")
                               : SPAN("is this line indented like its neighbours?");
}

static void explain_quote(const struct situation *at UNUSED, struct yaml_fault *fault)
{
    fault->message = SPAN("this quote is never closed");
    fault->at_context = true;
}

static void explain_escape(const struct situation *at UNUSED, struct yaml_fault *fault)
{
    fault->message = SPAN("unknown escape in double quotes");
    fault->hint = SPAN("write \\\\ for a backslash, or use single quotes");
}

static void explain_simple_key(const struct situation *at UNUSED, struct yaml_fault *fault)
{
    fault->message = SPAN("expected \"key: value\" or \"- item\"");
    fault->hint = SPAN("no colon and space after this key?");
    fault->at_context = true;
}

/* when: "x" == path: the quotes end the value, as YAML sees it. */
static bool behind_quote(const struct situation *at)
{
    const char *p = at->at_problem.p;
    while (p > at->text.p && p[-1] == ' ')
        p--;
    return p > at->text.p && (p[-1] == '"' || p[-1] == '\'');
}

static void explain_block_mapping(const struct situation *at, struct yaml_fault *fault)
{
    if (behind_quote(at)) {
        fault->message = SPAN("nothing can follow a closing quote on its line");
        fault->hint =
            SPAN("put the whole value in quotes of the other kind, or escape those inside");
        return;
    }
    fault->message = SPAN("expected a key of the mapping that began above");
    fault->hint = SPAN("is this line indented like its neighbours?");
    fault->show_context = true;
}

static void explain_block_list(const struct situation *at UNUSED, struct yaml_fault *fault)
{
    fault->message = SPAN("expected \"- \" of the list that began above");
    fault->hint = SPAN("is this line indented like its neighbours?");
    fault->show_context = true;
}

static void explain_flow(const struct situation *at, struct yaml_fault *fault)
{
    fault->message = SPAN("expected a comma or the closing bracket");
    fault->hint = SPAN("the bracket was opened at the second place");
    bool brace = span_starts(at->at_problem, SPAN("{"));
    if (brace && at->at_problem.p > at->text.p && at->at_problem.p[-1] == '$')
        fault->hint = SPAN("write $(env:NAME), with parentheses");
    fault->show_context = true;
}

static void explain_dash(const struct situation *at UNUSED, struct yaml_fault *fault)
{
    fault->message = SPAN("a list cannot start here");
    fault->hint = SPAN("put \"- item\" on the next line, or write [item, item]");
}

static void explain_end(const struct situation *at UNUSED, struct yaml_fault *fault)
{
    fault->message = SPAN("expected the end of the file");
    fault->hint = SPAN("is this line indented like its neighbours?");
}

/* The first row whose words occur in libyaml's context and problem. */
static const struct {
    const char *context, *problem;
    void (*explain)(const struct situation *at, struct yaml_fault *fault);
} known[] = {
    { "alias", "", explain_alias },
    { "anchor", "", explain_alias },
    { " tag", "", explain_tag },
    { "", "tab character", explain_tab },
    { "", "cannot start any token", explain_start },
    { "", "mapping values are not allowed", explain_colon },
    { "quoted scalar", "unexpected end of stream", explain_quote },
    { "quoted scalar", "document indicator", explain_quote },
    { "quoted scalar", "escape", explain_escape },
    { "simple key", "", explain_simple_key },
    { "block mapping", "", explain_block_mapping },
    { "block collection", "", explain_block_list },
    { "flow ", "", explain_flow },
    { "", "block sequence entries are not allowed", explain_dash },
    { "", "<document start>", explain_end },
};

static struct span general(const yaml_parser_t *parser, struct arena *arena)
{
    struct text t = text_growing(arena, 80);
    text_lit(&t, "not valid YAML: ");
    text_add(&t, span_text(parser->problem != NULL ? parser->problem : "unknown error"));
    if (parser->context != NULL) {
        text_char(&t, ' ');
        text_add(&t, span_text(parser->context));
    }
    return text_span(&t);
}

void yaml_fault_explain(const yaml_parser_t *parser, const struct yaml_stop *stop,
                        struct arena *arena, struct yaml_fault *fault)
{
    const char *context = parser->context != NULL ? parser->context : "";
    const char *problem = parser->problem != NULL ? parser->problem : "";
    struct situation at = { .text = stop->text, .arena = arena };
    at.at_problem = span_sub(stop->text, stop->problem, stop->text.len);
    at.at_context = span_sub(stop->text, stop->context, stop->text.len);

    *fault = (struct yaml_fault){ .hint = SPAN("") };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strstr(context, known[i].context) == NULL ||
            strstr(problem, known[i].problem) == NULL)
            continue;
        known[i].explain(&at, fault);
        return;
    }
    fault->message = general(parser, arena);
}
