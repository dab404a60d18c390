/* Names in other alphabets: as browsers and certificates spell them. */
#include "gateway/http/idn.h"

#include "tests/unit/http/http.h"

static void expect(const char *name, const char *ascii)
{
    struct span out;

    assert_null(idn_to_ascii(span_text(name), fresh_arena(), &out));
    assert_span(out, span_text(ascii));
}

static void refused(const char *name, const char *word)
{
    struct span out;
    const char *why = idn_to_ascii(span_text(name), fresh_arena(), &out);

    assert_non_null(why);
    assert_non_null(strstr(why, word));
}

static void names_are_spelled_as_the_dns_has_them(void **state)
{
    (void)state;
    expect("example.org", "example.org");
    expect("EXAMPLE.org", "EXAMPLE.org"); /* somebody else's matter */
    expect("bücher.example", "xn--bcher-kva.example");
    expect("BÜCHER.example", "xn--bcher-kva.example");
    expect("*.bücher.example", "*.xn--bcher-kva.example");
    expect("faß.de", "xn--fa-hia.de");
    expect("münchen.münchen", "xn--mnchen-3ya.xn--mnchen-3ya");
    expect("例え.テスト", "xn--r8jz45g.xn--zckzah");
    expect("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f");
    expect("ü", "xn--tda");
    expect("☃.net", "xn--n3h.net");
}

/* RFC 3492 section 7.1. */
static void the_samples_of_the_rfc(void **state)
{
    (void)state;
    expect("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye");
    expect("למההםפשוטלאמדבריםעברית", "xn--4dbcagdahymbxekheh6e0a7fei0b");
    expect("почемужеонинеговорятпорусски", "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l");
    expect("3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b");
    expect("安室奈美恵-with-super-monkeys", "xn---with-super-monkeys-pc58ag80a8qai00g7n9n");
}

static void what_is_no_name_is_refused(void **state)
{
    char longest[IDN_LABEL_MAX * 2 + 4];

    (void)state;
    refused("b\xc3.example", "UTF-8");
    refused("b\xc3(.example", "UTF-8");
    refused("\xc0\xaf.example", "UTF-8");         /* overlong */
    refused("\xed\xa0\x80.example", "UTF-8");     /* half of a pair */
    refused("\xf4\x90\x80\x80.example", "UTF-8"); /* beyond the last one */
    refused("bu\xcc\x88"
            "cher.example",
            "character");                          /* u and its dots apart */
    refused("a\xe2\x80\x8b.example", "character"); /* a space of no width */
    refused("a\xe2\x80\xae.example", "character"); /* from right to left */
    memset(longest, 'a', sizeof longest);
    memcpy(longest + IDN_LABEL_MAX - 1, "ü", 3);
    refused(longest, "too long");
}

static void labels_have_a_limit(void **state)
{
    /* "xn--" and 59 behind it: 52 letters and "-", then the ü. */
    char name[128] = "";
    struct span out;

    (void)state;
    for (size_t fits = 1; fits <= IDN_LABEL_MAX; fits++) {
        memset(name, 'a', fits);
        memcpy(name + fits, "ü", 3);
        const char *why = idn_to_ascii(span_text(name), fresh_arena(), &out);
        if (why == NULL)
            assert_true(out.len <= IDN_LABEL_MAX);
        else
            assert_true(fits > 50);
    }
}

int main(void)
{
    return finish(RUN(TEST(names_are_spelled_as_the_dns_has_them), TEST(the_samples_of_the_rfc),
                      TEST(what_is_no_name_is_refused), TEST(labels_have_a_limit)));
}
