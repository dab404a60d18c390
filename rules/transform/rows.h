/*
 * What the table of SecLang's transformations is made of: one file per family.
 */
#ifndef SALLYPORT_RULES_TRANSFORM_ROWS_H
#define SALLYPORT_RULES_TRANSFORM_ROWS_H

#include "gateway/base/text.h"
#include "rules/transform.h"

enum { LENGTH_DIGITS = 20 }; /* of a 64-bit number */

typedef struct span transform_fn(struct span in, char *room);

/* decode.c */
transform_fn sec_url_decode, sec_url_decode_uni, sec_html_entity_decode, sec_hex_decode,
    sec_sql_hex_decode, sec_base64_decode, sec_base64_decode_ext;
size_t sec_base64_bound(struct span in, size_t enough);
/* escape.c */
transform_fn sec_js_decode, sec_css_decode, sec_escape_seq_decode;
/* encode.c */
transform_fn sec_url_encode, sec_hex_encode, sec_base64_encode, sec_utf8_to_unicode, sec_length,
    sec_md5, sec_sha1;
/* letters.c */
transform_fn sec_lowercase, sec_uppercase, sec_compress_whitespace, sec_remove_whitespace,
    sec_trim, sec_trim_left, sec_trim_right, sec_remove_nulls, sec_replace_nulls,
    sec_parity_even, sec_parity_odd, sec_parity_zero;
/* syntax.c */
transform_fn sec_remove_comments, sec_remove_comments_char, sec_replace_comments, sec_cmd_line,
    sec_cmd_line_cased, sec_php_args_names;
/* path.c */
transform_fn sec_normalize_path, sec_normalize_path_win;

#endif
