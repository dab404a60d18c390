/*
 * What the option rows say to people and editors: the reference in docs/, the answer of `config
 * explain`, and the JSON Schema. All from the same rows as the parser.
 */
#ifndef SALLYPORT_MANUAL_H
#define SALLYPORT_MANUAL_H

#include "conf/option.h"
#include "gateway/base/text.h"

enum manual_shape {
    MANUAL_MAPPING,
    MANUAL_LIST,
    MANUAL_MAP
}; /* MAP: from names of the user's */

/* A table of rows, with the key under which it stands: "sites", "sites.waf", "" for the top. */
struct manual_part {
    const char *path;
    const char *summary;
    const struct option *rows; /* or NULL */
    const struct option *more; /* rows added to these, or NULL (the chain's own for a stage) */
    enum manual_shape shape;
    /* The mappings that are parts of that part may stand here, too: "sites" for "sites.routes".
     */
    const char *like;
};

void manual_write_markdown(struct text *out, const struct manual_part *parts, size_t count);
/* JSON Schema draft 2020-12 for the whole file. */
void manual_write_schema(struct text *out, const struct manual_part *parts, size_t count);
/*
 * One option by its dotted path ("sites.waf.mode"), for people or as a JSON object; false when
 * there is none.
 */
enum manual_form { MANUAL_TEXT, MANUAL_JSON };
bool manual_explain(struct text *out, const struct manual_part *parts, size_t count,
                    struct span path, enum manual_form form);
/* manual_find.c. What was meant by a path that is none: the nearest one, or those that end with
 * the same word. Nothing when nothing is near. */
void manual_suggest(struct text *out, const struct manual_part *parts, size_t count,
                    struct span path);

#endif
