/* Words in a text, and the number behind one. */
#include "auth/bots/agent.h"

#include "gateway/base/text.h"

enum { VERSION_MAX = 9999 };

struct word {
    struct span text; /* small letters */
    enum agent_kind kind;
};

/* What the text begins with. */
static const struct word beginnings[] = {
    { SPAN_INIT("curl/"), AGENT_TOOL },          { SPAN_INIT("wget"), AGENT_TOOL },
    { SPAN_INIT("python"), AGENT_TOOL },         { SPAN_INIT("aiohttp"), AGENT_TOOL },
    { SPAN_INIT("httpx"), AGENT_TOOL },          { SPAN_INIT("go-http-client"), AGENT_TOOL },
    { SPAN_INIT("okhttp"), AGENT_TOOL },         { SPAN_INIT("java/"), AGENT_TOOL },
    { SPAN_INIT("apache-http"), AGENT_TOOL },    { SPAN_INIT("libwww-perl"), AGENT_TOOL },
    { SPAN_INIT("scrapy"), AGENT_TOOL },         { SPAN_INIT("node"), AGENT_TOOL },
    { SPAN_INIT("undici"), AGENT_TOOL },         { SPAN_INIT("axios"), AGENT_TOOL },
    { SPAN_INIT("got "), AGENT_TOOL },           { SPAN_INIT("ruby"), AGENT_TOOL },
    { SPAN_INIT("faraday"), AGENT_TOOL },        { SPAN_INIT("php"), AGENT_TOOL },
    { SPAN_INIT("guzzlehttp"), AGENT_TOOL },     { SPAN_INIT("httpie"), AGENT_TOOL },
    { SPAN_INIT("postmanruntime"), AGENT_TOOL }, { SPAN_INIT("insomnia"), AGENT_TOOL },
    { SPAN_INIT("reqwest"), AGENT_TOOL },        { SPAN_INIT("dart"), AGENT_TOOL },
    { SPAN_INIT("git/"), AGENT_TOOL },           { SPAN_INIT("powershell"), AGENT_TOOL },
    { SPAN_INIT("lua-resty"), AGENT_TOOL },      { SPAN_INIT("masscan"), AGENT_TOOL },
    { SPAN_INIT("zgrab"), AGENT_TOOL },
};

/* What stands anywhere in it; the first row that fits holds. */
static const struct word words[] = {
    { SPAN_INIT("headless"), AGENT_HEADLESS },  { SPAN_INIT("phantomjs"), AGENT_HEADLESS },
    { SPAN_INIT("puppeteer"), AGENT_HEADLESS }, { SPAN_INIT("playwright"), AGENT_HEADLESS },
    { SPAN_INIT("selenium"), AGENT_HEADLESS },  { SPAN_INIT("electron/"), AGENT_OTHER },
    { SPAN_INIT("bot/"), AGENT_ROBOT },         { SPAN_INIT("bot;"), AGENT_ROBOT },
    { SPAN_INIT("bot)"), AGENT_ROBOT },         { SPAN_INIT("bot-"), AGENT_ROBOT },
    { SPAN_INIT("crawler"), AGENT_ROBOT },      { SPAN_INIT("spider"), AGENT_ROBOT },
    { SPAN_INIT("+http"), AGENT_ROBOT },        { SPAN_INIT("; wv)"), AGENT_OTHER },
    { SPAN_INIT("seamonkey/"), AGENT_OTHER },   { SPAN_INIT("pale moon"), AGENT_OTHER },
    { SPAN_INIT("crios/"), AGENT_SAFARI },      { SPAN_INIT("fxios/"), AGENT_SAFARI },
    { SPAN_INIT("edgios/"), AGENT_SAFARI },     { SPAN_INIT(" firefox/"), AGENT_FIREFOX },
    { SPAN_INIT(" chrome/"), AGENT_CHROME },    { SPAN_INIT(" version/"), AGENT_SAFARI },
};

/* As much of it as is looked at, in small letters. */
struct folded {
    char bytes[AGENT_BYTES_MAX];
    struct span text;
};

static void fold(struct folded *folded, struct span text)
{
    struct text out = text_fixed(folded->bytes, sizeof(folded->bytes));
    text_lower(&out, span_sub(text, 0, AGENT_BYTES_MAX));
    folded->text = text_span(&out);
}

bool agent_names(struct span user_agent, struct span needle)
{
    struct folded folded;
    fold(&folded, user_agent);
    return span_find(folded.text, needle) >= 0;
}

static unsigned number_at(struct span text)
{
    unsigned number = 0;
    for (size_t i = 0; i < text.len && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        number = number * 10 + (unsigned)(text.p[i] - '0');
        if (number > VERSION_MAX)
            return 0;
    }
    return number;
}

struct agent agent_read(struct span user_agent)
{
    struct agent agent = { .kind = AGENT_OTHER };
    struct folded folded;
    struct span text = span_trim(span_sub(user_agent, 0, AGENT_BYTES_MAX));
    if (text.len == 0)
        return (struct agent){ .kind = AGENT_ABSENT };
    fold(&folded, text);
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
        if (span_starts(folded.text, beginnings[i].text))
            return (struct agent){ .kind = beginnings[i].kind };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        ssize_t at = span_find(folded.text, words[i].text);
        if (at < 0)
            continue;
        agent.kind = words[i].kind;
        /* A browser is one only as browsers have begun for thirty years. */
        if (agent_is_browser(&agent) && !span_starts(text, SPAN("Mozilla/5.0 (")))
            return (struct agent){ .kind = AGENT_OTHER };
        /* Others on iOS count versions of their own, which say nothing of the engine's. */
        if (agent_is_browser(&agent) && words[i].text.p[0] == ' ')
            agent.version = number_at(span_sub(text, (size_t)at + words[i].text.len, text.len));
        return agent;
    }
    return agent;
}
