/*
 * One text to a tree of nodes, over libyaml's events (its document interface is quadratic on
 * hostile nesting). What YAML offers beyond mappings, lists and scalars is refused: an alias
 * makes a line mean something that stands elsewhere, and has been a bomb before.
 *
 * libyaml's marks count characters; places need bytes, too. The text is checked first, so that
 * every line break is one that an editor shows, and a cursor then follows the marks.
 */
#include "conf/yaml.h"

#include "conf/loading.h"

struct cursor {
    size_t index, offset; /* characters and bytes from the start */
    unsigned line, column;
};

struct frame {
    struct node *node;
    struct node *last; /* child */
    struct node *key;  /* MAP: waits for its value */
};

struct reader {
    struct loading *loading;
    const struct source *source;
    struct span text; /* without a byte order mark */
    yaml_parser_t parser;
    struct cursor cursor;
    struct place last_open; /* the last quoted scalar over several lines */
    struct frame frames[YAML_DEPTH_MAX];
    unsigned depth, documents;
    struct node *root;
};

static void complain_at(struct reader *r, enum diag_code code, struct place place,
                        const char *message, struct span hint)
{
    diag_add(r->loading->diags, SEVERITY_ERROR, code, place, span_text(message), hint);
}

static void cursor_seek(const struct reader *r, struct cursor *cursor, size_t index)
{
    if (index < cursor->index)
        *cursor = (struct cursor){ .line = 1, .column = 1 };
    const char *p = r->text.p + cursor->offset, *end = span_end(r->text);
    for (; cursor->index < index && p < end; cursor->index++) {
        if (*p == '\n') {
            cursor->line++;
            cursor->column = 0;
        }
        cursor->column++;
        (void)utf8_next(&p, end);
    }
    cursor->offset = (size_t)(p - r->text.p);
}

static struct place place_of(struct reader *r, const yaml_mark_t *from, const yaml_mark_t *to)
{
    struct cursor *start = &r->cursor;
    cursor_seek(r, start, from->index);
    struct cursor stop = *start;
    if (to != NULL && to->index > from->index)
        cursor_seek(r, &stop, to->index);

    /* A text over several lines is underlined at its first character. */
    bool one_line = stop.line == start->line && stop.column > start->column;
    return (struct place){
        .source = r->source,
        .line = start->line,
        .column = start->column,
        .width = one_line ? stop.column - start->column : 1,
        .offset = (size_t)(r->text.p - r->source->text.p) + start->offset,
        .length = stop.offset - start->offset,
    };
}

static bool refused_character(int32_t point)
{
    static const struct {
        int32_t from, to;
    } ranges[] = {
        { -1, 0x08 },       { 0x0b, 0x0c },     { 0x0e, 0x1f },
        { 0x7f, 0x9f },     { 0x2028, 0x202e }, /* other line ends, and reordered text */
        { 0x2066, 0x2069 }, { 0xfeff, 0xfeff }, { 0xfffe, 0xffff },
    };
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (point >= ranges[i].from && point <= ranges[i].to)
            return true;
    }
    return false;
}

/* Reordering characters make a file read otherwise than it parses (CVE-2021-42574). */
static bool text_acceptable(struct reader *r)
{
    const char *p = r->text.p, *end = span_end(r->text);
    for (size_t index = 0; p < end; index++) {
        const char *start = p;
        int32_t point = utf8_next(&p, end);
        bool lone_cr = point == '\r' && (p == end || *p != '\n');
        if (!refused_character(point) && !lone_cr)
            continue;
        yaml_mark_t mark = { .index = index };
        struct place place = place_of(r, &mark, NULL);
        place.length = (size_t)(p - start);
        complain_at(r, DIAG_ENCODING, place,
                    point < 0 ? "this byte is not UTF-8"
                              : "this control character is not accepted",
                    SPAN(""));
        return false;
    }
    return true;
}

static void syntax_error(struct reader *r)
{
    yaml_parser_t *parser = &r->parser;
    bool has_context = parser->context != NULL;
    struct place problem = place_of(r, &parser->problem_mark, NULL);
    struct place context = has_context ? place_of(r, &parser->context_mark, NULL) : problem;
    size_t skipped = (size_t)(r->text.p - r->source->text.p);
    struct yaml_stop stop = { r->text, problem.offset - skipped, context.offset - skipped };
    struct yaml_fault fault;

    yaml_fault_explain(parser, &stop, r->loading->arena, &fault);
    struct place other = { .source = NULL };
    if (fault.show_context && has_context)
        other = context;
    /* A quote closed too late swallows lines; the error shows up below them. */
    if (r->last_open.source != NULL && !fault.at_context) {
        other = r->last_open;
        fault.hint =
            SPAN("is the quote that opens at the second place closed where it should be?");
    }
    const struct place places[2] = { fault.at_context ? context : problem, other };
    diag_add_pair(r->loading->diags, SEVERITY_ERROR, DIAG_SYNTAX, places, fault.message,
                  fault.hint);
}

static struct node *new_node(struct reader *r, enum node_kind kind, struct place place)
{
    struct node *node = NULL;
    if (r->loading->nodes < YAML_NODES_MAX)
        node = arena_new(r->loading->arena, struct node);
    if (node == NULL) {
        complain_at(r, DIAG_LIMIT, place, "the configuration is too large", SPAN(""));
        return NULL;
    }
    r->loading->nodes++;
    node->kind = kind;
    node->place = place;
    return node;
}

static void append(struct frame *frame, struct node *node)
{
    if (frame->last != NULL)
        frame->last->next = node;
    else
        frame->node->child = node;
    frame->last = node;
    frame->node->count++;
}

static void check_key(struct reader *r, struct node *key)
{
    const char *message = NULL;
    if (key->kind != NODE_SCALAR)
        message = "a key must be a single word";
    else if (!key->quoted && span_equal(key->text, SPAN("<<")))
        message = "merge keys are not accepted";
    else if (span_find(key->text, SPAN("$(")) >= 0)
        message = "$(...) cannot stand in a key";
    if (message == NULL)
        return;
    complain_at(r, DIAG_YAML_FEATURE, key->place, message, SPAN("write it out"));
    key->bad = true;
}

/* Puts a node where it belongs; a scalar may be a key. */
static void put(struct reader *r, struct node *node)
{
    if (r->depth == 0) {
        r->root = node;
        return;
    }
    struct frame *frame = &r->frames[r->depth - 1];
    if (frame->node->kind == NODE_LIST) {
        append(frame, node);
        return;
    }
    if (frame->key != NULL) {
        node->key = frame->key;
        node->bad = node->bad || node->key->bad;
        frame->key = NULL;
        append(frame, node);
        return;
    }
    check_key(r, node);
    frame->key = node;
}

static bool at_key(const struct reader *r)
{
    if (r->depth == 0)
        return false;
    const struct frame *frame = &r->frames[r->depth - 1];
    return frame->node->kind == NODE_MAP && frame->key == NULL;
}

static bool has_feature(struct reader *r, struct place place, const void *anchor,
                        const void *tag)
{
    if (anchor != NULL)
        complain_at(r, DIAG_YAML_FEATURE, place, "anchors are not accepted",
                    SPAN("put the value in quotes, or write it out"));
    else if (tag != NULL)
        complain_at(r, DIAG_YAML_FEATURE, place, "tags are not accepted",
                    SPAN("put the value in quotes"));
    return anchor != NULL || tag != NULL;
}

static bool take_scalar(struct reader *r, const yaml_event_t *event)
{
    struct place place = place_of(r, &event->start_mark, &event->end_mark);
    struct node *node = new_node(r, NODE_SCALAR, place);
    if (node == NULL)
        return false;

    yaml_scalar_style_t style = event->data.scalar.style;
    node->quoted =
        style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    if (node->quoted && event->end_mark.line > event->start_mark.line)
        r->last_open = place;
    node->text = arena_copy(r->loading->arena, span_of((const char *)event->data.scalar.value,
                                                       event->data.scalar.length));
    if (node->text.p == NULL) {
        complain_at(r, DIAG_LIMIT, place, "the configuration is too large", SPAN(""));
        return false;
    }
    node->bad = has_feature(r, place, event->data.scalar.anchor, event->data.scalar.tag);
    if (span_index(node->text, '\0') >= 0) {
        complain_at(r, DIAG_ENCODING, place, "a value cannot hold a NUL byte", SPAN(""));
        node->bad = true;
    }
    if (!node->bad && !at_key(r))
        substitute(r->loading, node);
    put(r, node);
    return true;
}

static bool take_alias(struct reader *r, const yaml_event_t *event)
{
    struct place place = place_of(r, &event->start_mark, &event->end_mark);
    struct node *node = new_node(r, NODE_SCALAR, place);
    struct text hint = text_growing(r->loading->arena, 64);
    if (node == NULL)
        return false;
    text_lit(&hint, "if the * is meant literally, quote it: \"*");
    text_add(&hint, span_text((const char *)event->data.alias.anchor));
    text_char(&hint, '"');
    complain_at(r, DIAG_YAML_FEATURE, place, "aliases are not accepted", text_span(&hint));
    node->bad = true;
    put(r, node);
    return true;
}

static bool open_collection(struct reader *r, enum node_kind kind, const yaml_event_t *event,
                            const void *anchor, const void *tag)
{
    struct place place = place_of(r, &event->start_mark, NULL);
    struct node *node = new_node(r, kind, place);
    if (node == NULL)
        return false;
    node->bad = has_feature(r, place, anchor, tag);
    put(r, node);
    if (r->depth == YAML_DEPTH_MAX) {
        complain_at(r, DIAG_LIMIT, place, "the configuration is nested too deeply", SPAN(""));
        return false;
    }
    r->frames[r->depth++] = (struct frame){ .node = node };
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
    int order = span_compare(x->key->text, y->key->text);
    if (order != 0)
        return order;
    return x->key->place.offset < y->key->place.offset ? -1 : 1;
}

/* By sorting: a mapping may have very many keys. */
static bool refuse_duplicates(struct reader *r, const struct node *map)
{
    if (map->count < 2)
        return true;
    struct node **items = arena_array(r->loading->arena, struct node *, map->count);
    if (items == NULL) {
        complain_at(r, DIAG_LIMIT, map->place, "the configuration is too large", SPAN(""));
        return false;
    }
    size_t count = 0;
    for (struct node *item = map->child; item != NULL; item = item->next) {
        if (item->key->kind == NODE_SCALAR)
            items[count++] = item;
    }
    qsort(items, count, sizeof(struct node *), compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (!span_equal(items[i]->key->text, items[i - 1]->key->text))
            continue;
        struct text message = text_growing(r->loading->arena, 64);
        text_lit(&message, "the key \"");
        text_add(&message, span_sub(items[i]->key->text, 0, 80));
        text_lit(&message, "\" stands twice");
        const struct place places[2] = { items[i]->key->place, items[i - 1]->key->place };
        diag_add_pair(r->loading->diags, SEVERITY_ERROR, DIAG_DUPLICATE, places,
                      text_span(&message), SPAN(""));
        items[i]->bad = true;
    }
    return true;
}

static bool close_collection(struct reader *r)
{
    const struct node *node = r->frames[--r->depth].node;
    return node->kind == NODE_LIST || refuse_duplicates(r, node);
}

/* False: no use in going on. */
static bool take_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(r, event);
    case YAML_ALIAS_EVENT:
        return take_alias(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_collection(r, NODE_LIST, event, event->data.sequence_start.anchor,
                               event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_collection(r, NODE_MAP, event, event->data.mapping_start.anchor,
                               event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_collection(r);
    case YAML_DOCUMENT_START_EVENT:
        if (r->documents++ == 0)
            return true;
        complain_at(r, DIAG_YAML_FEATURE, place_of(r, &event->start_mark, &event->end_mark),
                    "a file holds one document only", SPAN("use include: for a second file"));
        return false;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    }
    return true;
}

static bool read_events(struct reader *r)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event)) {
            syntax_error(r);
            return false;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        bool good = take_event(r, &event);
        yaml_event_delete(&event);
        if (!good)
            return false;
    }
    return true;
}

/* The root must be a mapping, or nothing at all: an empty file is an empty mapping. */
static struct node *check_root(struct reader *r)
{
    yaml_mark_t start = { .index = 0 };
    bool nothing = r->root == NULL ||
                   (r->root->kind == NODE_SCALAR && !r->root->quoted && r->root->text.len == 0);
    if (nothing)
        return new_node(r, NODE_MAP, place_of(r, &start, NULL));
    if (r->root->kind == NODE_MAP)
        return r->root;
    complain_at(r, DIAG_TYPE, r->root->place,
                "the file must be a mapping: \"key: value\" lines", SPAN(""));
    return NULL;
}

struct node *yaml_parse(struct loading *loading, const struct source *source)
{
    struct reader *r = arena_new(loading->arena, struct reader);
    struct node *root = NULL;
    struct place start = { .source = source, .line = 1, .column = 1, .width = 1 };
    if (r == NULL || source->text.len > YAML_BYTES_MAX) {
        diag_add(loading->diags, SEVERITY_ERROR, DIAG_LIMIT, start,
                 SPAN("the file is too large: at most 4MiB"), SPAN(""));
        return NULL;
    }
    r->loading = loading;
    r->source = source;
    r->text = source->text;
    if (span_starts(r->text, SPAN("\xef\xbb\xbf")))
        r->text = span_sub(r->text, 3, r->text.len);
    r->cursor = (struct cursor){ .line = 1, .column = 1 };
    if (!text_acceptable(r))
        return NULL;
    if (!yaml_parser_initialize(&r->parser)) {
        diag_add(loading->diags, SEVERITY_ERROR, DIAG_LIMIT, start, SPAN("out of memory"),
                 SPAN(""));
        return NULL;
    }
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text.p, r->text.len);
    if (read_events(r))
        root = check_root(r);
    yaml_parser_delete(&r->parser);
    return root;
}

struct node *node_child(const struct node *map, struct span key)
{
    if (map == NULL || map->kind != NODE_MAP)
        return NULL;
    for (struct node *child = map->child; child != NULL; child = child->next) {
        if (child->key->kind == NODE_SCALAR && span_equal(child->key->text, key))
            return child;
    }
    return NULL;
}

struct place node_text_place(const struct node *scalar)
{
    struct place place = scalar->place;
    if (!scalar->quoted || place.source == NULL || place.length < 2)
        return place;
    place.column++;
    place.offset++;
    place.length -= 2;
    place.width = place.width > 2 ? place.width - 2 : 1;
    return place;
}
