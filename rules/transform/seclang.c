/*
 * The table of SecLang's transformations. Where mod_security2 has two spellings, both stand.
 *
 * The semantics are mod_security2's, with these differences, each of which lets an attacker
 * hide less: a NUL never ends a value (there it does in cmdLine, utf8toUnicode, base64DecodeExt
 * and sqlHexDecode), a run of more than two backslashes is one slash to normalizePathWin, and a
 * literal right behind another is decoded by sqlHexDecode.
 */
#include "rules/transform/rows.h"

#define ROW(word, when, function, note)                                                        \
    {                                                                                          \
        .name = word, .triggers = when, .times = 1, .apply = function, .help = note            \
    }
/* Twice is the same as once. */
#define STABLE(word, when, function, note)                                                     \
    {                                                                                          \
        .name = word, .triggers = when, .times = 1, .idempotent = true, .apply = function,     \
        .help = note                                                                           \
    }
/* Needs `factor` times the room of its input, and at least `bytes`. */
#define GROWING(word, when, factor, bytes, function, note)                                     \
    {                                                                                          \
        .name = word, .triggers = when, .times = 1, .grow = factor, .least = bytes,            \
        .apply = function, .help = note                                                        \
    }

enum {
    COMMENT_MARKS = TRAIT_STAR | TRAIT_COMMENT,
    CMD_LINE_CASED = TRAIT_GAP | TRAIT_CONTROL | TRAIT_QUOTE | TRAIT_SHELL | TRAIT_BACKSLASH,
    CMD_LINE = TRAIT_UPPER | CMD_LINE_CASED,
    PATH_WIN = TRAIT_PATH | TRAIT_BACKSLASH,
};

const struct transform seclang_transforms[] = {
    { .name = "none", .times = 0, .idempotent = true, .help = "Forgets those before it." },
    STABLE("lowercase", TRAIT_UPPER, sec_lowercase, "ASCII letters in lower case."),
    STABLE("uppercase", TRAIT_ANY, sec_uppercase, "ASCII letters in upper case."),
    ROW("urlDecode", TRAIT_ESCAPED, sec_url_decode, "`%27`, and `+` as a space."),
    ROW("urlDecodeUni", TRAIT_ESCAPED, sec_url_decode_uni, "The same, and `%u0027`."),
    GROWING("urlEncode", TRAIT_ANY, 3, 0, sec_url_encode,
            "All but letters and digits as `%27`."),
    GROWING("utf8toUnicode", TRAIT_HIGH, 4, 0, sec_utf8_to_unicode, "UTF-8 as `%u00e4`."),
    ROW("htmlEntityDecode", TRAIT_ENTITY, sec_html_entity_decode, "`&lt;` `&#60;` `&#x3c`."),
    ROW("jsDecode", TRAIT_BACKSLASH, sec_js_decode, "JavaScript's `\\u0027` `\\x27` `\\47`."),
    ROW("cssDecode", TRAIT_BACKSLASH, sec_css_decode, "CSS's `\\27 `."),
    ROW("escapeSeqDecode", TRAIT_BACKSLASH, sec_escape_seq_decode,
        "C's `\\n` `\\x27` `\\047`."),
    ROW("cmdLine", CMD_LINE, sec_cmd_line, "A command without what shells pass over."),
    STABLE("compressWhitespace", TRAIT_RUN, sec_compress_whitespace, "Runs as one space."),
    STABLE("removeWhitespace", TRAIT_SPACE, sec_remove_whitespace, "No white space."),
    STABLE("removeNulls", TRAIT_NUL, sec_remove_nulls, "No NUL bytes."),
    STABLE("replaceNulls", TRAIT_NUL, sec_replace_nulls, "NUL bytes as spaces."),
    ROW("removeComments", COMMENT_MARKS, sec_remove_comments, "Without comments."),
    ROW("removeCommentsChar", COMMENT_MARKS, sec_remove_comments_char, "Without their marks."),
    ROW("replaceComments", TRAIT_STAR, sec_replace_comments, "Comments of C as a space."),
    ROW("normalizePath", TRAIT_PATH, sec_normalize_path, "No `//`, `/./`, `/../`."),
    ROW("normalisePath", TRAIT_PATH, sec_normalize_path, "The same."),
    ROW("normalizePathWin", PATH_WIN, sec_normalize_path_win, "Backslashes as slashes too."),
    ROW("normalisePathWin", PATH_WIN, sec_normalize_path_win, "The same."),
    { .name = "base64Decode",
      .triggers = TRAIT_ANY,
      .times = 1,
      .bound = sec_base64_bound,
      .apply = sec_base64_decode,
      .help = "As far as it is base64." },
    ROW("base64DecodeExt", TRAIT_ANY, sec_base64_decode_ext, "Other bytes are passed over."),
    GROWING("base64Encode", TRAIT_ANY, 2, 4, sec_base64_encode, "As base64."),
    ROW("hexDecode", TRAIT_ANY, sec_hex_decode, "Pairs of hexadecimal digits."),
    GROWING("hexEncode", TRAIT_ANY, 2, 0, sec_hex_encode, "As hexadecimal digits."),
    ROW("sqlHexDecode", TRAIT_X, sec_sql_hex_decode, "MySQL's `0x414243`."),
    STABLE("trim", TRAIT_SPACE, sec_trim, "No white space at the ends."),
    STABLE("trimLeft", TRAIT_SPACE, sec_trim_left, "None at the start."),
    STABLE("trimRight", TRAIT_SPACE, sec_trim_right, "None at the end."),
    GROWING("length", TRAIT_ANY, 1, LENGTH_DIGITS, sec_length, "How many bytes, in decimal."),
    GROWING("md5", TRAIT_ANY, 1, 16, sec_md5, "16 bytes."),
    GROWING("sha1", TRAIT_ANY, 1, 20, sec_sha1, "20 bytes."),
    ROW("parityEven7bit", TRAIT_ANY, sec_parity_even, "The eighth bit as even parity."),
    ROW("parityOdd7bit", TRAIT_ANY, sec_parity_odd, "The eighth bit as odd parity."),
    STABLE("parityZero7bit", TRAIT_HIGH, sec_parity_zero, "The eighth bit clear."),
    ROW("phpArgsNames", TRAIT_ANY, sec_php_args_names, "The name PHP gives an argument."),
    { .name = NULL },
};

const struct transform seclang_cmd_line_cased = ROW(
    "cmdLine", CMD_LINE_CASED, sec_cmd_line_cased, "A command without what shells pass over.");

const struct transform *seclang_transform_find(struct span name)
{
    for (const struct transform *row = seclang_transforms; row->name != NULL; row++) {
        if (span_equal_nocase(name, span_text(row->name)))
            return row;
    }
    return NULL;
}
