/*
 * One answer of `config explain` as a JSON object, for programs that help people write files.
 */
#include "conf/manual_rows.h"
#include "gateway/base/json.h"

static void put_text(struct json *j, const char *key, const char *value)
{
    if (value != NULL)
        json_text(j, key, span_text(value));
}

static void put_choices(struct json *j, const struct option *row)
{
    if (row->choices == NULL)
        return;
    json_begin_array(j, "choices");
    for (const struct choice *c = row->choices; c->name != NULL; c++) {
        json_begin_object(j, NULL);
        json_text(j, "name", span_text(c->name));
        put_text(j, "help", c->help);
        json_end_object(j);
    }
    json_end_array(j);
}

static void put_names(struct json *j, const struct option *rows)
{
    for (const struct option *row = rows; row != NULL && row->kind != OPT_END; row++) {
        if ((row->flags & OPTION_HIDDEN) == 0)
            json_text(j, NULL, span_text(row->name));
    }
}

void manual_row_json(struct text *out, struct span path, const struct option *row)
{
    struct json j = json_writer(out);
    char buffer[1024];
    struct text type = text_fixed(buffer, sizeof(buffer));

    manual_type(&type, row);
    json_begin_object(&j, NULL);
    json_text(&j, "key", path);
    json_text(&j, "type", text_span(&type));
    json_bool(&j, "required", (row->flags & OPTION_REQUIRED) != 0);
    put_text(&j, "default", row->fallback);
    put_text(&j, "example", row->example);
    put_text(&j, "help", row->help);
    put_choices(&j, row);
    if (row->options != NULL) {
        json_begin_array(&j, "keys");
        put_names(&j, row->options);
        json_end_array(&j);
    }
    json_end_object(&j);
    text_char(out, '\n');
}

void manual_part_json(struct text *out, struct span path, const struct manual_part *part)
{
    struct json j = json_writer(out);

    json_begin_object(&j, NULL);
    json_text(&j, "key", path);
    put_text(&j, "help", part->summary);
    json_begin_array(&j, "keys");
    put_names(&j, part->rows);
    put_names(&j, part->more);
    json_end_array(&j);
    json_end_object(&j);
    text_char(out, '\n');
}
