/* API keys: the file, the block, and the stage under the chain. */
#include "auth/apikeys.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/keyfile.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

#define HASH "abababababababababababababababababababababababababababababababab"

static struct kit kit;
static struct arena arena;
static struct span file_text;
static char file_path[64], good[APIKEY_BYTES + 1], ended[APIKEY_BYTES + 1];

static void write_file(struct span text, mode_t mode)
{
    snprintf(file_path, sizeof(file_path), "/tmp/sallyport-keys-%d", (int)getpid());
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.p, 1, text.len, file), text.len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(file_path, mode), 0);
}

static struct span make_file(void)
{
    struct apikey key = { .user = "ann", .plan = "gold", .scopes = "read,write" };
    struct apikey old = { .user = "bob", .expires_s = 1000 };
    struct text text = text_growing(&arena, 512);
    apikey_make(&key, good);
    apikey_make(&old, ended);
    text_lit(&text, "# keys\n\n");
    keyfile_write(&text, &key);
    keyfile_write(&text, &old);
    return text_span(&text);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    file_text = make_file();
    write_file(file_text, 0600);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_reset(&arena);
    return unlink(file_path);
}

static void lines_are_understood_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
        unsigned line;
    } rows[] = {
        { "", OK, 0 },
        { "\n# nothing\r\n", OK, 0 },
        { "abcdefghijkl " HASH " user=ann", OK, 0 },
        { "abcdefghijkl " HASH " user=ann\r\n", OK, 0 },
        { "\nabcdefghijkl " HASH "\n", ERR_SYNTAX, 2 },
        { "abcdefghijkl " HASH " user=\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH "  user=ann\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann colour=red\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann user=bob\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann:b\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann expires=0\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann expires=-1\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann expires=99999999999999999999\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann scopes=a,,b\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann scopes=\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH " user=ann after=abc\n", ERR_SYNTAX, 1 },
        { "ABCDEFGHIJKL " HASH " user=ann\n", ERR_SYNTAX, 1 },
        { "abcdefghijk " HASH " user=ann\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl ab user=ann\n", ERR_SYNTAX, 1 },
        { "abcdefghijkl " HASH "ab user=ann\n", ERR_SYNTAX, 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct apikeys keys;
        unsigned line;
        assert_int_equal(keyfile_parse(span_text(rows[i].text), &arena, &keys, &line),
                         rows[i].err);
        assert_int_equal(line, rows[i].line);
    }
}

static void a_key_twice_is_no_file(void **state)
{
    (void)state;
    struct span block;
    unsigned line;
    assert_int_equal(
        keyfile_build(SPAN("abcdefghijkl " HASH " user=ann\nabcdefghijkl " HASH " user=bob\n"),
                      &arena, &block, &line),
        ERR_DUPLICATE);
}

/* At the limit of words, and one over it. */
static void bounds_words(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t max;
    } rows[] = { { "user", APIKEY_USER_MAX },
                 { "user=a plan", APIKEY_PLAN_MAX },
                 { "user=a scopes", APIKEY_SCOPES_MAX } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t over = 0; over < 2; over++) {
            char value[256] = { 0 }, line[512];
            struct apikeys keys;
            unsigned number;
            memset(value, 'a', rows[i].max + over);
            snprintf(line, sizeof(line), "abcdefghijkl " HASH " %s=%s", rows[i].name, value);
            assert_int_equal(keyfile_parse(span_text(line), &arena, &keys, &number),
                             over == 0 ? OK : ERR_SYNTAX);
        }
}

static void bounds_keys(void **state)
{
    (void)state;
    struct text text = text_growing(&arena, 1 << 20);
    struct apikeys keys;
    unsigned line;
    for (unsigned i = 0; i < KEYFILE_KEYS_MAX; i++) {
        char id[APIKEY_ID_BYTES + 1] = "aaaaaaaaaaaa";
        for (unsigned n = i, at = 0; n > 0; n >>= 4)
            id[at++] = (char)('a' + n % 16);
        text_format(&text, "%s " HASH " user=a\n", id);
    }
    assert_int_equal(keyfile_parse(text_span(&text), &arena, &keys, &line), OK);
    assert_int_equal(keys.count, KEYFILE_KEYS_MAX);
    text_lit(&text, "zzzzzzzzzzzz " HASH " user=a\n");
    assert_int_equal(keyfile_parse(text_span(&text), &arena, &keys, &line), ERR_LIMIT);
}

static void a_damaged_block_is_refused(void **state)
{
    (void)state;
    struct span block;
    unsigned line;
    assert_int_equal(keyfile_build(file_text, &arena, &block, &line), OK);
    assert_true(keyfile_valid(block));
    assert_int_equal(keyfile_count(block), 2);
    char *bytes = arena_cstring(&arena, block);
    struct span copy = span_of(bytes, block.len);
    assert_false(keyfile_valid(span_sub(copy, 0, copy.len - 1)));
    assert_false(keyfile_valid(span_sub(copy, 0, 8)));
    bytes[16]++; /* the count */
    assert_false(keyfile_valid(copy));
    bytes[16]--;
    assert_true(keyfile_valid(copy));
    struct apikey *first = (void *)(bytes + 24);
    memcpy(first->id, "zzzzzzzzzzzz", APIKEY_ID_BYTES); /* not in order */
    assert_false(keyfile_valid(copy));
    memcpy(first->id, "aaaaaaaaaaaa", APIKEY_ID_BYTES);
    assert_true(keyfile_valid(copy));
    memset(first->user, 'x', sizeof(first->user));
    assert_false(keyfile_valid(copy));
}

/* ---- the stage ---- */

static void open_with(const char *more)
{
    char yaml[512];
    snprintf(yaml, sizeof(yaml), "{file: %s, pass: X-User, pass_plan: X-Plan%s}", file_path,
             more);
    kit_open(&kit, &api_keys_stage);
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s", kit_complaint(&kit));
    key_files_initial(&kit.snapshots, &kit.config);
    kit_attach(&kit);
}

static struct verdict ask(const char *name, const char *value)
{
    kit_begin(&kit);
    kit.txn.clock = &kit.worker.loop.clock;
    if (name != NULL)
        kit_field(&kit, name, value);
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

static struct span sent(const char *name)
{
    const struct field *field = fields_find(&kit.req.fields, span_text(name));
    return field != NULL && !field->dropped ? field->value : SPAN("");
}

static const char *bearer(const char *key)
{
    static char field[256];
    snprintf(field, sizeof(field), "Bearer %s", key);
    return field;
}

static void lets_in_who_has_a_key(void **state)
{
    (void)state;
    open_with("");
    for (unsigned way = 0; way < 2; way++) {
        struct verdict verdict =
            way == 0 ? ask("x-api-key", good) : ask("Authorization", bearer(good));
        assert_int_equal(verdict.action, ACTION_PASS);
        assert_text(kit.txn.facts.user, "ann");
        assert_text(kit.txn.facts.auth, "api_keys");
        assert_text(identity_claim(kit.txn.facts.identity, SPAN("plan"), NULL)->value, "gold");
        const struct claim *scope = identity_claim(kit.txn.facts.identity, SPAN("scope"), NULL);
        assert_text(scope->value, "read");
        assert_text(identity_claim(kit.txn.facts.identity, SPAN("scope"), scope)->value,
                    "write");
        assert_int_equal(edits_apply(&kit.txn, EDIT_REQUEST, &kit.req.fields), OK);
        assert_text(sent("X-User"), "ann");
        assert_text(sent("X-Plan"), "gold");
        assert_text(sent("X-API-Key"), "");
        assert_text(sent("Authorization"), "");
    }
    kit_close(&kit);
}

static void refuses_all_others(void **state)
{
    (void)state;
    char wrong[APIKEY_BYTES + 1], longer[APIKEY_BYTES + 2];
    memcpy(wrong, good, sizeof(wrong));
    wrong[APIKEY_BYTES - 1] = wrong[APIKEY_BYTES - 1] == 'a' ? 'b' : 'a';
    snprintf(longer, sizeof(longer), "%sa", good);
    const struct {
        const char *value, *detail;
    } rows[] = {
        { wrong, "key-unknown" },
        { longer, "key-unknown" },
        { "sp_", "key-unknown" },
        { "", "key-unknown" },
        { ended, "key-expired" },
        { "sp_aaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "key-unknown" },
        { HASH, "key-unknown" },
    };
    open_with("");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct verdict verdict = ask("X-API-Key", rows[i].value);
        assert_int_equal(verdict.action, ACTION_REPLY);
        assert_int_equal(verdict.reason, REASON_AUTH_TOKEN);
        assert_string_equal(kit.txn.facts.auth_detail, rows[i].detail);
        assert_text(kit_reply_field(&verdict, "WWW-Authenticate"),
                    "ApiKey realm=\"Restricted\"");
    }
    assert_int_equal(ask(NULL, NULL).reason, REASON_AUTH_REQUIRED);
    assert_int_equal(ask("Authorization", "Bearer abc").reason, REASON_AUTH_REQUIRED);
    kit_close(&kit);
}

static void two_keys_are_none(void **state)
{
    (void)state;
    open_with("");
    for (unsigned way = 0; way < 2; way++) {
        kit_begin(&kit);
        kit_field(&kit, "X-API-Key", good);
        kit_field(&kit, way == 0 ? "X-API-Key" : "Authorization",
                  way == 0 ? good : bearer(good));
        assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).reason, REASON_AUTH_TOKEN);
        assert_string_equal(kit.txn.facts.auth_detail, "key-several");
    }
    kit_close(&kit);
}

static void needs_the_scopes(void **state)
{
    (void)state;
    open_with(", scopes: [write, read]");
    assert_int_equal(ask("X-API-Key", good).action, ACTION_PASS);
    kit_close(&kit);
    open_with(", scopes: [read, rea]");
    struct verdict verdict = ask("X-API-Key", good);
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_AUTH_REFUSED);
    kit_close(&kit);
}

/* The first key is made with the configuration that names its file. */
static void a_file_to_come_has_no_key(void **state)
{
    (void)state;
    kit_open(&kit, &api_keys_stage);
    if (!kit_configure(&kit, "{file: /tmp/sallyport-no-such.keys}", NULL))
        fail_msg("%s", kit_complaint(&kit));
    assert_non_null(strstr(kit_complaint(&kit), "sallyport keys add"));
    key_files_initial(&kit.snapshots, &kit.config);
    kit_attach(&kit);
    assert_int_equal(ask("X-API-Key", good).reason, REASON_AUTH_TOKEN);
    assert_string_equal(kit.txn.facts.auth_detail, "key-unknown");
    assert_int_equal(ask(NULL, NULL).reason, REASON_AUTH_REQUIRED);
    kit_close(&kit);
}

static void complains_at_load(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *part;
    } rows[] = {
        { "{file: /tmp}", "cannot be used" },
        { "{file: %s, header: Host}", "a field of its own" },
        { "{file: %s, pass: Cookie}", "a field of its own" },
        { "{file: %s, header: X-Key, pass: x-key}", "pass is not" },
        { "{file: %s, realm: 'a\"b'}", "realm" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[512] = { 0 };
        struct text text = text_fixed(yaml, sizeof(yaml) - 1);
        struct span rest = span_text(rows[i].yaml);
        ssize_t at = span_find(rest, SPAN("%s"));
        text_add(&text, at < 0 ? rest : span_sub(rest, 0, (size_t)at));
        if (at >= 0) {
            text_add(&text, span_text(file_path));
            text_add(&text, span_sub(rest, (size_t)at + 2, rest.len));
        }
        kit_open(&kit, &api_keys_stage);
        assert_false(kit_configure(&kit, yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].part) == NULL)
            fail_msg("row %zu: %s", i, kit_complaint(&kit));
        kit_close(&kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_understood_whole_or_not_at_all),
        cmocka_unit_test(a_key_twice_is_no_file),
        cmocka_unit_test(bounds_words),
        cmocka_unit_test(bounds_keys),
        cmocka_unit_test(a_damaged_block_is_refused),
        cmocka_unit_test(lets_in_who_has_a_key),
        cmocka_unit_test(refuses_all_others),
        cmocka_unit_test(two_keys_are_none),
        cmocka_unit_test(needs_the_scopes),
        cmocka_unit_test(a_file_to_come_has_no_key),
        cmocka_unit_test(complains_at_load),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
