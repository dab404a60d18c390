/* Claims and what contradicts them. Requests are as real programs send them. */
#include "auth/bots/signs.h"

#include "gateway/http/head.h"
#include "tests/unit/check.h"

#define BIT(name) (UINT32_C(1) << SIGN_##name)
#define CHROME_AGENT                                                                           \
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "                  \
    "Chrome/140.0.0.0 Safari/537.36"
#define FIREFOX_AGENT "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
#define SAFARI_AGENT                                                                           \
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like "       \
    "Gecko) Version/18.0 Safari/605.1.15"
#define CHROME_FETCH                                                                           \
    "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"               \
    "Sec-Fetch-Dest: document\r\n"
#define CHROME_HINTS "Sec-CH-UA: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n"
#define CHROME_TAIL "Accept-Encoding: gzip, br\r\nAccept-Language: de\r\n"
#define CHROME_JA4 "t13d1516h2_8daaf6152771_02713d6af862"
#define FIREFOX_JA4 "t13d1715h2_5b57614c22b0_7121afd63204"
#define SAFARI_JA4 "t13d2014h2_a09f3c656075_14788d8d241b"
#define PYTHON_JA4 "t13i1811h1_85036bcba153_d41ae481755e"

static struct arena arena;
static struct request req;

static uint32_t signs_in(const char *fields, const char *ja4, bool https, bool direct)
{
    static const struct head_limits limits = { .head_bytes = 16384,
                                               .uri_bytes = 8192,
                                               .fields = 100 };
    struct text head = text_growing(&arena, 512);
    text_lit(&head, "GET /page HTTP/1.1\r\n");
    text_add(&head, span_text(fields));
    text_lit(&head, "\r\n");
    req = (struct request){ .method_id = METHOD_OTHER };
    assert_int_equal(request_parse(&req, text_span(&head), &arena, &limits), HTTP_OK);
    req.scheme = https ? SPAN("https") : SPAN("http");
    struct sight sight = { .req = &req, .ja4 = span_text(ja4), .direct = direct };
    return signs_of_request(&sight);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void browsers_show_nothing(void **state)
{
    (void)state;
    assert_int_equal(signs_in("Host: x\r\nConnection: keep-alive\r\n" CHROME_HINTS
                              "User-Agent: " CHROME_AGENT
                              "\r\nAccept: text/html\r\n" CHROME_FETCH CHROME_TAIL,
                              CHROME_JA4, true, true),
                     0);
    assert_int_equal(signs_in("Host: x\r\nUser-Agent: " FIREFOX_AGENT
                              "\r\nAccept: text/html\r\nAccept-Language: de\r\n"
                              "Accept-Encoding: br\r\n" CHROME_FETCH,
                              FIREFOX_JA4, true, true),
                     0);
    assert_int_equal(signs_in("Host: x\r\nSec-Fetch-Dest: document\r\nUser-Agent: " SAFARI_AGENT
                              "\r\nAccept: text/html\r\nSec-Fetch-Site: none\r\n"
                              "Sec-Fetch-Mode: navigate\r\nAccept-Language: de\r\n"
                              "Accept-Encoding: br\r\n",
                              SAFARI_JA4, true, true),
                     0);
    /* On a plain connection they send less. */
    assert_int_equal(signs_in("Host: x\r\nUser-Agent: " CHROME_AGENT
                              "\r\nAccept: text/html\r\n" CHROME_TAIL,
                              "", false, true),
                     0);
    /* Ciphers that an employer has cut down are nobody's. */
    assert_int_equal(signs_in("Host: x\r\n" CHROME_HINTS "User-Agent: " CHROME_AGENT
                              "\r\nAccept: text/html\r\n" CHROME_FETCH CHROME_TAIL,
                              "t13d0516h2_000000000000_02713d6af862", true, true),
                     0);
}

static void what_pretends_is_seen(void **state)
{
    (void)state;
    /* A script with nothing but the name of a browser. */
    assert_int_equal(
        signs_in("Host: x\r\nUser-Agent: " CHROME_AGENT "\r\n", PYTHON_JA4, true, true),
        BIT(FIELDS_MISSING) | BIT(FETCH_MISSING) | BIT(HINTS_ODD) | BIT(TLS_MISMATCH));
    assert_int_equal(signs_in("Host: x\r\nUser-Agent: " CHROME_AGENT "\r\n",
                              "t12i180700_4b22cbed5bed_2dae41c691ec", true, true),
                     BIT(FIELDS_MISSING) | BIT(FETCH_MISSING) | BIT(HINTS_ODD) |
                         BIT(TLS_MISMATCH));
    /* All fields, in somebody else's order, by another family's TLS. */
    assert_int_equal(signs_in("Accept-Language: de\r\nHost: x\r\n" CHROME_HINTS
                              "User-Agent: " CHROME_AGENT "\r\nAccept: text/html\r\n"
                              "Accept-Encoding: br\r\n" CHROME_FETCH,
                              FIREFOX_JA4, true, true),
                     BIT(ORDER_MISMATCH) | BIT(TLS_MISMATCH));
    assert_int_equal(signs_in("Host: x\r\nUser-Agent: " FIREFOX_AGENT
                              "\r\nAccept: text/html\r\nAccept-Encoding: br\r\n"
                              "Accept-Language: de\r\n" CHROME_HINTS CHROME_FETCH,
                              "", true, true),
                     BIT(ORDER_MISMATCH) | BIT(HINTS_ODD));
    /* Behind a proxy of ours the order is the proxy's. */
    assert_int_equal(signs_in("Accept-Language: de\r\nHost: x\r\nUser-Agent: " CHROME_AGENT
                              "\r\nAccept: text/html\r\nAccept-Encoding: br\r\n",
                              "", false, false),
                     0);
    /* Hints of another version than that of the name. */
    assert_int_equal(
        signs_in("Host: x\r\nSec-CH-UA: \"Chromium\";v=\"99\"\r\nUser-Agent: " CHROME_AGENT
                 "\r\nAccept: text/html\r\n" CHROME_FETCH CHROME_TAIL,
                 CHROME_JA4, true, true),
        BIT(HINTS_ODD));
}

static void what_says_what_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *agent;
        uint32_t signs;
    } rows[] = {
        { "curl/8.5.0", BIT(AGENT_TOOL) },
        { "python-requests/2.31", BIT(AGENT_TOOL) },
        { "Go-http-client/2.0", BIT(AGENT_TOOL) },
        { "Mozilla/5.0 (X11) HeadlessChrome/140.0.0.0 Safari/537.36", BIT(AGENT_HEADLESS) },
        { "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
          BIT(AGENT_ROBOT) },
        { "Feedreader 3", 0 },
        { "Chrome/140.0", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct text fields = text_growing(&arena, 200);
        text_lit(&fields, "Host: x\r\nUser-Agent: ");
        text_add(&fields, span_text(rows[i].agent));
        text_lit(&fields, "\r\n");
        assert_int_equal(signs_in(text_cstring(&fields), "", true, true), rows[i].signs);
    }
    assert_int_equal(signs_in("Host: x\r\n", "", true, true), BIT(AGENT_NONE));
    assert_int_equal(signs_in("Host: x\r\nUser-Agent:\r\n", "", true, true), BIT(AGENT_NONE));
}

static void odd_fetch_metadata(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "Sec-Fetch-Mode: sideways\r\nSec-Fetch-Site: none\r\n",
        "Sec-Fetch-Site: elsewhere\r\n",
        "Sec-Fetch-User: yes\r\n",
        "Sec-Fetch-Mode: navigate\r\n",
        "Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: none\r\nSec-Fetch-Dest: document\r\n",
        "Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: none\r\nSec-Fetch-User: ?1\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct text fields = text_growing(&arena, 200);
        text_lit(&fields, "Host: x\r\nUser-Agent: Reader\r\n");
        text_add(&fields, span_text(odd[i]));
        assert_int_equal(signs_in(text_cstring(&fields), "", true, true), BIT(FETCH_ODD));
    }
}

static void agents(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum agent_kind kind;
        unsigned version;
    } rows[] = {
        { CHROME_AGENT, AGENT_CHROME, 140 },
        { CHROME_AGENT " Edg/140.0.0.0", AGENT_CHROME, 140 },
        { FIREFOX_AGENT, AGENT_FIREFOX, 140 },
        { SAFARI_AGENT, AGENT_SAFARI, 18 },
        { "Mozilla/5.0 (iPhone) AppleWebKit/605 CriOS/120.1 Mobile Safari/604", AGENT_SAFARI,
          0 },
        { "Mozilla/5.0 (Linux; Android 14; wv) Version/4.0 Chrome/120.0 Safari/537",
          AGENT_OTHER, 0 },
        { "Mozilla/5.0 (X11) Chrome/99999999999999999999", AGENT_CHROME, 0 },
        { "Mozilla/5.0 (X11) Chrome/", AGENT_CHROME, 0 },
        { "  ", AGENT_ABSENT, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct agent agent = agent_read(span_text(rows[i].text));
        assert_int_equal(agent.kind, rows[i].kind);
        assert_int_equal(agent.version, rows[i].version);
    }
    static char large[AGENT_BYTES_MAX + 64];
    memset(large, ' ', sizeof(large));
    memcpy(large, "x", 1);
    memcpy(large + AGENT_BYTES_MAX - 3, "headless", 8); /* beyond what is looked at */
    assert_int_equal(agent_read(span_of(large, sizeof(large))).kind, AGENT_OTHER);
    memcpy(large + AGENT_BYTES_MAX - 8, "headless", 8);
    assert_int_equal(agent_read(span_of(large, sizeof(large))).kind, AGENT_HEADLESS);
}

static void weights_add_up_within_bounds(void **state)
{
    (void)state;
    int32_t weights[SIGN_COUNT] = { 0 };
    assert_int_equal(signs_score(UINT32_MAX, weights), 0);
    weights[SIGN_TOR] = 30;
    weights[SIGN_LISTED] = 31;
    assert_int_equal(signs_score(BIT(TOR) | BIT(LISTED), weights), 61);
    assert_int_equal(signs_score(BIT(TOR), weights), 30);
    weights[SIGN_AGENT_NONE] = SCORE_MAX;
    assert_int_equal(signs_score(BIT(TOR) | BIT(AGENT_NONE), weights), SCORE_MAX);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    return RUN(CASE(browsers_show_nothing), CASE(what_pretends_is_seen),
               CASE(what_says_what_it_is), CASE(odd_fetch_metadata), CASE(agents),
               CASE(weights_add_up_within_bounds));
}
