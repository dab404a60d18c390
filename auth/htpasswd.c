/* Lines to users. The hashes are judged by auth/password. */
#include "auth/htpasswd.h"

#include "gateway/base/table.h"

/*
 * Control characters may stand in no user-id (RFC 7617 section 2), and would spoil a record;
 * white space around a name would be lost in a field.
 */
bool htpasswd_name_valid(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c < 0x20 || c == 0x7f || c == ':')
            return false;
    }
    return name.len > 0 && name.len <= HTPASSWD_NAME_BYTES_MAX &&
           span_trim(name).len == name.len;
}

/* The line without its end; empty for a comment. */
static struct span content(struct span line)
{
    if (span_ends(line, SPAN("\r")))
        line.len--;
    struct span trimmed = span_trim(line);
    return span_starts(trimmed, SPAN("#")) ? SPAN("") : trimmed;
}

static size_t count_users(struct span text)
{
    size_t count = 0;
    struct span line;
    while (span_cut(&text, '\n', &line))
        count += content(line).len > 0;
    return count;
}

static bool parse_line(struct span line, struct htpasswd_user *user)
{
    struct span rest = line;
    if (!span_cut(&rest, ':', &user->name) || rest.len == 0)
        return false;
    user->hash = rest;
    for (size_t i = 0; i < rest.len; i++)
        if (rest.p[i] <= 0x20 || rest.p[i] == 0x7f || rest.p[i] == ':')
            return false;
    return htpasswd_name_valid(user->name);
}

enum err htpasswd_parse(struct span text, struct arena *arena, struct htpasswd *out,
                        unsigned *line)
{
    *line = 0;
    if (text.len > HTPASSWD_FILE_MAX)
        return ERR_LIMIT;
    size_t count = count_users(text);
    if (count > HTPASSWD_USERS_MAX)
        return ERR_LIMIT;

    struct htpasswd made = { .users = arena_array(arena, struct htpasswd_user, count) };
    struct table names;
    if (made.users == NULL || table_init(&names, arena, count) != OK)
        return ERR_MEMORY;
    struct span raw;
    while (span_cut(&text, '\n', &raw)) {
        ++*line;
        struct span entry = content(raw);
        if (entry.len == 0)
            continue;
        struct htpasswd_user *user = &made.users[made.count++];
        user->line = *line;
        if (!parse_line(entry, user))
            return ERR_SYNTAX;
        TRY(table_put(&names, user->name, user));
    }
    *line = 0;
    *out = made;
    return OK;
}
