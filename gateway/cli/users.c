/*
 * `sallyport users add|passwd|groups|totp|list|remove|revoke-sessions`: the store of local
 * users. It is changed here, in a transaction, and then looked at by the running gateway, so
 * that when the command returns the change counts: who is removed has no session any more.
 * Passwords are read from a terminal, without echo, or as one line of standard input; never
 * from an argument, which everybody on the machine can read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "auth/userdb.h"
#include "gateway/base/secret.h"
#include "gateway/base/siphash.h"
#include "gateway/cli/control.h"
#include "gateway/cli/loaded.h"

enum { USERS_ARENA = 256 << 20, PASSWORD_BYTES_MIN = 8 };

struct users_edit {
    struct userdb *db;
    char path[NAMED_PATH_BYTES];
    char name[USER_NAME_MAX + 1];
    bool json, ends; /* the user's sessions */
};

/* ---- the store ---- */

static const struct key_file *files_of(const struct config *config, size_t *count)
{
    *count = config->user_file_count;
    return config->user_files;
}

static const struct named_file named = { .option = "login",
                                         .what = "stores of users",
                                         .files = files_of };

static int open_store(const struct arguments *arguments, struct users_edit *edit, bool create)
{
    int code = named_path(arguments, &named, edit->path, NULL);
    if (code != EXIT_GOOD)
        return code;
    if (password_init() != OK || totp_init() != OK)
        return usage_error("the libraries for passwords cannot be used");
    const char *trouble = userdb_open(&edit->db, edit->path, create);
    return trouble == NULL ? EXIT_GOOD
                           : usage_error("%s cannot be used: %s", edit->path, trouble);
}

static int find_name(const struct arguments *arguments, struct users_edit *edit)
{
    const char *name = arguments->operands[1];
    if (user_name_fold(span_text(name), edit->name))
        return EXIT_GOOD;
    return usage_error("a name has at most %d letters, digits and . _ - @ +", USER_NAME_MAX);
}

/* They count for nothing since the store has changed; now they are off the list, too. */
static void end_listed(const struct arguments *arguments, const struct users_edit *edit)
{
    json_t *answer = NULL, *request = json_pack("{s:s, s:s, s:s}", "command", "sessions",
                                                "action", "end-local", "user", edit->name);
    if (control_ask(arguments, request, &answer) == EXIT_GOOD)
        json_decref(answer);
}

/* The running gateway looks at the store now. Without one, it counts from its start. */
static int tell_gateway(const struct arguments *arguments, const struct users_edit *edit)
{
    json_t *answer = NULL;
    if (arguments->values[FLAG_CONFIG] == NULL && arguments->values[FLAG_CONTROL] == NULL)
        return EXIT_GOOD;
    json_t *question = json_pack("{s:s, s:s}", "command", "files", "path", edit->path);
    if (control_ask(arguments, question, &answer) != EXIT_GOOD) {
        (void)fprintf(stderr,
                      "the store is changed; it counts from the gateway's next start\n");
        return EXIT_GOOD;
    }
    const char *trouble = json_string_value(json_object_get(answer, "error"));
    int code = EXIT_GOOD;
    if (trouble != NULL) {
        (void)usage_error("the gateway does not take the store: %s", trouble);
        code = EXIT_TROUBLE;
    } else if (edit->ends) {
        end_listed(arguments, edit);
    }
    json_decref(answer);
    return code;
}

/* What came of a change: said, and told. */
static int finish(const struct arguments *arguments, struct users_edit *edit,
                  const char *trouble)
{
    if (trouble != NULL) {
        (void)usage_error("%s: %s", edit->name, trouble);
        return EXIT_TROUBLE;
    }
    int code = tell_gateway(arguments, edit);
    if (code == EXIT_GOOD && edit->json)
        (void)printf("{\"user\":\"%s\"}\n", edit->name);
    return code;
}

/* ---- passwords ---- */

static bool read_line(char *line, size_t size, size_t *len)
{
    size_t at = 0;
    for (char c; at < size; line[at++] = c) {
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR) {
            at--;
            continue;
        }
        if (got < 0 || (got == 0 && at == 0))
            return false;
        if (got == 0 || c == '\n')
            break;
    }
    *len = at;
    return at < size;
}

static bool ask_silently(const char *prompt, char *line, size_t size, size_t *len)
{
    struct termios before, silent;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return read_line(line, size, len);
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    (void)fputs(prompt, stderr);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    bool good = read_line(line, size, len);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    (void)fputc('\n', stderr);
    return good;
}

static int read_password(struct password_hash *hash)
{
    char line[PASSWORD_BYTES_MAX + 1], again[PASSWORD_BYTES_MAX + 1];
    size_t len = 0, again_len = 0;
    int code = EXIT_GOOD;
    if (!ask_silently("Password: ", line, sizeof(line), &len))
        code =
            usage_error("a password of at most %d bytes on standard input", PASSWORD_BYTES_MAX);
    else if (len < PASSWORD_BYTES_MIN)
        code = usage_error("a password has at least %d bytes", PASSWORD_BYTES_MIN);
    else if (isatty(STDIN_FILENO) &&
             (!ask_silently("Again: ", again, sizeof(again), &again_len) || again_len != len ||
              memcmp(line, again, len) != 0))
        code = usage_error("the two differ");
    else if (password_make(span_of(line, len), hash) != OK)
        code = usage_error("the password has a NUL, or there is no memory to hash it");
    wipe(line, sizeof(line));
    wipe(again, sizeof(again));
    return code;
}

/* ---- changes ---- */

static int add(const struct arguments *arguments, struct users_edit *edit)
{
    struct password_hash hash;
    const char *groups = arguments->values[FLAG_GROUPS];
    int code = read_password(&hash);
    if (code != EXIT_GOOD)
        return code;
    return finish(arguments, edit,
                  userdb_add(edit->db, span_text(edit->name), span_text(hash.text),
                             groups != NULL ? span_text(groups) : SPAN("")));
}

static int passwd(const struct arguments *arguments, struct users_edit *edit)
{
    struct password_hash hash;
    int code = read_password(&hash);
    if (code != EXIT_GOOD)
        return code;
    return finish(arguments, edit,
                  userdb_set_password(edit->db, span_text(edit->name), span_text(hash.text)));
}

static int set_groups(const struct arguments *arguments, struct users_edit *edit)
{
    const char *groups = arguments->operands[2];
    return finish(arguments, edit,
                  userdb_set_groups(edit->db, span_text(edit->name), span_text(groups)));
}

static int take_away(const struct arguments *arguments, struct users_edit *edit)
{
    return finish(arguments, edit, userdb_remove(edit->db, span_text(edit->name)));
}

static int end_sessions(const struct arguments *arguments, struct users_edit *edit)
{
    return finish(arguments, edit, userdb_revoke(edit->db, span_text(edit->name)));
}

/* The one time that secret and codes are shown. */
static void show_second(const struct users_edit *edit, struct span secret,
                        char codes[][RECOVERY_TEXT_BYTES])
{
    char buffer[512], base32[2 * TOTP_SECRET_MAX];
    struct text uri = text_fixed(buffer, sizeof(buffer)),
                key = text_fixed(base32, sizeof(base32));
    totp_uri(&uri, SPAN("sallyport"), span_text(edit->name), secret);
    totp_base32(&key, secret);
    if (edit->json) {
        (void)printf("{\"user\":\"%s\",\"secret\":\"%.*s\",\"uri\":\"%.*s\",\"recovery\":[",
                     edit->name, (int)key.len, key.p, (int)uri.len, uri.p);
        for (unsigned i = 0; i < USER_CODES_MAX; i++)
            (void)printf("%s\"%.*s\"", i > 0 ? "," : "", RECOVERY_TEXT_BYTES, codes[i]);
        (void)printf("]}\n");
    } else {
        (void)printf("For the authenticator: %.*s\nOr its address: %.*s\n"
                     "Recovery codes, each good once:\n",
                     (int)key.len, key.p, (int)uri.len, uri.p);
        for (unsigned i = 0; i < USER_CODES_MAX; i++)
            (void)printf("  %.*s\n", RECOVERY_TEXT_BYTES, codes[i]);
    }
    wipe(buffer, sizeof(buffer));
    wipe(base32, sizeof(base32));
}

static int set_totp(const struct arguments *arguments, struct users_edit *edit)
{
    char secret[TOTP_SECRET_BYTES], codes[USER_CODES_MAX][RECOVERY_TEXT_BYTES];
    uint8_t hashes[USER_CODES_MAX][USER_CODE_HASH_BYTES];
    struct span name = span_text(edit->name);
    random_bytes(secret, sizeof(secret));
    for (unsigned i = 0; i < USER_CODES_MAX; i++) {
        recovery_make(codes[i]);
        bool made = recovery_hash(name, span_of(codes[i], sizeof(codes[i])), hashes[i]);
        INVARIANT(made);
    }
    const char *trouble =
        userdb_set_totp(edit->db, name, span_of(secret, sizeof(secret)),
                        (const uint8_t(*)[USER_CODE_HASH_BYTES])hashes, USER_CODES_MAX);
    bool json = edit->json;
    edit->json = false; /* said below, with the secret */
    int code = finish(arguments, edit, trouble);
    edit->json = json;
    /* From now on it is asked for, whatever the gateway says to that. */
    if (trouble == NULL)
        show_second(edit, span_of(secret, sizeof(secret)), codes);
    wipe(secret, sizeof(secret));
    wipe(codes, sizeof(codes));
    return code;
}

static int drop_totp(const struct arguments *arguments, struct users_edit *edit)
{
    if (strcmp(arguments->operands[2], "off") != 0)
        return usage_error("users totp NAME, or users totp NAME off");
    return finish(arguments, edit,
                  userdb_set_totp(edit->db, span_text(edit->name), SPAN(""), NULL, 0));
}

/* ---- looking ---- */

static int list(const struct arguments *arguments, struct users_edit *edit)
{
    struct arena arena;
    struct span block;
    json_t *all = json_array();
    (void)arguments;
    arena_init(&arena, NULL, 0, NULL, USERS_ARENA);
    enum err err = userdb_build(edit->db, &arena, &block);
    for (size_t i = 0; err == OK && i < users_count(block); i++) {
        const struct user_entry *user = users_at(block, i);
        if (edit->json)
            (void)json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:i}", "user",
                                                       user->name, "groups", user->groups,
                                                       "totp", user->totp_len > 0, "recovery",
                                                       (int)user->code_count));
        else
            (void)printf("%-24s %-24s %s\n", user->name, user->groups[0] ? user->groups : "-",
                         user->totp_len > 0 ? "totp" : "-");
    }
    if (err == OK && edit->json) {
        (void)json_dumpf(all, stdout, JSON_COMPACT);
        (void)putchar('\n');
    }
    json_decref(all);
    arena_reset(&arena);
    return err == OK ? EXIT_GOOD
                     : usage_error("%s cannot be read: %s", edit->path, err_text(err));
}

int verb_users(const struct arguments *arguments)
{
    static const struct {
        const char *name;
        unsigned operands;
        bool create, ends; /* the store; the user's sessions */
        int (*run)(const struct arguments *arguments, struct users_edit *edit);
    } actions[] = {
        { "add", 2, true, false, add },
        { "passwd", 2, false, true, passwd },
        { "groups", 3, false, true, set_groups },
        { "totp", 2, false, true, set_totp },
        { "totp", 3, false, true, drop_totp },
        { "list", 1, false, false, list },
        { "remove", 2, false, true, take_away },
        { "revoke-sessions", 2, false, true, end_sessions },
    };
    const char *action = arguments->operand_count > 0 ? arguments->operands[0] : "list";
    unsigned operands = arguments->operand_count > 0 ? arguments->operand_count : 1;
    struct users_edit edit = { .db = NULL };
    if (!output_is_json(arguments, &edit.json))
        return EXIT_BAD;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, action) != 0 || actions[i].operands != operands)
            continue;
        edit.ends = actions[i].ends;
        int code = operands > 1 ? find_name(arguments, &edit) : EXIT_GOOD;
        if (code == EXIT_GOOD)
            code = open_store(arguments, &edit, actions[i].create);
        if (code == EXIT_GOOD)
            code = actions[i].run(arguments, &edit);
        userdb_close(edit.db);
        return code;
    }
    return usage_error(
        "users list | add NAME | passwd NAME | groups NAME A,B | totp NAME [off] "
        "| remove NAME | revoke-sessions NAME");
}
