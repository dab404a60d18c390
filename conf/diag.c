/*
 * The list of what is wrong, and how it is written. Sources and messages hold bytes from files
 * that somebody else may have made: what a terminal could take as a command, or what would make
 * a line look like another one, is written as a question mark.
 */
#include "conf/diag.h"

#include <stdio.h>

#include "conf/source.h"
#include "gateway/base/json.h"

struct diag_mask {
    struct diag_mask *next;
    const struct source *source;
    size_t from, to;
};

/* A source line is shown as a window of so many characters. */
enum { WINDOW = 120, WINDOW_BEFORE = 70 };

static const struct {
    const char *code, *cause, *remedy;
} entries[DIAG_COUNT] = {
#define DIAG(name, code, cause, remedy) [DIAG_##name] = { code, cause, remedy },
#include "conf/diag.def"
#undef DIAG
};

const char *diag_code_text(enum diag_code code)
{
    INVARIANT(code < DIAG_COUNT);
    return entries[code].code;
}

const char *diag_code_cause(enum diag_code code)
{
    INVARIANT(code < DIAG_COUNT);
    return entries[code].cause;
}

const char *diag_code_remedy(enum diag_code code)
{
    INVARIANT(code < DIAG_COUNT);
    return entries[code].remedy;
}

bool diag_code_find(struct span text, enum diag_code *code)
{
    for (unsigned i = 0; i < DIAG_COUNT; i++) {
        if (!span_equal_nocase(text, span_text(entries[i].code)))
            continue;
        *code = (enum diag_code)i;
        return true;
    }
    return false;
}

void diags_init(struct diags *diags, struct arena *arena)
{
    diags->arena = arena;
    diags->masks = NULL;
    diags->count = diags->errors = diags->warnings = 0;
}

void diag_add(struct diags *diags, enum severity severity, enum diag_code code,
              struct place place, struct span message, struct span hint)
{
    const struct place places[2] = { place, { .source = NULL } };
    diag_add_pair(diags, severity, code, places, message, hint);
}

/* Where one more goes: at the end; when full, an error takes the place of a warning. */
static struct diag *free_item(struct diags *diags, enum severity severity)
{
    if (diags->count < DIAGS_MAX)
        return &diags->items[diags->count++];
    for (unsigned i = DIAGS_MAX; i-- > 0 && severity == SEVERITY_ERROR;) {
        if (diags->items[i].severity == SEVERITY_WARNING)
            return &diags->items[i];
    }
    return NULL;
}

void diag_add_pair(struct diags *diags, enum severity severity, enum diag_code code,
                   const struct place places[2], struct span message, struct span hint)
{
    INVARIANT(code < DIAG_COUNT);
    if (severity == SEVERITY_ERROR)
        diags->errors++;
    else
        diags->warnings++;

    struct diag *item = free_item(diags, severity);
    if (item == NULL)
        return;
    *item = (struct diag){
        .severity = severity, .code = code, .place = places[0], .other = places[1]
    };
    item->message = arena_copy(diags->arena, message);
    item->hint = arena_copy(diags->arena, hint);
    if (item->message.p == NULL)
        item->message = span_text(entries[code].cause);
}

void diag_mask(struct diags *diags, struct place place)
{
    if (place.source == NULL || place.length == 0)
        return;
    struct diag_mask *mask = arena_new(diags->arena, struct diag_mask);
    if (mask == NULL)
        return;
    *mask = (struct diag_mask){ diags->masks, place.source, place.offset,
                                place.offset + place.length };
    diags->masks = mask;
}

static int compare_places(const struct place *a, const struct place *b)
{
    if (a->source != b->source) {
        if (a->source == NULL || b->source == NULL)
            return a->source == NULL ? -1 : 1;
        if (a->source->order != b->source->order)
            return a->source->order < b->source->order ? -1 : 1;
        int names = span_compare(a->source->name, b->source->name);
        if (names != 0)
            return names;
    }
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return 0;
}

/* Stable, and the list is short. */
static void sort(struct diags *diags)
{
    for (unsigned i = 1; i < diags->count; i++) {
        struct diag item = diags->items[i];
        unsigned j = i;
        for (; j > 0 && compare_places(&diags->items[j - 1].place, &item.place) > 0; j--)
            diags->items[j] = diags->items[j - 1];
        diags->items[j] = item;
    }
}

/* Control characters, and those that reorder or hide text on a screen. */
static bool printable(int32_t point)
{
    static const struct {
        int32_t from, to;
    } refused[] = { { -1, 0x1f },        { 0x7f, 0x9f },     { 0x200b, 0x200f },
                    { 0x2028, 0x202e },  { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
                    { 0xe0000, 0xe007f } };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (point >= refused[i].from && point <= refused[i].to)
            return false;
    }
    return true;
}

static void write_character(struct text *out, const char **p, const char *end)
{
    const char *start = *p;
    int32_t point = utf8_next(p, end);
    if (point == '\t' || point == '\n')
        text_char(out, ' ');
    else if (!printable(point))
        text_char(out, '?');
    else
        text_add(out, span_range(start, *p));
}

static void write_safe(struct text *out, struct span s)
{
    for (const char *p = s.p, *end = span_end(s); p < end;)
        write_character(out, &p, end);
}

static struct span line_at(const struct source *source, size_t offset)
{
    struct span text = source->text;
    size_t from = offset < text.len ? offset : text.len;
    size_t to = from;
    while (from > 0 && text.p[from - 1] != '\n')
        from--;
    while (to < text.len && text.p[to] != '\n')
        to++;
    if (to > from && text.p[to - 1] == '\r')
        to--;
    return span_of(text.p + from, to - from);
}

static bool masked(const struct diags *diags, const struct source *source, const char *p)
{
    size_t offset = (size_t)(p - source->text.p);
    for (const struct diag_mask *mask = diags->masks; mask != NULL; mask = mask->next) {
        if (mask->source == source && offset >= mask->from && offset < mask->to)
            return true;
    }
    return false;
}

/* The line around the place; answers in which column of the window the place stands. */
static unsigned write_line(struct text *out, const struct diags *diags,
                           const struct place *place)
{
    const struct source *source = place->source;
    struct span line = line_at(source, place->offset);
    const char *p = line.p, *end = span_end(line);
    unsigned skipped = 0, column = place->column;

    if (column > WINDOW_BEFORE && utf8_count(line) > WINDOW) {
        for (; skipped < column - WINDOW_BEFORE && p < end; skipped++)
            (void)utf8_next(&p, end);
        text_lit(out, "...");
        column = column - skipped + 3;
    }
    for (unsigned shown = 0; p < end && shown < WINDOW; shown++) {
        if (masked(diags, source, p)) {
            (void)utf8_next(&p, end);
            text_char(out, '*');
        } else {
            write_character(out, &p, end);
        }
    }
    if (p < end)
        text_lit(out, "...");
    text_char(out, '\n');
    return column;
}

static void pad(struct text *out, unsigned count, char c)
{
    while (count-- > 0)
        text_char(out, c);
}

static unsigned digits_of(unsigned number)
{
    unsigned digits = 1;
    for (; number >= 10; number /= 10)
        digits++;
    return digits;
}

static void write_place(struct text *out, const struct place *place)
{
    write_safe(out, place->source->name);
    text_format(out, ":%u:%u\n", place->line, place->column);
}

static void write_snippet(struct text *out, const struct diags *diags,
                          const struct place *place, char mark, struct span hint)
{
    unsigned gutter = digits_of(place->line);

    pad(out, gutter + 2, ' ');
    text_format(out, "|\n %u | ", place->line);
    unsigned column = write_line(out, diags, place);
    pad(out, gutter + 2, ' ');
    text_lit(out, "| ");
    pad(out, column > 0 ? column - 1 : 0, ' ');

    unsigned width = place->width > 0 ? place->width : 1;
    pad(out, width < WINDOW ? width : WINDOW, mark);
    if (hint.len > 0) {
        text_char(out, ' ');
        write_safe(out, hint);
    }
    text_char(out, '\n');
}

static void write_human(struct text *out, const struct diags *diags, const struct diag *diag)
{
    text_format(out, "%s[%s]: ", diag->severity == SEVERITY_ERROR ? "error" : "warning",
                entries[diag->code].code);
    write_safe(out, diag->message);
    text_char(out, '\n');

    if (diag->place.source != NULL) {
        pad(out, digits_of(diag->place.line) + 1, ' ');
        text_lit(out, "--> ");
        write_place(out, &diag->place);
        write_snippet(out, diags, &diag->place, '^', diag->hint);
    } else if (diag->hint.len > 0) {
        text_lit(out, "  = ");
        write_safe(out, diag->hint);
        text_char(out, '\n');
    }
    if (diag->other.source != NULL) {
        pad(out, digits_of(diag->other.line) + 1, ' ');
        text_lit(out, "::: ");
        write_place(out, &diag->other);
        write_snippet(out, diags, &diag->other, '-', SPAN(""));
    }
    text_char(out, '\n');
}

static void write_summary(struct text *out, const struct diags *diags)
{
    unsigned all = diags->errors + diags->warnings;
    if (all == 0)
        return;
    if (diags->errors > 0)
        text_format(out, "%u error%s", diags->errors, diags->errors == 1 ? "" : "s");
    if (diags->errors > 0 && diags->warnings > 0)
        text_lit(out, ", ");
    if (diags->warnings > 0)
        text_format(out, "%u warning%s", diags->warnings, diags->warnings == 1 ? "" : "s");
    if (all > diags->count)
        text_format(out, " (the first %u are shown)", diags->count);
    text_char(out, '\n');
}

static void write_json_place(struct json *j, const struct place *place)
{
    if (place->source == NULL)
        return;
    json_text(j, "file", place->source->name);
    json_uint(j, "line", place->line);
    json_uint(j, "column", place->column);
    json_uint(j, "end_column", place->column + (place->width > 0 ? place->width : 1));
    json_uint(j, "offset", place->offset);
    json_uint(j, "length", place->length);
}

static void write_json(struct json *j, const struct diag *diag)
{
    json_begin_object(j, NULL);
    json_text(j, "severity",
              diag->severity == SEVERITY_ERROR ? SPAN("error") : SPAN("warning"));
    json_text(j, "code", span_text(entries[diag->code].code));
    json_text(j, "message", diag->message);
    if (diag->hint.len > 0)
        json_text(j, "hint", diag->hint);
    write_json_place(j, &diag->place);
    if (diag->other.source != NULL) {
        json_begin_object(j, "other");
        write_json_place(j, &diag->other);
        json_end_object(j);
    }
    json_end_object(j);
}

void diags_write(struct text *out, struct diags *diags, enum diag_format format)
{
    sort(diags);
    if (format == DIAG_HUMAN) {
        for (unsigned i = 0; i < diags->count; i++)
            write_human(out, diags, &diags->items[i]);
        write_summary(out, diags);
        return;
    }

    struct json j = json_writer(out);
    json_begin_object(&j, NULL);
    json_uint(&j, "errors", diags->errors);
    json_uint(&j, "warnings", diags->warnings);
    json_begin_array(&j, "diagnostics");
    for (unsigned i = 0; i < diags->count; i++)
        write_json(&j, &diags->items[i]);
    json_end_array(&j);
    json_end_object(&j);
    text_char(out, '\n');
}
