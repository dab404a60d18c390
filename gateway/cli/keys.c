/*
 * `sallyport keys add|list|rotate|revoke`: the file of API keys, changed whole (a new file is
 * renamed over the old, under a lock) and then looked at by the running gateway, so that when
 * the command returns the change counts. Comments and what else stands in the file stay.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "auth/keyfile.h"
#include "gateway/base/file.h"
#include "gateway/base/secret.h"
#include "gateway/cli/control.h"
#include "gateway/cli/loaded.h"

enum { ROTATE_S = 7 * 86400, KEYS_ARENA = 256 << 20, PASSWD_BYTES = 4096 };

struct keys_edit {
    struct arena arena;
    char path[NAMED_PATH_BYTES], user[NAMED_USER_BYTES];
    struct file file;
    struct apikeys keys;
    struct text out; /* the new file */
    int lock;
    uint64_t now_s;
};

/* ---- the file ---- */

static const struct key_file *files_of(const struct config *config, size_t *count)
{
    *count = config->key_file_count;
    return config->key_files;
}

static const struct named_file named = { .option = "api_keys",
                                         .what = "files of keys",
                                         .files = files_of };

/* Two commands at a time change the file one after the other. */
static int lock_file(struct keys_edit *edit)
{
    char path[sizeof(edit->path) + 8];
    struct text text = text_fixed(path, sizeof(path));
    text_format(&text, "%s.lock", edit->path);
    bool fits = text_cstring(&text) != NULL;
    edit->lock = fits ? file_create(path, 0600) : -1;
    if (fits && edit->lock < 0 && errno == EEXIST)
        edit->lock = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (edit->lock >= 0 && flock(edit->lock, LOCK_EX) == 0)
        return EXIT_GOOD;
    return usage_error("%s cannot be locked: %s", path, strerrordesc_np(errno));
}

static int open_keys(const struct arguments *arguments, struct keys_edit *edit, bool change)
{
    unsigned line;
    *edit = (struct keys_edit){ .lock = -1, .now_s = (uint64_t)time(NULL) };
    arena_init(&edit->arena, NULL, 0, NULL, KEYS_ARENA);
    int code = named_path(arguments, &named, edit->path, edit->user);
    if (code == EXIT_GOOD && change)
        code = lock_file(edit);
    if (code != EXIT_GOOD)
        return code;
    const char *why = file_read(edit->path, KEYFILE_BYTES_MAX, &edit->arena, &edit->file);
    if (why != NULL && !(change && access(edit->path, F_OK) != 0 && errno == ENOENT))
        return usage_error("%s cannot be read: %s", edit->path, why);
    enum err err = keyfile_parse(edit->file.text, &edit->arena, &edit->keys, &line);
    if (err == ERR_SYNTAX)
        return usage_error("%s:%u: not a line of a file of keys", edit->path, line);
    if (err != OK)
        return usage_error("%s: %s", edit->path, err_text(err));
    edit->out = text_growing(&edit->arena, edit->file.text.len + 1024);
    return EXIT_GOOD;
}

static void close_keys(struct keys_edit *edit)
{
    if (edit->lock >= 0)
        (void)close(edit->lock);
    arena_reset(&edit->arena);
}

/* In a folder of root's, a new file of root's is read by the group of whom the gateway becomes.
 */
static void let_read(const struct keys_edit *edit, int fd)
{
    char buffer[PASSWD_BYTES];
    struct passwd entry, *user = NULL;
    struct stat info;
    if (geteuid() == 0 && edit->user[0] != '\0' && fstat(fd, &info) == 0 && info.st_uid == 0 &&
        getpwnam_r(edit->user, &entry, buffer, sizeof(buffer), &user) == 0 && user != NULL)
        (void)!fchown(fd, 0, user->pw_gid);
}

static bool write_new(struct keys_edit *edit, const char *path)
{
    struct span bytes = text_span(&edit->out);
    mode_t mode = edit->file.stat.st_mode != 0 ? edit->file.stat.st_mode & 0777 : 0640;
    (void)unlink(path);
    int fd = file_create(path, 0600);
    if (fd < 0)
        return false;
    if (edit->file.stat.st_mode == 0)
        let_read(edit, fd);
    /* The gateway's user goes on being able to read it. */
    bool owner = edit->file.stat.st_mode == 0 ||
                 fchown(fd, edit->file.stat.st_uid, edit->file.stat.st_gid) == 0 ||
                 geteuid() != 0;
    bool good = owner && fchmod(fd, mode) == 0 && print_all(fd, bytes) && fsync(fd) == 0;
    (void)close(fd);
    return good;
}

static int save(struct keys_edit *edit)
{
    char path[sizeof(edit->path) + 8];
    struct text text = text_fixed(path, sizeof(path));
    text_format(&text, "%s.new", edit->path);
    if (text_cstring(&text) == NULL || edit->out.overflow)
        return usage_error("out of memory");
    if (write_new(edit, path) && rename(path, edit->path) == 0)
        return EXIT_GOOD;
    int code = usage_error("%s cannot be written: %s", edit->path, strerrordesc_np(errno));
    (void)unlink(path);
    return code;
}

/* The running gateway looks at the file now. Without one, the file counts from its start. */
static int tell_gateway(const struct arguments *arguments, const struct keys_edit *edit)
{
    json_t *answer = NULL;
    if (arguments->values[FLAG_CONFIG] == NULL && arguments->values[FLAG_CONTROL] == NULL)
        return EXIT_GOOD;
    json_t *question = json_pack("{s:s, s:s}", "command", "files", "path", edit->path);
    if (control_ask(arguments, question, &answer) != EXIT_GOOD) {
        (void)fprintf(stderr, "the file is changed; it counts from the gateway's next start\n");
        return EXIT_GOOD;
    }
    const char *trouble = json_string_value(json_object_get(answer, "error"));
    int code = EXIT_GOOD;
    if (trouble != NULL) {
        (void)usage_error("the gateway does not take the file: %s", trouble);
        code = EXIT_TROUBLE;
    }
    json_decref(answer);
    return code;
}

/* ---- changes ---- */

static struct apikey *find_key(struct keys_edit *edit, const char *id)
{
    for (size_t i = 0; i < edit->keys.count; i++)
        if (span_equal(span_of(edit->keys.items[i].id, APIKEY_ID_BYTES), span_text(id)))
            return &edit->keys.items[i];
    (void)usage_error("there is no key %s", id);
    return NULL;
}

/* The file as it is, but for the key `changed`: its line is written anew, or left out. */
static void copy_lines(struct keys_edit *edit, const struct apikey *changed, bool keep)
{
    struct span rest = edit->file.text, line;
    while (edit->file.text.len > 0 && span_cut(&rest, '\n', &line)) {
        if (line.len == 0 && rest.p == NULL)
            break; /* behind the last line's end */
        bool same = changed != NULL &&
                    span_starts(span_trim(line), span_of(changed->id, APIKEY_ID_BYTES));
        if (same && keep)
            keyfile_write(&edit->out, changed);
        if (same)
            continue;
        text_add(&edit->out, line);
        text_char(&edit->out, '\n');
    }
}

static bool put_word(const char *what, const char *value, char *to, size_t max)
{
    struct span word = span_text(value);
    if (value == NULL)
        return true;
    if (!apikey_word_valid(word, max)) {
        (void)usage_error("%s has at most %zu letters, digits and . _ - @ / +", what, max);
        return false;
    }
    memcpy(to, word.p, word.len);
    return true;
}

static bool put_scopes(const char *value, struct apikey *key)
{
    struct span rest = span_text(value), one;
    if (value == NULL)
        return true;
    bool good = rest.len > 0 && rest.len <= APIKEY_SCOPES_MAX;
    while (good && span_cut(&rest, ',', &one))
        good = apikey_word_valid(one, APIKEY_SCOPES_MAX);
    if (!good)
        (void)usage_error("--scopes are names with commas between them, %d bytes at most",
                          APIKEY_SCOPES_MAX);
    else
        memcpy(key->scopes, value, strlen(value));
    return good;
}

/* The one time that the key is shown. */
static int show_new(struct keys_edit *edit, const struct arguments *arguments,
                    struct apikey *key, bool json)
{
    char text[APIKEY_BYTES + 1] = { 0 };
    apikey_make(key, text);
    keyfile_write(&edit->out, key);
    int code = save(edit);
    /* It is in the file now, whatever the gateway says to that. */
    if (code == EXIT_GOOD && json)
        (void)printf("{\"id\":\"%.*s\",\"key\":\"%s\"}\n", APIKEY_ID_BYTES, key->id, text);
    else if (code == EXIT_GOOD)
        (void)printf("%s\n", text);
    if (code == EXIT_GOOD)
        code = tell_gateway(arguments, edit);
    wipe(text, sizeof(text));
    return code;
}

static int add(const struct arguments *arguments, bool json)
{
    struct keys_edit edit;
    struct apikey key = { 0 };
    int64_t seconds = 0;
    const char *lifetime = arguments->values[FLAG_FOR];
    int code = open_keys(arguments, &edit, true);
    if (code == EXIT_GOOD && arguments->values[FLAG_USER] == NULL)
        code = usage_error("keys add --user NAME");
    if (code == EXIT_GOOD && edit.keys.count == KEYFILE_KEYS_MAX)
        code = usage_error("a file has at most %d keys", KEYFILE_KEYS_MAX);
    if (code == EXIT_GOOD && lifetime != NULL && !length_read(span_text(lifetime), &seconds))
        code = usage_error("--for takes a time of at least a second: 90s, 2h, 7d");
    if (code == EXIT_GOOD &&
        !(put_word("--user", arguments->values[FLAG_USER], key.user, APIKEY_USER_MAX) &&
          put_word("--plan", arguments->values[FLAG_PLAN], key.plan, APIKEY_PLAN_MAX) &&
          put_scopes(arguments->values[FLAG_SCOPES], &key)))
        code = EXIT_BAD;
    if (code == EXIT_GOOD) {
        key.expires_s = lifetime != NULL ? edit.now_s + (uint64_t)seconds : 0;
        copy_lines(&edit, NULL, false);
        code = show_new(&edit, arguments, &key, json);
    }
    close_keys(&edit);
    return code;
}

/* Two of a kind live at a time: the old one ends after --for. */
static int rotate(const struct arguments *arguments, bool json)
{
    struct keys_edit edit;
    int64_t seconds = ROTATE_S;
    const char *overlap = arguments->values[FLAG_FOR];
    int code = open_keys(arguments, &edit, true);
    struct apikey *old = code == EXIT_GOOD ? find_key(&edit, arguments->operands[1]) : NULL;
    if (code == EXIT_GOOD && old == NULL)
        code = EXIT_TROUBLE;
    if (code == EXIT_GOOD && overlap != NULL && !length_read(span_text(overlap), &seconds))
        code = usage_error("--for takes a time of at least a second: 90s, 2h, 7d");
    for (size_t i = 0; code == EXIT_GOOD && i < edit.keys.count; i++)
        if (memcmp(edit.keys.items[i].after, old->id, APIKEY_ID_BYTES) == 0)
            code = usage_error("%.*s is to replace it already", APIKEY_ID_BYTES,
                               edit.keys.items[i].id);
    if (code == EXIT_GOOD) {
        struct apikey next = *old;
        uint64_t end = edit.now_s + (uint64_t)seconds;
        memcpy(next.after, old->id, APIKEY_ID_BYTES);
        next.after[APIKEY_ID_BYTES] = '\0';
        if (old->expires_s == 0 || old->expires_s > end)
            old->expires_s = end;
        copy_lines(&edit, old, true);
        code = show_new(&edit, arguments, &next, json);
    }
    close_keys(&edit);
    return code;
}

static int take_back(const struct arguments *arguments, bool json)
{
    struct keys_edit edit;
    int code = open_keys(arguments, &edit, true);
    const struct apikey *key =
        code == EXIT_GOOD ? find_key(&edit, arguments->operands[1]) : NULL;
    if (code == EXIT_GOOD && key == NULL)
        code = EXIT_TROUBLE;
    if (code == EXIT_GOOD) {
        copy_lines(&edit, key, false);
        code = save(&edit);
    }
    if (code == EXIT_GOOD)
        code = tell_gateway(arguments, &edit);
    if (code == EXIT_GOOD && json)
        (void)printf("{\"id\":\"%.*s\",\"revoked\":true}\n", APIKEY_ID_BYTES, key->id);
    close_keys(&edit);
    return code;
}

/* ---- looking ---- */

static void print_expiry(const struct apikey *key, uint64_t now_s)
{
    char text[32] = "never";
    time_t at = (time_t)key->expires_s;
    struct tm tm;
    if (key->expires_s != 0 && gmtime_r(&at, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)printf("%-21s%s", text,
                 key->expires_s != 0 && key->expires_s <= now_s ? " (ended)" : "");
}

static json_t *key_json(const struct apikey *key)
{
    return json_pack("{s:s#, s:s, s:s, s:s, s:I, s:s}", "id", key->id, (int)APIKEY_ID_BYTES,
                     "user", key->user, "plan", key->plan, "scopes", key->scopes, "expires",
                     (json_int_t)key->expires_s, "after", key->after);
}

static int list(const struct arguments *arguments, bool json)
{
    struct keys_edit edit;
    json_t *all = json_array();
    int code = open_keys(arguments, &edit, false);
    for (size_t i = 0; code == EXIT_GOOD && i < edit.keys.count; i++) {
        const struct apikey *key = &edit.keys.items[i];
        if (json) {
            (void)json_array_append_new(all, key_json(key));
            continue;
        }
        (void)printf("%.*s  %-20s %-10s ", APIKEY_ID_BYTES, key->id, key->user,
                     key->plan[0] != '\0' ? key->plan : "-");
        print_expiry(key, edit.now_s);
        (void)printf(" %s\n", key->scopes);
    }
    if (code == EXIT_GOOD && json) {
        (void)json_dumpf(all, stdout, JSON_COMPACT);
        (void)putchar('\n');
    }
    json_decref(all);
    close_keys(&edit);
    return code;
}

int verb_keys(const struct arguments *arguments)
{
    static const struct {
        const char *name;
        unsigned operands;
        int (*run)(const struct arguments *arguments, bool json);
    } actions[] = { { "add", 1, add },
                    { "list", 1, list },
                    { "rotate", 2, rotate },
                    { "revoke", 2, take_back } };
    const char *action = arguments->operand_count > 0 ? arguments->operands[0] : "list";
    unsigned operands = arguments->operand_count > 0 ? arguments->operand_count : 1;
    bool json;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (strcmp(actions[i].name, action) == 0 && actions[i].operands == operands)
            return actions[i].run(arguments, json);
    return usage_error("keys list | keys add --user NAME | keys rotate ID | keys revoke ID");
}
