/*
 * Basic authentication, RFC 7617.
 *
 *     basic: {realm: Staff, users: {ann: "$argon2id$..."}, file: staff.htpasswd}
 *
 * Without credentials the client is asked for them; wrong ones, malformed ones and unknown
 * users get one and the same answer after one and the same work: an unknown user's password is
 * checked against the first user's hash, and the result thrown away. What was right a minute
 * ago is not hashed again. Guesses are slowed before they cost anything (auth/lockout.h).
 * Upstream does not see the password unless it is told to, and sees the user's name only in the
 * field that `pass` names, never in a client's own copy of that field.
 *
 * One cache serves all `basic` stages of a worker. It hangs on the locals of those stages,
 * counted, and is found there by the next one that attaches: so there is no global, and the
 * last one to go takes it along.
 */
#include "auth/basic.h"

#include <sodium.h>
#include <stdlib.h>

#include "auth/credcache.h"
#include "auth/demand.h"
#include "auth/hashpool.h"
#include "auth/htpasswd.h"
#include "auth/lend.h"
#include "auth/lockout.h"
#include "auth/session.h"
#include "auth/sessionshare.h"
#include "conf/schema.h"
#include "gateway/base/file.h"
#include "gateway/base/table.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/txn.h"
#include "gateway/http/names.h"
#include "gateway/net/worker.h"

enum {
    COSTS_MAX = 16, /* ways of hashing among the users; the last ones count as one */
    /* user, colon, password */
    CREDENTIALS_BYTES_MAX = HTPASSWD_NAME_BYTES_MAX + 1 + PASSWORD_BYTES_MAX,
};

struct user_row { /* an item of `users` */
    struct map_item item;
    struct secret hash;
};

struct user {
    struct span name;
    struct password_hash hash;
    struct user *next;
};

struct basic_conf {
    struct span realm;
    struct list users;
    struct path file;
    struct span pass;
    bool forward_credentials;

    struct lockout lockout;
    bool shared;          /* failures are counted with other nodes, too ... */
    struct vault counts;  /* ... under names of this key; without memory */
    struct table by_name; /* to struct user */
    struct user *all;
    const struct user *typical; /* its hash stands for those of unknown users */
    struct span challenge;
};

/* Of a worker. */
struct basic_shared {
    struct hashpool *pool;
    struct credcache *cache;
    unsigned users; /* stages that hold it */
};

struct basic_local {
    struct basic_shared *shared;
    struct worker *sharing; /* NULL: nothing with other nodes */
};

/* Of a transaction that waits for its hash. */
struct basic_state {
    const struct user *user; /* NULL: unknown, and the hash is for show */
    struct span name;        /* as it was typed */
    struct cred_tag tag;
    bool right;
};

static const struct option user_options[] = {
    OPTION(struct user_row, hash, OPT_SECRET, .flags = OPTION_SHORTHAND | OPTION_REQUIRED,
           .help = "The password's hash: argon2id, bcrypt, SHA-crypt or yescrypt.",
           .example = "$(cred:ann)"),
    OPTIONS_END,
};

static const struct option basic_options[] = {
    OPTION(struct basic_conf, realm, OPT_TEXT, .fallback = "Restricted",
           .help = "What the browser shows when it asks for name and password."),
    OPTION(struct basic_conf, users, OPT_MAP, .options = user_options,
           .item_size = sizeof(struct user_row), .max = HTPASSWD_USERS_MAX,
           .help = "Names, and the hashes of their passwords."),
    OPTION(struct basic_conf, file, OPT_FILE,
           .help = "A file of users as htpasswd writes it, in addition to `users`."),
    OPTION(struct basic_conf, pass, OPT_TEXT,
           .help = "Request field that tells upstream the user's name; none when empty. A "
                   "client's own field of that name is removed.",
           .example = "X-Remote-User"),
    OPTION(struct basic_conf, forward_credentials, OPT_BOOL, .fallback = "false",
           .help = "Whether upstream sees the Authorization field."),
    OPTIONS_END,
};

/* ---- at load ------------------------------------------------------------------------------
 */

static bool make_challenge(struct basic_conf *conf, struct setup *setup)
{
    if (!realm_valid(setup, conf->realm))
        return false;
    struct text text = text_growing(setup->arena, conf->realm.len + 48);
    text_lit(&text, "Basic realm=\"");
    text_add(&text, conf->realm);
    text_lit(&text, "\", charset=\"UTF-8\"");
    conf->challenge = text_span(&text);
    return !text.overflow;
}

static bool add_user(struct basic_conf *conf, struct span name, struct span hash,
                     const char **wrong, struct arena *arena)
{
    struct user *user = arena_new(arena, struct user);
    *wrong = "out of memory";
    if (user == NULL)
        return false;
    user->name = name;
    *wrong =
        "the name is empty or longer than 255 bytes, or has a colon, a control character, or "
        "white space around it";
    if (!htpasswd_name_valid(name))
        return false;
    *wrong = password_hash_read(hash, &user->hash);
    if (*wrong != NULL)
        return false;
    *wrong = "the user stands twice";
    if (table_put(&conf->by_name, name, user) != OK)
        return false;
    user->next = conf->all;
    conf->all = user;
    return true;
}

/* NULL pointer after a complaint. */
static struct span read_file(struct setup *setup, const char *path)
{
    struct file file;
    const char *why = file_read(path, HTPASSWD_FILE_MAX, setup->arena, &file);
    if (why != NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "%s cannot be read: %s", path, why);
        return span_of(NULL, 0);
    }
    if ((file.stat.st_mode & S_IROTH) != 0)
        complain(setup->complaint, SEVERITY_WARNING,
                 "%s can be read by every user: chmod o= it", path);
    return file.text;
}

static bool read_users(struct basic_conf *conf, struct setup *setup, struct htpasswd *file)
{
    const char *path = conf->file.text.p;
    unsigned line;
    *file = (struct htpasswd){ .count = 0 };
    if (conf->file.text.len == 0)
        return true;
    struct span text = read_file(setup, path);
    if (text.p == NULL)
        return false;
    enum err err = htpasswd_parse(text, setup->arena, file, &line);
    if (err == ERR_DUPLICATE)
        complain(setup->complaint, SEVERITY_ERROR, "%s:%u: the user stands twice", path, line);
    else if (err == ERR_SYNTAX)
        complain(setup->complaint, SEVERITY_ERROR, "%s:%u: not a line of the form name:hash",
                 path, line);
    else if (err != OK)
        complain(setup->complaint, SEVERITY_ERROR, "%s: %s", path, err_text(err));
    return err == OK;
}

static bool gather_users(struct basic_conf *conf, struct setup *setup)
{
    struct htpasswd file;
    if (!read_users(conf, setup, &file))
        return false;
    if (table_init(&conf->by_name, setup->arena, conf->users.count + file.count) != OK)
        return false;

    bool good = true;
    const char *wrong;
    const struct user_row *rows = conf->users.items;
    for (size_t i = 0; i < conf->users.count; i++) {
        struct span name = rows[i].item.key, hash = { rows[i].hash.p, rows[i].hash.len };
        if (add_user(conf, name, hash, &wrong, setup->arena))
            continue;
        complain(setup->complaint, SEVERITY_ERROR, "user \"%.*s\": %s", (int)name.len, name.p,
                 wrong);
        good = false;
    }
    for (size_t i = 0; i < file.count; i++) {
        if (add_user(conf, file.users[i].name, file.users[i].hash, &wrong, setup->arena))
            continue;
        complain(setup->complaint, SEVERITY_ERROR, "%s:%u: %s", conf->file.text.p,
                 file.users[i].line, wrong);
        good = false;
    }
    return good;
}

/* The hash as most users have it: by the time that its check takes, names that exist cannot be
 * told from others, but for those of the few. */
static const struct user *typical_of(const struct user *all)
{
    struct {
        const struct user *user;
        size_t count;
    } groups[COSTS_MAX] = { 0 };
    size_t most = 0;

    for (const struct user *user = all; user != NULL; user = user->next) {
        struct span cost = password_cost(&user->hash);
        size_t i = 0;
        while (i + 1 < COSTS_MAX && groups[i].user != NULL &&
               (groups[i].user->hash.kind != user->hash.kind ||
                !span_equal(password_cost(&groups[i].user->hash), cost)))
            i++;
        groups[i].user = user;
        groups[i].count++;
    }
    for (size_t i = 1; i < COSTS_MAX; i++)
        most = groups[i].count > groups[most].count ? i : most;
    return groups[most].user;
}

/* Told once, however many there are. */
static void warn_of_hashes(const struct basic_conf *conf, struct setup *setup)
{
    const char *weak = NULL;
    bool others = false;
    for (const struct user *user = conf->all; user != NULL; user = user->next) {
        if (weak == NULL)
            weak = password_weakness(&user->hash);
        others |= user->hash.kind != conf->typical->hash.kind ||
                  !span_equal(password_cost(&user->hash), password_cost(&conf->typical->hash));
    }
    if (weak != NULL)
        complain(setup->complaint, SEVERITY_WARNING, "%s", weak);
    if (others)
        complain(setup->complaint, SEVERITY_WARNING,
                 "hashes of several kinds or costs: by the time of a refusal, names with an "
                 "uncommon one can be told from names that nobody has");
}

/* A name for each count, as sessions have them; there is no vault behind it. */
static void share_counts(struct basic_conf *conf, struct setup *setup)
{
    uint8_t key[32];
    conf->shared = sessions_key(setup->config, setup->boot_key, key);
    vault_over(&conf->counts, NULL, VAULT_WAYS, 0, "sallyport basic", key);
    wipe(key, sizeof(key));
}

static bool basic_idle(const void *base)
{
    const struct basic_conf *conf = base;
    return conf->users.count == 0 && conf->file.text.len == 0;
}

static enum err open_basic(void *base, struct setup *setup)
{
    struct basic_conf *conf = base;
    conf->all = NULL;
    if (basic_idle(conf))
        return OK;
    if (password_init() != OK) {
        complain(setup->complaint, SEVERITY_ERROR, "libsodium cannot be used");
        return ERR_CONFIG;
    }
    bool challenge = make_challenge(conf, setup),
         pass_good = lend_name_valid(setup, "pass", conf->pass);
    if (!gather_users(conf, setup) || !challenge || !pass_good)
        return ERR_CONFIG;
    void *counts = setup->shared(setup, "lockout", LOCKOUT_LAYOUT, lockout_bytes());
    if (counts == NULL)
        return ERR_CONFIG;
    lockout_over(&conf->lockout, counts, setup->boot_key);
    share_counts(conf, setup);
    conf->typical = typical_of(conf->all);
    warn_of_hashes(conf, setup);
    if (conf->typical == NULL) {
        /* Nobody could ever sign in: surely not what was meant. */
        complain(setup->complaint, SEVERITY_ERROR, "there is not one user");
        return ERR_CONFIG;
    }
    return conf->pass.len == 0 || lend_field(setup, conf->pass) ? OK : ERR_MEMORY;
}

/* ---- in a worker --------------------------------------------------------------------------
 */

static struct basic_shared *find_shared(const struct worker *worker)
{
    const struct config *config = worker->config;
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct stage_instance *stage = &config->instances[i];
        if (stage->type != &basic_stage)
            continue;
        const struct basic_local *local = worker->locals[stage->local];
        if (local->shared != NULL)
            return local->shared;
    }
    return NULL;
}

static enum err attach_basic(void *base, const void *opened, struct worker *worker)
{
    const struct basic_conf *conf = opened;
    struct basic_local *local = base;
    if (basic_idle(conf))
        return OK;
    if (conf->shared) {
        TRY(session_share_attach(worker));
        local->sharing = worker;
    }
    struct basic_shared *shared = find_shared(worker);
    if (shared == NULL) {
        shared = calloc(1, sizeof(*shared));
        if (shared == NULL)
            return ERR_MEMORY;
        shared->cache = credcache_new(worker->config->boot_key);
        enum err err = ERR_MEMORY;
        if (shared->cache != NULL)
            err = hashpool_share(&shared->pool, worker);
        if (err != OK) {
            credcache_free(shared->cache);
            free(shared);
            return err;
        }
    }
    shared->users++;
    local->shared = shared;
    return OK;
}

static void detach_basic(void *base)
{
    struct basic_local *local = base;
    struct basic_shared *shared = local->shared;
    local->shared = NULL;
    if (local->sharing != NULL)
        session_share_detach(local->sharing);
    local->sharing = NULL;
    if (shared == NULL || --shared->users > 0)
        return;
    hashpool_let_go(shared->pool);
    credcache_free(shared->cache);
    free(shared);
}

/* ---- on the request path ------------------------------------------------------------------
 */

/* The same words for every refusal: which part was wrong is nobody's business. */
static struct verdict challenge(struct call *c, enum reason reason)
{
    const struct basic_conf *conf = c->conf;
    return reason == REASON_AUTH_REQUIRED ? demand(c, conf->challenge)
                                          : demand_failed(c, reason, conf->challenge, NULL);
}

static struct verdict busy(struct call *c)
{
    struct reply *reply = reply_new(c->txn, 0);
    if (reply == NULL || !reply_field(reply, SPAN("Retry-After"), SPAN("1")))
        return fail(REASON_MEMORY);
    return deny_with(REASON_AUTH_BUSY, reply);
}

static struct verdict accept_user(struct call *c, const struct user *user)
{
    const struct basic_conf *conf = c->conf;
    if (conf->pass.len > 0 && !edit_lend_field(c->txn, conf->pass, user->name))
        return fail(REASON_MEMORY);
    fact_set_user(c, user->name);
    fact_set_auth(c, SPAN("basic"));
    return pass();
}

static struct attempt attempt_of(struct call *c, struct span name)
{
    const struct basic_conf *conf = c->conf;
    struct attempt attempt = { .user = name,
                               .client = &c->txn->client,
                               .now_s = c->txn->clock->wall_us / 1000000u,
                               .ja4 = txn_ja4(c->txn) };
    attempt.known = lockout_was_here(&conf->lockout, &attempt);
    return attempt;
}

/* No challenge: browsers would ask for the password once more, at once. */
static struct verdict locked(struct call *c, uint64_t wait_s)
{
    struct reply *reply = reply_new(c->txn, 0);
    struct text after = text_growing(c->txn->arena, 24);
    text_uint(&after, wait_s);
    if (reply == NULL || after.overflow ||
        !reply_field(reply, SPAN("Retry-After"), text_span(&after)))
        return fail(REASON_MEMORY);
    fact_set_auth_detail(c, "basic-wait");
    return deny_with(REASON_AUTH_LOCKED, reply);
}

static struct verdict settle(struct call *c)
{
    const struct basic_conf *conf = c->conf;
    const struct basic_local *local = c->local;
    const struct basic_state *state = c->state;
    struct attempt attempt = attempt_of(c, state->name);
    if (!state->right) {
        lockout_failed(&conf->lockout, &attempt);
        return challenge(c, REASON_AUTH_FAILED);
    }
    lockout_proved(&conf->lockout, &attempt);
    credcache_add(local->shared->cache, &state->tag, clock_ms(c->txn->clock));
    return accept_user(c, state->user);
}

static struct span counted_name(struct call *c)
{
    const struct basic_conf *conf = c->conf;
    const struct basic_state *state = c->state;
    struct text text = text_growing(c->txn->arena, conf->realm.len + state->name.len + 8);
    text_add(&text, conf->realm);
    text_char(&text, '\n');
    text_add(&text, state->name);
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

/* All nodes have counted. Without a word of the store those of this one hold alone. */
static struct verdict counted(struct call *c)
{
    const struct basic_conf *conf = c->conf;
    const struct basic_state *state = c->state;
    if (c->error == ERR_LIMIT)
        return locked(c, LOCKOUT_ACCOUNT_PAUSE_MAX_S);
    if (state->right && c->error == OK)
        share_uncount(c->worker, &conf->counts, counted_name(c));
    return settle(c);
}

/*
 * The hash is computed. Who guesses may come to all nodes, so that they count together, right
 * or wrong, but for addresses that this account was proved from.
 */
static struct verdict judge(struct call *c)
{
    const struct basic_conf *conf = c->conf;
    struct basic_state *state = c->state;
    struct attempt attempt = attempt_of(c, state->name);
    if (c->error != OK)
        return fail(REASON_STAGE_FAILED);
    state->right = *(const bool *)c->answer && state->user != NULL;
    if (!conf->shared || attempt.known)
        return settle(c);
    struct share_join *join = share_join(c);
    struct span name = counted_name(c);
    if (join == NULL || name.p == NULL)
        return fail(REASON_MEMORY);
    share_count(join, &conf->counts, name, LOCKOUT_ACCOUNT_ALL, LOCKOUT_ACCOUNT_PAUSE_MAX_S);
    return share_wait(c, join, counted);
}

static struct verdict check(struct call *c, struct span name, struct span password)
{
    const struct basic_conf *conf = c->conf;
    const struct basic_local *local = c->local;
    struct basic_state *state = c->state;
    const struct user *user = table_get(&conf->by_name, name);
    const struct user *judged_by = user != NULL ? user : conf->typical;

    struct cred_tag tag =
        credcache_tag(local->shared->cache, name, span_text(judged_by->hash.text), password);
    bool cached = credcache_has(local->shared->cache, &tag, clock_ms(c->txn->clock));
    if (cached && user != NULL)
        return accept_user(c, user);

    /* Before the dear work. Those at a time are as many as the pool takes of one client. */
    struct attempt attempt = attempt_of(c, name);
    uint64_t wait_s = lockout_look(&conf->lockout, &attempt);
    if (wait_s > 0)
        return locked(c, wait_s);
    struct span kept = arena_copy(c->txn->arena, name);
    if (kept.p == NULL)
        return fail(REASON_MEMORY);
    struct op *op =
        hashpool_verify(local->shared->pool, &judged_by->hash, password, &c->txn->client);
    if (op == NULL)
        return busy(c);
    *state = (struct basic_state){ .user = user, .name = kept, .tag = tag };
    return wait_for(c, op, judge);
}

/* RFC 7617 section 2: neither has a control character, and the name no colon. */
static bool split_credentials(struct span credentials, struct span *name, struct span *password)
{
    for (size_t i = 0; i < credentials.len; i++) {
        unsigned char byte = (unsigned char)credentials.p[i];
        if (byte < 0x20 || byte == 0x7f)
            return false;
    }
    *password = credentials;
    return span_cut(password, ':', name) && password->p != NULL && name->len > 0 &&
           name->len <= HTPASSWD_NAME_BYTES_MAX && password->len <= PASSWORD_BYTES_MAX;
}

/* What follows the scheme, decoded on the stack and wiped. */
static struct verdict decode(struct call *c, struct span token)
{
    char bytes[CREDENTIALS_BYTES_MAX];
    struct span name, password;
    size_t len;
    const char *end;
    if (token.len == 0 ||
        sodium_base642bin((unsigned char *)bytes, sizeof(bytes), token.p, token.len, NULL, &len,
                          &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
        end != span_end(token)) {
        wipe(bytes, sizeof(bytes));
        return challenge(c, REASON_AUTH_FAILED);
    }
    struct verdict verdict = split_credentials(span_of(bytes, len), &name, &password)
                                 ? check(c, name, password)
                                 : challenge(c, REASON_AUTH_FAILED);
    wipe(bytes, sizeof(bytes));
    return verdict;
}

/* Another stage's business: it decides whether upstream sees it. */
static bool is_bearer(const struct request *req)
{
    return span_starts_nocase(fields_value(&req->fields, FIELD_AUTHORIZATION), SPAN("Bearer "));
}

static struct verdict basic_head(struct call *c)
{
    const struct basic_conf *conf = c->conf;

    /* Before anything can end this: no client may lend a field to itself, nor, in detect mode,
     * pass off as signed in. */
    if (conf->pass.len > 0 && !demand_met(c) &&
        !edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, conf->pass, SPAN("")))
        return fail(REASON_MEMORY);
    if (!conf->forward_credentials && !(demand_met(c) && is_bearer(c->req)) &&
        !edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, SPAN("Authorization"), SPAN("")))
        return fail(REASON_MEMORY);
    if (demand_met(c))
        return pass();

    const struct field *field = fields_get(&c->req->fields, FIELD_AUTHORIZATION);
    if (field == NULL)
        return challenge(c, REASON_AUTH_REQUIRED);
    /* One reading: a second one could be the one that upstream believes. */
    if (fields_next(&c->req->fields, field) != NULL)
        return challenge(c, REASON_AUTH_FAILED);

    struct span token = field->value, scheme;
    if (!span_cut(&token, ' ', &scheme) || !span_equal_nocase(scheme, SPAN("Basic")))
        return challenge(c, REASON_AUTH_REQUIRED); /* of another kind: none for us */
    return decode(c, span_trim(token));
}

const struct stage_type basic_stage = {
    .name = "basic",
    .summary = "Asks for a name and a password (RFC 7617).",
    .remembers = true,
    .options = basic_options,
    .conf_size = sizeof(struct basic_conf),
    .local_size = sizeof(struct basic_local),
    .state_size = sizeof(struct basic_state),
    .open = open_basic,
    .attach = attach_basic,
    .detach = detach_basic,
    .idle = basic_idle,
    .gate = true,
    .authenticates = true,
    .on = { [PHASE_REQUEST_HEAD] = basic_head },
};
