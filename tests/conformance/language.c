/*
 * Cases of the SecLang language tests that ModSecurity and Coraza share (JSON: one file per
 * operator and transformation), against ours. `make language-tests DATA=folder`.
 *
 * A case that we refuse on purpose has its reason in the table below, is counted apart, and is
 * an error when it passes after all.
 */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules/operator.h"
#include "rules/regex.h"
#include "rules/transform.h"

enum { CASE_BYTES = 4 * 1024 * 1024 };

static struct regex_local regex;
static char memory[CASE_BYTES];
static const char *folder;
static unsigned passed, failed, refused;

static const struct refusal {
    const char *name, *key, *text; /* key NULL: every case of that name */
    const char *reason;
} refusals[] = {
    { "validateByteRange", "param", "xxx",
      "an error at load; mod_security reads it as 0 and takes NUL" },
    { "ipMatch", "param", "10.0.0.0/100", "an error at load; no such prefix" },
    { "geoLookup", NULL, NULL, "needs a geo database: the rules look it up by callback" },
    { "cssDecode", "input", "test\\a\\b",
      "a NUL where the case was meant to have a 0; ModSecurity's own runner stops there" },
    { "escapeSeqDecode", "input", "\\8\\9\\666",
      "ModSecurity's own runner makes bytes of \\xag and \\xga before it decodes" },
};

static struct span member(json_t *test, const char *key)
{
    json_t *value = json_object_get(test, key);
    return json_is_string(value) ? span_of(json_string_value(value), json_string_length(value))
                                 : SPAN("");
}

static const struct refusal *refusal_of(const char *name, json_t *test)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct refusal *row = &refusals[i];
        if (strcmp(row->name, name) == 0 &&
            (row->key == NULL || span_starts(member(test, row->key), span_text(row->text))))
            return row;
    }
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------
 */

/* `digits` of them at `p`; -1 when there are fewer. */
static int hex_at(const char *p, const char *end, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (p + i >= end || hex_value(p[i]) < 0)
            return -1;
        value = value << 4 | hex_value(p[i]);
    }
    return value;
}

/*
 * The files write bytes that JSON cannot hold as \xHH and \u00HH, in the decoded string, and in
 * what operators look at also as \0.
 */
static struct span bytes_of(struct span text, bool zero)
{
    char *room = malloc(text.len + 1), *out = room;
    const char *p = text.p, *end = span_end(text);
    INVARIANT(room != NULL);
    while (p < end) {
        int byte = -1, digits = end - p > 1 && p[1] == 'x' ? 2 : 4;
        if (*p == '\\' && end - p > 1 && (p[1] == 'x' || p[1] == 'u'))
            byte = hex_at(p + 2, end, digits);
        if (zero && *p == '\\' && end - p > 1 && p[1] == '0') {
            byte = 0;
            digits = 0;
        }
        *out++ = byte < 0 ? *p : (char)(byte & 0xff);
        p += byte < 0 ? 1 : 2 + digits;
    }
    return span_range(room, out);
}

static void print_bytes(const char *label, struct span s)
{
    printf("    %s \"", label);
    for (size_t i = 0; i < s.len && i < 300; i++) {
        if (s.p[i] >= ' ' && s.p[i] < 0x7f)
            putchar(s.p[i]);
        else
            printf("\\x%02x", (uint8_t)s.p[i]);
    }
    printf("\"\n");
}

/* ---- one case -------------------------------------------------------------------------------
 */

static bool transforms_well(const char *name, json_t *test)
{
    const char *known = strcmp(name, "cmd_line") == 0 ? "cmdLine" : name;
    const struct transform *row = seclang_transform_find(span_text(known));
    if (row == NULL) {
        printf("FAIL %s: there is no such transformation\n", name);
        return false;
    }
    struct span in = bytes_of(member(test, "input"), false);
    struct span wanted = bytes_of(member(test, "output"), false);
    char *room = malloc(transform_room(row, in.len) + 1);
    INVARIANT(room != NULL);
    struct span out = row->apply(in, room);
    bool same = span_equal(out, wanted);
    if (!same && refusal_of(name, test) == NULL) {
        printf("FAIL %s\n", name);
        print_bytes("of", in);
        print_bytes("wanted", wanted);
        print_bytes("got", out);
    }
    if ((traits_of(in) & row->triggers) == 0 && out.p != in.p) {
        printf("FAIL %s: changes a value without a trigger\n", name);
        same = false;
    }
    free(room);
    free((char *)in.p);
    free((char *)wanted.p);
    return same;
}

/* The groups of the first match, and of those behind it where `all`: at least those wanted. */
static bool groups_equal(json_t *wanted, const struct sec_regex *compiled, struct span value,
                         bool all)
{
    struct regex_captures captures;
    size_t at = 0;
    bool found = regex_match(&regex, compiled, value, &captures) == REGEX_YES;
    while (found) {
        for (unsigned i = 0; i < captures.count && at < json_array_size(wanted); i++, at++) {
            json_t *want = json_array_get(wanted, at);
            if (!span_equal(captures.at[i],
                            span_of(json_string_value(want), json_string_length(want))))
                return false;
        }
        size_t from = (size_t)(span_end(captures.at[0]) - value.p);
        found = all && regex_match_from(&regex, compiled, value, from, &captures) == REGEX_YES;
    }
    return at == json_array_size(wanted);
}

static bool matches_regex(const struct operator_row *row, json_t *test, struct span value,
                          bool *groups)
{
    char why[256];
    struct text text = text_fixed(why, sizeof(why));
    struct sec_regex *compiled = regex_compile(member(test, "param"), false, &text);
    if (compiled == NULL)
        return false;
    bool found = regex_match(&regex, compiled, value, NULL) == REGEX_YES;
    json_t *wanted = json_object_get(test, "re_groups");
    *groups = wanted == NULL ||
              groups_equal(wanted, compiled, value, strcmp(row->name, "rxGlobal") == 0);
    regex_free(compiled);
    return found;
}

/* Files are named as seen from ModSecurity's own tree. */
static struct span local_name(struct span param)
{
    struct span prefix = SPAN("test-cases/secrules-language-tests/");
    return span_starts(param, prefix) ? span_sub(param, prefix.len, param.len) : param;
}

static bool matches(const struct operator_row *row, json_t *test, struct span value,
                    const char **error)
{
    static char why[256];
    struct arena arena;
    arena_init(&arena, memory, sizeof(memory), NULL, 0);
    struct text text = text_fixed(why, sizeof(why));
    struct operator_match match;
    struct operator_source source = { .argument = local_name(member(test, "param")),
                                      .folder = span_text(folder),
                                      .arena = &arena,
                                      .why = &text };
    struct operator_call call = { .value = value,
                                  .argument = source.argument,
                                  .regex = &regex };
    if (row->kind != OPERATOR_EVAL) {
        *error = "not evaluated here";
        return false;
    }
    if (row->compile != NULL && !row->compile(&source, &call.prepared)) {
        *error = text_cstring(&text);
        return false;
    }
    bool found = row->eval(&call, &match);
    if (row->release != NULL)
        row->release(call.prepared);
    return found;
}

static bool operates_well(const char *name, json_t *test)
{
    const struct operator_row *row = operator_find(span_text(name));
    if (row == NULL) {
        printf("FAIL %s: there is no such operator\n", name);
        return false;
    }
    struct span value = bytes_of(member(test, "input"), true);
    bool groups = true, wanted = json_integer_value(json_object_get(test, "ret")) != 0;
    const char *error = NULL;
    bool found = row->kind == OPERATOR_REGEX ? matches_regex(row, test, value, &groups)
                                             : matches(row, test, value, &error);
    bool good = error == NULL && found == wanted && groups;
    if (!good && refusal_of(name, test) == NULL) {
        printf("FAIL %s: %s%s\n", name,
               error != NULL ? error
               : found       ? "matches"
                             : "does not",
               groups ? "" : ", other groups");
        print_bytes("argument", member(test, "param"));
        print_bytes("value", value);
    }
    free((char *)value.p);
    return good;
}

/* ---- all of them ----------------------------------------------------------------------------
 */

static void run_case(json_t *test)
{
    const char *name = json_string_value(json_object_get(test, "name"));
    const char *type = json_string_value(json_object_get(test, "type"));
    INVARIANT(name != NULL && type != NULL);
    bool good =
        strcmp(type, "tfn") == 0 ? transforms_well(name, test) : operates_well(name, test);
    const struct refusal *refusal = refusal_of(name, test);
    if (refusal != NULL) {
        struct span param = member(test, "param");
        printf("refused: %s \"%.*s\": %s\n", name, (int)param.len, param.p, refusal->reason);
        refused++;
        failed += good;
    } else if (good) {
        passed++;
    } else {
        failed++;
    }
}

static void run_file(const char *kind, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s/%s", folder, kind, name);
    json_error_t error;
    json_t *tests = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!json_is_array(tests)) {
        printf("FAIL %s: %s\n", path, error.text);
        failed++;
        return;
    }
    unsigned was_passed = passed, was_failed = failed, was_refused = refused;
    size_t i;
    json_t *test;
    json_array_foreach(tests, i, test) run_case(test);
    printf("%-24.*s %5u passed %3u failed %3u refused\n", (int)strlen(name) - 5, name,
           passed - was_passed, failed - was_failed, refused - was_refused);
    json_decref(tests);
}

static int is_json(const struct dirent *entry)
{
    return span_ends(span_text(entry->d_name), SPAN(".json"));
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = { "operators", "transformations" };
    folder = argc > 1 ? argv[1] : "";
    INVARIANT(regex_attach(&regex) == OK);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        char path[4096];
        struct dirent **names = NULL;
        snprintf(path, sizeof(path), "%s/%s", folder, kinds[k]);
        int count = scandir(path, &names, is_json, alphasort);
        if (count <= 0) {
            fprintf(stderr, "language-tests: no cases in %s\n", path);
            return 1;
        }
        for (int i = 0; i < count; i++) {
            run_file(kinds[k], names[i]->d_name);
            free(names[i]);
        }
        free(names);
    }
    regex_detach(&regex);
    printf("language-tests: %u passed, %u failed, %u refused\n", passed, failed, refused);
    return failed != 0;
}
