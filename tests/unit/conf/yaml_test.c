/* YAML: the tree with its places, what is refused, and where. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/check.h"
#include "tests/unit/conf/fixture.h"

static void keeps_shapes_and_places(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct node *root = fixture_yaml(
        f, SPAN("# é\nä: {b: \"x y\"}\nlist:\n  - one\n  - 'two'\ntext: |\n  a\n  b\n"));
    assert_non_null(root);
    assert_int_equal(root->count, 3);

    struct node *inner = node_child(node_child(root, SPAN("ä")), SPAN("b"));
    assert_text(inner->text, "x y");
    assert_true(inner->quoted);
    assert_int_equal(inner->place.line, 2);
    assert_int_equal(inner->place.column, 8); /* characters */
    assert_int_equal(inner->place.width, 5);
    assert_int_equal(inner->place.offset, 5 + 8); /* bytes: two letters have two */
    assert_int_equal(inner->place.length, 5);
    assert_int_equal(node_text_place(inner).column, 9);
    assert_int_equal(node_text_place(inner).width, 3);

    struct node *list = node_child(root, SPAN("list"));
    assert_int_equal(list->kind, NODE_LIST);
    assert_int_equal(list->count, 2);
    assert_text(list->child->text, "one");
    assert_int_equal(list->child->next->place.line, 5);
    assert_int_equal(list->child->next->place.column, 5);
    assert_text(node_child(root, SPAN("text"))->text, "a\nb\n");
    assert_null(node_child(root, SPAN("none")));
    assert_null(node_child(list, SPAN("one")));
    assert_null(node_child(NULL, SPAN("one")));
    fixture_free(f);
}

static void an_empty_file_is_an_empty_mapping(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "\n", "# nothing\n", "---\n", "\xef\xbb\xbf" };
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct node *root = fixture_yaml(f, span_text(texts[i]));
        assert_non_null(root);
        assert_int_equal(root->kind, NODE_MAP);
        assert_int_equal(root->count, 0);
        assert_int_equal(f->diags.errors, 0);
        fixture_reset(f);
    }
    fixture_free(f);
}

/* `tree`: whether the schema can go on. */
static const struct {
    const char *text, *codes, *words;
    bool tree;
} refused[] = {
    { "a: [password, *token*]\n", "SP0101@1:15", "quote it: \"*token*\"", false },
    { "a: [*x, b]\n", "SP0104@1:5", "quote it: \"*x\"", true },
    { "a: &x 1\n", "SP0104@1:4", "anchors", true },
    { "a: &* 1\n", "SP0101@1:4", "quote it", false },
    { "a: !x 1\n", "SP0104@1:4", "tags", true },
    { "a: !!str [1]\n", "SP0104@1:4", "tags", true },
    { "a: @office\n", "SP0101@1:4", "quote it: \"@office\"", false },
    { "a: `x`\n", "SP0101@1:4", "quote it: \"`x`\"", false },
    { "a: %x\n", "SP0101@1:4", "quote it: \"%x\"", false },
    { "a:\n\tb: 1\n", "SP0101@2:1", "indent with spaces", false },
    { "when: a: b\n", "SP0101@1:8", "quote the value", false },
    { "a:\n  - b: x\n     c: y\n", "SP0101@3:7", "indented like its neighbours", false },
    { "a: 1\nb: \"x\nc: 2\n", "SP0101@2:4", "never closed", false },
    { "a: 'x\n", "SP0101@1:4", "never closed", false },
    { "a: \"x\\d\"\n", "SP0101@1:6", "single quotes", false },
    { "a: \"x\" == b\n", "SP0101@1:8", "quotes of the other kind", false },
    { "a: {b: ${env:X}}\n", "SP0101@1:9", "write $(env:NAME)", false },
    { "a: [1, 2\nb: 3\n", "SP0101@2:2", "closing bracket", false },
    { "a: - b\n", "SP0101@1:4", "next line", false },
    { "a:\n  b: 1\n c: 2\n", "SP0101@3:2", "neighbours", false },
    { "a: 1\nabc\nd: 2\n", "SP0101@2:1", "key: value", false },
    { "a: 1\na: 2\n", "SP0102@2:1", "::: t.yaml:1:1", true },
    { "x: {a: 1, b: 2, \"a\": 3}\n", "SP0102@1:17", "stands twice", true },
    { "a: {<<: {b: 1}}\n", "SP0104@1:5", "merge keys", true },
    { "? [a]\n: b\n", "SP0104@1:3", "single word", true },
    { "a: 1\n---\nb: 2\n", "SP0104@2:1", "one document", false },
    { "- a\n", "SP0201@1:1", "mapping", false },
    { "text\n", "SP0201@1:1", "mapping", false },
    { "a: \"x\\0y\"\n", "SP0109@1:4", "NUL", true },
    { "a: \xff\n", "SP0109@1:4", "UTF-8", false },
    { "a: \xc0\xaf\n", "SP0109@1:4", "UTF-8", false },
    { "a: \x1b[2J\n", "SP0109@1:4", "control", false },
    { "a: 1\rb: 2\n", "SP0109@1:5", "control", false },
    { "é: \xe2\x80\xae\n", "SP0109@1:4", "control", false },
    { "a: x\xc2\x85y\n", "SP0109@1:5", "control", false },
    { "a: $(env:SALLYPORT_TEST_NONE)\n", "SP0108@1:4", "is not set", true },
    { "a: é$(env:SALLYPORT_TEST_NONE)x\n", "SP0108@1:5", "^^^^^ $(env:NAME:-default)", true },
    { "a: \"b $(foo:x)\"\n", "SP0108@1:7", "unknown substitution", true },
    { "a: \"$(env:\"\n", "SP0108@1:5", "closing parenthesis", true },
    { "a: $(env:1x)\n", "SP0108@1:4", "no name of a variable", true },
    { "a: x${HOME}\n", "SP0108@1:5", "write $(env:NAME)", true },
    { "a: $(file:x)\n", "SP0108@1:4", "can name files", true },
    { "a: $(cred:x)\n", "SP0108@1:4", "can name credentials", true },
    { "$(env:HOME): b\n", "SP0104@1:1", "in a key", true },
    { "include: x.yaml\n", "SP0107@1:10", "cannot include", true },
    { "include: [{a: b}]\n", "SP0201@1:11", "file names", true },
};

static void refuses_and_says_where(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    unsetenv("SALLYPORT_TEST_NONE");
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct node *root = fixture_yaml(f, span_text(refused[i].text));
        assert_span(fixture_codes(f), span_text(refused[i].codes));
        struct span human = fixture_human(f);
        if (span_find(human, span_text(refused[i].words)) < 0)
            fail_msg("\"%s\" is not in:\n%.*s", refused[i].words, (int)human.len, human.p);
        assert_int_equal(root != NULL, refused[i].tree);
        fixture_reset(f);
    }
    fixture_free(f);
}

static const struct {
    const char *text, *value;
} substituted[] = {
    { "$(env:SALLYPORT_TEST)", "it" },
    { "a$(env:SALLYPORT_TEST)b$(env:SALLYPORT_TEST)", "aitbit" },
    { "$(env:SALLYPORT_TEST:-else)", "it" },
    { "$(env:SALLYPORT_TEST_NONE:-else)", "else" },
    { "$(env:SALLYPORT_TEST_NONE:-)", "" },
    { "$(env:SALLYPORT_TEST_EMPTY)", "" },
    { "$(env:SALLYPORT_TEST_EMPTY:-else)", "else" },
    { "$(env:SALLYPORT_TEST_EVIL)", "$(env:SALLYPORT_TEST)\nb: [" }, /* not looked at again */
    { "$$(env:X)", "$(env:X)" },
    { "$${X}", "${X}" },
    { "$$$(env:X)", "$$(env:X)" },
    { "^(a|b)$(?:c)", "^(a|b)$(?:c)" }, /* a pattern */
    { "x{2}$", "x{2}$" },
    { "${2}", "${2}" },
    { "$", "$" },
    { "$(", "$(" },
};

static void substitutes(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    setenv("SALLYPORT_TEST", "it", 1);
    setenv("SALLYPORT_TEST_EMPTY", "", 1);
    setenv("SALLYPORT_TEST_EVIL", "$(env:SALLYPORT_TEST)\nb: [", 1);
    for (size_t i = 0; i < ARRAY_LEN(substituted); i++) {
        struct text t = text_growing(&f->arena, 64);
        text_format(&t, "a: '%s'\n", substituted[i].text);
        struct node *root = fixture_yaml(f, text_span(&t));
        assert_text(fixture_codes(f), "");
        assert_int_equal(root->count, 1);
        assert_span(root->child->text, span_text(substituted[i].value));
        assert_int_equal(root->child->substituted,
                         substituted[i].text[1] == '(' || substituted[i].text[0] == 'a'
                             ? span_find(span_text(substituted[i].text), SPAN("$(env")) >= 0
                             : false);
        fixture_reset(f);
    }
    fixture_free(f);
}

static void repeat(struct text *t, const char *part, int times)
{
    for (int i = 0; i < times; i++)
        text_add(t, span_text(part));
}

/* At the limit and one over it. */
static void bounds_depth(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (int over = 0; over <= 1; over++) {
        struct text t = text_growing(&f->arena, 4096);
        int depth = YAML_DEPTH_MAX - 1 + over; /* the root is one level */
        text_lit(&t, "a: ");
        repeat(&t, "[", depth);
        repeat(&t, "]", depth);
        struct node *root = fixture_yaml(f, text_span(&t));
        assert_int_equal(root == NULL, over);
        if (over)
            assert_text(fixture_codes(f), "SP0105@1:67");
        else
            assert_text(fixture_codes(f), "");
        fixture_reset(f);
    }
    fixture_free(f);
}

static void bounds_nodes_and_bytes(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct text t = text_growing(&f->arena, 1024 * 1024);
    text_lit(&t, "a:\n");
    repeat(&t, "- b\n", YAML_NODES_MAX - 3); /* root, key, list */
    assert_non_null(fixture_yaml(f, text_span(&t)));
    text_lit(&t, "- b\n");
    assert_null(fixture_yaml(f, text_span(&t)));
    assert_text(fixture_codes(f), "SP0105@199999:3");

    fixture_reset(f);
    struct text large = text_growing(&f->arena, YAML_BYTES_MAX + 16);
    repeat(&large, "#", YAML_BYTES_MAX);
    assert_non_null(fixture_yaml(f, text_span(&large)));
    text_char(&large, '#');
    assert_null(fixture_yaml(f, text_span(&large)));
    assert_text(fixture_codes(f), "SP0105@1:1");
    fixture_free(f);
}

static void finds_all_duplicates_of_a_large_mapping(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct text t = text_growing(&f->arena, 1024 * 1024);
    for (int i = 0; i < 20000; i++)
        text_format(&t, "key%d: 1\n", i);
    text_lit(&t, "key777: 1\nkey19999: 2\n");
    assert_non_null(fixture_yaml(f, text_span(&t)));
    assert_text(fixture_codes(f), "SP0102@20001:1 SP0102@20002:1");
    fixture_free(f);
}

static void lives_with_little_memory(void **state)
{
    (void)state;
    static const char text[] = "a: [1, 2, 3]\nb: {c: $(env:HOME:-x)}\nc: \"x y\"\n";
    for (size_t ceiling = 0; ceiling < 64 * 1024; ceiling += 997) {
        static struct diags diags;
        struct arena arena;
        arena_init(&arena, NULL, 0, NULL, ceiling);
        diags_init(&diags, &arena);
        struct node *root = yaml_load_text(span_text(text), "t", &arena, &diags);
        assert_true(root != NULL || diags.errors > 0);
        arena_reset(&arena);
    }
}

int main(void)
{
    return RUN(TEST(keeps_shapes_and_places), TEST(an_empty_file_is_an_empty_mapping),
               TEST(refuses_and_says_where), TEST(substitutes), TEST(bounds_depth),
               TEST(bounds_nodes_and_bytes), TEST(finds_all_duplicates_of_a_large_mapping),
               TEST(lives_with_little_memory));
}
