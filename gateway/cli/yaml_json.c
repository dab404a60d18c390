/*
 * The effective configuration as JSON: what `config print` writes is read again, and written as
 * one document. Plain words that look like numbers, true or false are such; all else is text.
 */
#include "conf/yaml.h"
#include "gateway/base/json.h"
#include "gateway/cli/cli.h"

static void put_scalar(struct json *j, const char *key, const struct node *node)
{
    uint64_t number;

    if (!node->quoted && span_uint(node->text, &number) && number <= INT64_MAX)
        json_uint(j, key, number);
    else if (!node->quoted && span_equal(node->text, SPAN("true")))
        json_bool(j, key, true);
    else if (!node->quoted && span_equal(node->text, SPAN("false")))
        json_bool(j, key, false);
    else
        json_text(j, key, node->text);
}

/* A key is data here: lists and users have names. */
static void put_node(struct json *j, const struct node *node)
{
    if (node->key != NULL)
        json_key(j, node->key->text);
    if (node->kind == NODE_SCALAR) {
        put_scalar(j, NULL, node);
        return;
    }
    if (node->kind == NODE_MAP)
        json_begin_object(j, NULL);
    else
        json_begin_array(j, NULL);
    for (const struct node *child = node->child; child != NULL; child = child->next)
        put_node(j, child);
    if (node->kind == NODE_MAP)
        json_end_object(j);
    else
        json_end_array(j);
}

/* Depth: a configuration's own, which the option tables fix. */
bool yaml_to_json(struct text *out, struct span yaml)
{
    struct arena arena;
    struct diags diags;

    arena_init(&arena, NULL, 0, NULL, (size_t)256 << 20);
    diags_init(&diags, &arena);
    const struct node *root = yaml_load_text(yaml, "config print", &arena, &diags);
    bool good = root != NULL && diags.errors == 0;
    if (good) {
        struct json j = json_writer(out);
        put_node(&j, root);
        text_char(out, '\n');
    }
    arena_reset(&arena);
    return good;
}
