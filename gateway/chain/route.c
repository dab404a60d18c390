/*
 * Which site and which route a request belongs to, by host name and canonical path; and lists
 * by name.
 */
#include "gateway/chain/route.h"

#include "gateway/base/siphash.h"
#include "gateway/chain/config.h"
#include "gateway/chain/pattern.h"
#include "gateway/chain/replayed.h"
#include "gateway/chain/scope.h"
#include "gateway/http/message.h"

enum { PATTERN_TEXT_MAX = 1024, GLOB_TEXT_MAX = 63, ROUTE_SEED_BYTES = 128 };

/* ---- sites ---- */

/* "*.x" stands for one label or more before ".x". */
static bool wildcard_matches(struct span wildcard, struct span host)
{
    if (wildcard.len < 3 || wildcard.p[0] != '*' || wildcard.p[1] != '.')
        return false;
    struct span suffix = span_sub(wildcard, 1, wildcard.len);
    return host.len > suffix.len && host.p[0] != '.' && span_ends(host, suffix);
}

const struct site *site_find(const struct config *config, struct span host)
{
    const struct site *best = host.len > 0 ? table_get(&config->hosts, host) : NULL;
    if (best != NULL)
        return best;

    size_t longest = 0;
    for (size_t i = 0; i < config->site_count; i++) {
        const struct site *site = &config->sites[i];
        for (size_t k = 0; k < site->host_count; k++)
            if (site->hosts[k].len > longest && wildcard_matches(site->hosts[k], host)) {
                longest = site->hosts[k].len;
                best = site;
            }
    }
    return best != NULL ? best : config->any;
}

int config_list(const struct config *config, struct span name)
{
    for (size_t i = 0; i < config->list_count; i++)
        if (span_equal(config->lists[i].name, name))
            return (int)i;
    return -1;
}

void config_spare(struct config *config, const struct cidr *cidr)
{
    /* Half of the Internet among the allowed says nothing about a feed. */
    if (cidr->bits < (cidr->addr.family == ADDR_V4 ? 8 : 16))
        return;
    if (config->spared_count < SPARED_MAX)
        config->spared[config->spared_count] = *cidr;
    if (config->spared_count <= SPARED_MAX)
        config->spared_count++;
}

uint16_t config_https_port(const struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++)
        if (config->listen[i].tls)
            return config->listen[i].addr.port;
    return 0;
}

/* ---- patterns ---- */

/* A segment that no canonical path has. */
static bool has_dot_segment(struct span text)
{
    struct span segment;
    while (span_cut(&text, '/', &segment))
        if (span_equal(segment, SPAN(".")) || span_equal(segment, SPAN("..")))
            return true;
    return false;
}

bool path_pattern_parse(struct span text, struct path_pattern *pattern)
{
    *pattern = (struct path_pattern){ .text = text };
    if (text.len == 0 || text.len > PATTERN_TEXT_MAX)
        return false;
    if (text.p[0] != '/' && !span_starts(text, SPAN("**")))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f || text.p[i] == '?' ||
            text.p[i] == '#')
            return false;
    if (span_find(text, SPAN("***")) >= 0 || has_dot_segment(text))
        return false;

    ssize_t star = span_index(text, '*');
    if (star < 0) {
        pattern->prefix = text;
        pattern->exact = true;
        return true;
    }
    pattern->prefix = span_sub(text, 0, (size_t)star);
    if ((size_t)star + 2 == text.len && span_ends(text, SPAN("/**"))) {
        pattern->prefix.len--; /* the folder's name, without its slash */
        pattern->below = true;
        return true;
    }
    return text.len - pattern->prefix.len <=
           GLOB_TEXT_MAX; /* one bit each, and one for the end */
}

/* Whether the star at `i` belongs to a `**`, which crosses slashes. */
static bool is_double(struct span glob, size_t i)
{
    return (i + 1 < glob.len && glob.p[i + 1] == '*') || (i > 0 && glob.p[i - 1] == '*');
}

/* At `i` there is a double star between slashes, or at the end behind one: it may stand for
 * nothing. */
static bool is_any_folder(struct span glob, size_t i)
{
    return i > 0 && glob.p[i - 1] == '/' && span_starts(span_sub(glob, i, 3), SPAN("**/"));
}

/*
 * All ways to read the glob at once, one byte of the path a step: bit i says that the path so
 * far may stand for the first i bytes of the glob. The cost is at most the product of the
 * lengths, whatever the path is, where backtracking could be led into far more.
 */
static uint64_t with_empty(struct span glob, uint64_t states)
{
    uint64_t todo = states;
    while (todo != 0) {
        size_t i = (size_t)__builtin_ctzll(todo);
        uint64_t more = 0;
        if (i < glob.len && glob.p[i] == '*')
            more |= (uint64_t)1 << (i + 1);
        if (is_any_folder(glob, i))
            more |= (uint64_t)1 << (i + 3);
        todo = (todo & (todo - 1)) | (more & ~states);
        states |= more;
    }
    return states;
}

static uint64_t step(struct span glob, uint64_t states, char c)
{
    uint64_t next = 0;
    for (; states != 0; states &= states - 1) {
        size_t i = (size_t)__builtin_ctzll(states);
        if (i == glob.len)
            break;
        if (glob.p[i] == c && c != '*')
            next |= (uint64_t)1 << (i + 1);
        if (glob.p[i] == '*' && (c != '/' || is_double(glob, i)))
            next |= (uint64_t)1 << i;
    }
    return next;
}

static bool glob_matches(struct span glob, bool after_slash, struct span path)
{
    uint64_t states = 1;
    /* The literal prefix is not in `glob`: a star at the front cannot look back at it. */
    if (after_slash && span_starts(glob, SPAN("**/")))
        states |= (uint64_t)1 << 3;
    states = with_empty(glob, states);
    for (size_t k = 0; k < path.len && states != 0; k++)
        states = with_empty(glob, step(glob, states, path.p[k]));
    if ((states >> glob.len & 1) != 0)
        return true;
    /* A folder and all below is the folder itself, too. */
    return span_ends(glob, SPAN("/**")) && (states >> (glob.len - 3) & 1) != 0;
}

bool path_pattern_matches(const struct path_pattern *pattern, struct span path)
{
    if (pattern->exact)
        return span_equal(path, pattern->prefix);
    if (!span_starts(path, pattern->prefix))
        return false;
    struct span rest = span_sub(path, pattern->prefix.len, path.len);
    if (pattern->below)
        return rest.len == 0 ? path.len > 0 : rest.p[0] == '/';
    struct span glob = span_sub(pattern->text, pattern->prefix.len, pattern->text.len);
    return glob_matches(glob, span_ends(pattern->prefix, SPAN("/")), rest);
}

/* ---- routes ---- */

/* A client stays with its share, whichever worker asks: IPv6 by its network. */
static bool is_in_share(const struct route *route, const struct txn *txn)
{
    if (route->withheld == 0)
        return true;
    if (txn->replayed != NULL) /* the key of that boot is gone */
        return strcmp(txn->replayed->route, route->name) == 0;
    const struct addr *client = &txn->client;
    struct siphash_key key;
    char seed[ROUTE_SEED_BYTES];
    struct text text = text_fixed(seed, sizeof seed);

    memcpy(&key, txn->config->boot_key, sizeof key);
    text_add(&text, span_of((const char *)client->bytes, client->family == ADDR_V4 ? 4 : 8));
    text_add(&text, span_sub(span_text(route->name), 0, ROUTE_SEED_BYTES - 16));
    return siphash(&key, seed, text.len) % 100 >= route->withheld;
}

static bool path_fits(const struct route *route, const struct request *req, struct txn *txn)
{
    if (route->pattern == 0)
        return path_pattern_matches(&route->path, req->path_plain);
    enum pattern_answer said =
        pattern_match(txn->config->patterns, (int)route->pattern - 1, req->path_plain);
    txn->undecided |= said == PATTERN_LIMIT;
    return said == PATTERN_YES;
}

static bool conditions_hold(const struct route *route, struct txn *txn)
{
    if (route->when != NULL) {
        struct expr_source source = scope_source(txn);
        if (!expr_eval(route->when, &source))
            return false;
    }
    return is_in_share(route, txn);
}

const struct route *route_find(const struct site *site, const struct request *req,
                               struct txn *txn)
{
    INVARIANT(site->route_count > 0);
    size_t last = site->route_count - 1;
    for (size_t i = 0; i < last; i++) {
        const struct route *route = &site->routes[i];
        bool conditional = route->pattern != 0 || route->when != NULL || route->withheld > 0;
        if (route->methods != 0 && (route->methods >> req->method_id & 1) == 0)
            continue;
        if (!conditional) {
            if (path_pattern_matches(&route->path, req->path_plain))
                return route;
            continue;
        }
        if (txn == NULL)
            continue;
        txn->undecided = false;
        bool fits = path_fits(route, req, txn) && conditions_hold(route, txn);
        if (txn->undecided)
            return NULL;
        if (fits)
            return route;
    }
    return &site->routes[last];
}
