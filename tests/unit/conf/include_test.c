/* Files: includes, merging, relative paths, credentials, and what root must not read. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/source.h"
#include "tests/unit/check.h"
#include "tests/unit/conf/fixture.h"

static char folder[64];

static const char *path_of(struct fixture *f, const char *name)
{
    struct text t = text_growing(&f->arena, 128);
    text_format(&t, "%s/%s", folder, name);
    return text_cstring(&t);
}

static void put(struct fixture *f, const char *name, const char *content, mode_t mode)
{
    const char *path = path_of(f, name);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct node *load(struct fixture *f, const char *content)
{
    put(f, "main.yaml", content, 0600);
    return yaml_load_file(path_of(f, "main.yaml"), &f->arena, &f->diags);
}

static void make_folder(const char *name, struct fixture *f)
{
    (void)mkdir(path_of(f, name), 0700);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sallyport-[conf]-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static void remove_in(struct fixture *f, const char *name)
{
    const char *path = path_of(f, name);
    if (unlink(path) != 0)
        (void)rmdir(path);
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = { "conf.d/a.yaml", "conf.d/b.yaml", "conf.d",
                                         "main.yaml",     "secret",        "pipe",
                                         "1.yaml",        "2.yaml",        "3.yaml",
                                         "4.yaml",        "5.yaml",        "" };
    struct fixture *f = fixture_new();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        remove_in(f, names[i]);
    fixture_free(f);
    return 0;
}

static void merges_what_it_includes(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    make_folder("conf.d", f);
    put(f, "conf.d/a.yaml", "version: 1\nsites:\n  - b\nlists: {two: y}\n", 0600);
    put(f, "conf.d/b.yaml", "sites: [c]\nother: z\n", 0600);
    struct node *root =
        load(f, "version: 1\ninclude: [conf.d/*.yaml]\nsites: [a]\nlists: {one: x}\n");
    assert_text(fixture_codes(f), "");
    assert_null(node_child(root, SPAN("include")));
    assert_int_equal(root->count, 4);
    struct node *sites = node_child(root, SPAN("sites"));
    assert_int_equal(sites->count, 3);
    assert_text(sites->child->text, "a");
    assert_text(sites->child->next->text, "b");
    assert_text(sites->child->next->next->text, "c");
    assert_text(node_child(node_child(root, SPAN("lists")), SPAN("two"))->text, "y");
    assert_text(node_child(root, SPAN("other"))->text, "z");
    assert_true(span_ends(sites->child->next->place.source->name, SPAN("conf.d/a.yaml")));
    fixture_free(f);
}

static void shows_both_places_of_a_duplicate(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    make_folder("conf.d", f);
    put(f, "conf.d/a.yaml", "lists: {one: y}\nstore: memory\nversion: 2\n", 0600);
    put(f, "conf.d/b.yaml", "", 0600);
    load(f, "version: 1\ninclude: conf.d/*\nstore: redis\nlists: {one: x}\n");
    assert_text(fixture_codes(f), "SP0102@1:9 SP0102@2:1 SP0102@3:1");
    assert_true(span_find(fixture_human(f), SPAN("main.yaml:4:9\n")) >= 0);
    fixture_free(f);
}

static void refuses_loops_depth_and_absence(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    assert_non_null(load(f, "include: main.yaml\n"));
    assert_text(fixture_codes(f), "SP0107@1:10");
    fixture_reset(f);

    load(f, "include: [none.yaml, none.d/*, none*.yaml]\n"); /* a pattern may match nothing */
    assert_text(fixture_codes(f), "SP0107@1:11 SP0107@1:22");
    fixture_reset(f);

    for (int over = 0; over <= 1; over++) {
        put(f, "1.yaml", "include: 2.yaml\n", 0600);
        put(f, "2.yaml", "include: 3.yaml\n", 0600);
        put(f, "3.yaml", "include: 4.yaml\n", 0600);
        put(f, "4.yaml", over ? "include: 5.yaml\n" : "a: b\n", 0600);
        put(f, "5.yaml", "a: b\n", 0600);
        struct node *root = load(f, "include: 1.yaml\n");
        assert_int_equal(node_child(root, SPAN("a")) == NULL, over);
        assert_int_equal(f->diags.errors, over);
        fixture_reset(f);
    }
    assert_null(yaml_load_file(path_of(f, "absent.yaml"), &f->arena, &f->diags));
    assert_text(fixture_codes(f), "SP0106@0:0");
    fixture_free(f);
}

static void refuses_what_is_no_regular_file(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    (void)unlink(path_of(f, "pipe"));
    assert_int_equal(mkfifo(path_of(f, "pipe"), 0600), 0);
    load(f, "include: pipe\na: $(file:pipe)\nb: $(file:/dev/zero)\nc: $(file:.)\n");
    assert_text(fixture_codes(f), "SP0107@1:10 SP0106@2:4 SP0106@3:4 SP0106@4:4");
    assert_null(yaml_load_file(path_of(f, "pipe"), &f->arena, &f->diags));
    fixture_free(f);
}

static void root_reads_no_file_that_others_write(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct fixture *f = fixture_new();
    put(f, "1.yaml", "a: b\n", 0666);
    load(f, "include: 1.yaml\n");
    assert_text(fixture_codes(f), "SP0107@1:10");
    fixture_free(f);
}

static void reads_files_relative_to_the_one_that_names_them(void **state)
{
    (void)state;
    static const struct {
        const char *content, *value;
    } rows[] = {
        { "hunter2\n", "hunter2" }, { "hunter2\r\n", "hunter2" },
        { "a\n\n", "a\n" },         { "", "" },
        { " a ", " a " },           { "$(env:HOME)", "$(env:HOME)" },
    };
    struct fixture *f = fixture_new();
    make_folder("conf.d", f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put(f, "secret", rows[i].content, i == 0 ? 0604 : 0600);
        put(f, "conf.d/a.yaml", "key: \"<$(file:../secret)>\"\n", 0600);
        struct node *root = load(f, "include: conf.d/a.yaml\n");
        assert_text(fixture_codes(f), "");
        struct node *key = node_child(root, SPAN("key"));
        assert_span(span_sub(key->text, 1, key->text.len - 2), span_text(rows[i].value));
        assert_int_equal(key->exposed, i == 0);
        fixture_reset(f);
    }
    fixture_free(f);
}

static void bounds_what_is_substituted(void **state)
{
    (void)state;
    static char large[YAML_SUBSTITUTED_MAX + 2];
    struct fixture *f = fixture_new();
    memset(large, 'x', sizeof(large) - 1);
    for (size_t over = 0; over <= 1; over++) {
        large[YAML_SUBSTITUTED_MAX + over] = '\0';
        put(f, "secret", large, 0600);
        load(f, "a: $(file:secret)\n");
        assert_int_equal(f->diags.errors, over);
        fixture_reset(f);
        large[YAML_SUBSTITUTED_MAX + over] = 'x';
    }
    load(f, "a: $(file:secret)$(file:secret)$(file:secret)\n"); /* too much in all */
    assert_int_equal(f->diags.errors, 1);
    fixture_free(f);
}

static void reads_credentials(void **state)
{
    (void)state;
    static const struct {
        const char *text, *codes;
    } refused[] = {
        { "a: $(cred:../secret)\n", "SP0108@1:4" },
        { "a: $(cred:.)\n", "SP0108@1:4" },
        { "a: $(cred:)\n", "SP0108@1:4" },
        { "a: $(cred:none)\n", "SP0106@1:4" },
    };
    struct fixture *f = fixture_new();
    unsetenv("CREDENTIALS_DIRECTORY");
    load(f, "a: $(cred:secret)\n");
    assert_text(fixture_codes(f), "SP0108@1:4");
    fixture_reset(f);

    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    put(f, "secret", "deep\n", 0400);
    struct node *root = load(f, "a: $(cred:secret)\n");
    assert_text(fixture_codes(f), "");
    assert_text(root->child->text, "deep");
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        fixture_reset(f);
        load(f, refused[i].text);
        assert_span(fixture_codes(f), span_text(refused[i].codes));
    }
    fixture_free(f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(merges_what_it_includes),
        TEST(shows_both_places_of_a_duplicate),
        TEST(refuses_loops_depth_and_absence),
        TEST(refuses_what_is_no_regular_file),
        TEST(root_reads_no_file_that_others_write),
        TEST(reads_files_relative_to_the_one_that_names_them),
        TEST(bounds_what_is_substituted),
        TEST(reads_credentials),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
