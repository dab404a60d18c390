/*
 * One more exclusion into a configuration, by where things stand in its text. What is added is
 * a YAML flow mapping with everything in quotes, which fits into block and flow styles, and
 * into JSON.
 */
#include <time.h>

#include "conf/source.h"
#include "conf/yaml.h"
#include "gateway/cli/tune.h"

/* ---- the exclusion ---- */

static void put_quoted(struct text *out, struct span value)
{
    text_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            text_char(out, '\\');
        text_char(out, value.p[i]);
    }
    text_char(out, '"');
}

/* Bytes that a quoted scalar takes as they are, and that no directive of a rule is ended by. */
static bool is_plain(struct span value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.p[i] < ' ' || (unsigned char)value.p[i] >= 0x7f ||
            value.p[i] == '$')
            return false;
    return value.len > 0;
}

static void put_day(struct text *out, uint64_t s)
{
    char day[16];
    struct tm tm;
    time_t when = (time_t)s;
    if (gmtime_r(&when, &tm) != NULL && strftime(day, sizeof(day), "%Y-%m-%d", &tm) > 0)
        text_add(out, span_text(day));
}

static void put_list(struct text *out, const char *key, struct span value)
{
    text_format(out, ", \"%s\": [", key);
    put_quoted(out, value);
    text_char(out, ']');
}

static void put_exclusion(struct text *out, const struct tune_group *group, uint64_t now_s)
{
    text_lit(out, "{\"rules\": [");
    for (unsigned i = 0; i < group->rule_count; i++)
        text_format(out, "%s%llu", i > 0 ? ", " : "", (unsigned long long)group->rules[i]);
    text_char(out, ']');
    put_list(out, "fields", group->field);
    put_list(out, "paths", group->path);
    put_list(out, "methods", group->method);
    text_lit(out, ", \"reason\": \"tune ");
    put_day(out, now_s);
    text_format(out, ": %llu hits, %u%s networks, %u%s users signed in\"",
                (unsigned long long)group->hits, group->network_count,
                group->network_count >= TUNE_SEEN_MAX ? "+" : "", group->user_count,
                group->user_count >= TUNE_SEEN_MAX ? "+" : "");
    text_lit(out, ", \"expires\": \"");
    put_day(out, now_s + (uint64_t)TUNE_DAYS * 86400);
    text_lit(out, "\"}");
}

/* ---- where it goes ---- */

static bool is_named(const struct node *site, struct span name)
{
    const struct node *given = node_child(site, SPAN("name"));
    const struct node *host = node_child(site, SPAN("host"));
    if (given != NULL)
        return span_equal(given->text, name);
    if (host != NULL && host->kind == NODE_LIST)
        host = host->child;
    return host != NULL && span_equal(host->text, name);
}

static const struct node *site_of(const struct node *root, struct span name)
{
    const struct node *sites = node_child(root, SPAN("sites"));
    for (const struct node *site = sites != NULL ? sites->child : NULL; site != NULL;
         site = site->next)
        if (site->kind == NODE_MAP && is_named(site, name))
            return site;
    return NULL;
}

struct cut {
    size_t at; /* of the text */
    struct text added;
};

static size_t line_start(struct span text, size_t at)
{
    while (at > 0 && text.p[at - 1] != '\n')
        at--;
    return at;
}

static bool is_flow(struct span text, const struct node *node)
{
    return node->place.offset < text.len &&
           (text.p[node->place.offset] == '{' || text.p[node->place.offset] == '[');
}

/* As far in as the line of `at` is, when nothing but spaces (or a list's dashes) stands before
 * it. */
static bool indent_of(struct span text, size_t at, size_t *indent)
{
    size_t start = line_start(text, at);
    *indent = at - start;
    for (size_t i = start; i < at; i++)
        if (text.p[i] != ' ' && text.p[i] != '-')
            return false;
    return true;
}

static void put_spaces(struct text *out, size_t count)
{
    while (count-- > 0)
        text_char(out, ' ');
}

/* A key and its value, as a line of its own in front of the mapping's last key, or inside of
 * its brackets. */
static bool add_member(struct cut *cut, struct span text, const struct node *map,
                       struct span member)
{
    if (is_flow(text, map)) {
        cut->at = map->place.offset + 1;
        text_add(&cut->added, member);
        if (map->child != NULL)
            text_lit(&cut->added, ", ");
        return true;
    }
    /* Not in front of the first one: that may stand behind a dash. */
    const struct node *last = map->child;
    while (last != NULL && last->next != NULL)
        last = last->next;
    size_t indent;
    if (last == NULL || last->key == NULL || last == map->child ||
        !indent_of(text, last->key->place.offset, &indent))
        return false;
    cut->at = line_start(text, last->key->place.offset);
    put_spaces(&cut->added, indent);
    text_add(&cut->added, member);
    text_char(&cut->added, '\n');
    return true;
}

/* One more item in front of a list's first. */
static bool add_item(struct cut *cut, struct span text, const struct node *list,
                     struct span item)
{
    size_t indent, at;
    if (is_flow(text, list)) {
        cut->at = list->place.offset + 1;
        text_add(&cut->added, item);
        if (list->child != NULL)
            text_lit(&cut->added, ", ");
        return true;
    }
    if (list->child == NULL)
        return false;
    at = line_start(text, list->child->place.offset);
    while (at < text.len && text.p[at] == ' ')
        at++;
    if (at >= text.len || text.p[at] != '-' || !indent_of(text, at, &indent))
        return false;
    cut->at = at - indent;
    put_spaces(&cut->added, indent);
    text_lit(&cut->added, "- ");
    text_add(&cut->added, item);
    text_char(&cut->added, '\n');
    return true;
}

static bool find_place(struct cut *cut, struct span text, const struct node *site,
                       struct span exclusion, struct arena *arena)
{
    const struct node *waf = node_child(site, SPAN("waf"));
    const struct node *exclude =
        waf != NULL && waf->kind == NODE_MAP ? node_child(waf, SPAN("exclude")) : NULL;
    struct text member = text_growing(arena, exclusion.len + 64);
    if (exclude != NULL)
        return exclude->kind == NODE_LIST && add_item(cut, text, exclude, exclusion);
    if (waf != NULL && waf->kind != NODE_MAP)
        return false;
    if (waf == NULL)
        text_lit(&member, "\"waf\": {");
    text_lit(&member, "\"exclude\": [");
    text_add(&member, exclusion);
    text_add(&member, waf == NULL ? SPAN("]}") : SPAN("]"));
    if (add_member(cut, text, waf != NULL ? waf : site, text_span(&member)))
        return true;
    if (waf == NULL || waf->child == NULL || waf->child->key == NULL)
        return false;
    /* A mapping of one key, on a line of its own: behind nothing but spaces. */
    size_t indent, at = waf->child->key->place.offset;
    if (!indent_of(text, at, &indent) || memchr(text.p + at - indent, '-', indent) != NULL)
        return false;
    cut->at = at - indent;
    put_spaces(&cut->added, indent);
    text_add(&cut->added, text_span(&member));
    text_char(&cut->added, '\n');
    return true;
}

const char *tune_edit(struct tune_edit *edit, struct span text, const char *name,
                      const struct tune_group *group, uint64_t now_s, struct arena *arena)
{
    struct diags diags;
    struct text exclusion = text_growing(arena, 512);
    struct cut cut = { .added = text_growing(arena, 512) };
    if (!is_plain(group->field) || !is_plain(group->path) || !is_plain(group->method))
        return "its field or path has characters that no exclusion takes";
    diags_init(&diags, arena);
    /* Nothing is looked up for this: places are all that is asked. */
    const struct node *root = yaml_load_file(name, arena, &diags);
    const struct node *site = root != NULL ? site_of(root, group->site) : NULL;
    if (site == NULL || site->place.source == NULL || site->place.source != root->place.source)
        return "its site stands in no list of this file: add the exclusion by hand";
    if (!span_equal(site->place.source->text, text))
        return "the file has changed meanwhile";
    put_exclusion(&exclusion, group, now_s);
    if (!find_place(&cut, text, site, text_span(&exclusion), arena))
        return "its site is laid out in a way that is left alone: add the exclusion by hand";
    struct text out = text_growing(arena, text.len + cut.added.len + 1);
    text_add(&out, span_sub(text, 0, cut.at));
    text_add(&out, text_span(&cut.added));
    text_add(&out, span_sub(text, cut.at, text.len));
    if (out.overflow)
        return "out of memory";
    edit->text = text_span(&out);
    edit->added = text_span(&exclusion);
    edit->line = 1;
    for (size_t i = 0; i < cut.at; i++)
        edit->line += text.p[i] == '\n';
    return NULL;
}
