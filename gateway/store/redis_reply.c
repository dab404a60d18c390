/*
 * hiredis' reader over a fixed pool of values: no reply costs an allocation per item. Lists of
 * whole numbers, which is what limits are answered with, are read where they came as long as
 * they came whole: that takes a tenth of the time. All else is hiredis', and so are numbers
 * that are not written as servers write them.
 */
#include "gateway/store/redis_reply.h"

#include <hiredis/read.h>
#include <stdlib.h>

enum { DIGITS_MAX = 18, COUNT_DIGITS_MAX = 5 };

struct redis_parser {
    redisReader *reader;
    struct span direct; /* fed, and not looked at yet; else it is all with the reader */
    struct redis_value root;
    unsigned used;
    size_t text_used;
    struct redis_value values[REDIS_VALUES_MAX];
    char text[REDIS_TEXT_MAX];
};

/* ---- what hiredis calls ---- */

static struct redis_parser *parser_of(const redisReadTask *task)
{
    return task->privdata;
}

/* Where the value of this task goes: into its parent's items, or the root. */
static struct redis_value *place_of(const redisReadTask *task)
{
    if (task->parent == NULL)
        return &parser_of(task)->root;
    struct redis_value *parent = task->parent->obj;
    if (parent == NULL || task->idx < 0 || (unsigned)task->idx >= parent->count)
        return NULL;
    return &parent->items[task->idx];
}

static void *make_text(const redisReadTask *task, char *bytes, size_t len)
{
    struct redis_parser *parser = parser_of(task);
    struct redis_value *value = place_of(task);
    if (value == NULL || len > sizeof(parser->text) - parser->text_used)
        return NULL;
    char *copy = parser->text + parser->text_used;
    if (len > 0)
        memcpy(copy, bytes, len);
    parser->text_used += len;
    enum redis_type type = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                           : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                              : REDIS_TEXT;
    *value = (struct redis_value){ .type = type, .text = span_of(copy, len) };
    return value;
}

static void *make_array(const redisReadTask *task, int count)
{
    struct redis_parser *parser = parser_of(task);
    struct redis_value *value = place_of(task);
    if (value == NULL || count < 0 || (unsigned)count > REDIS_VALUES_MAX - parser->used)
        return NULL;
    *value = (struct redis_value){ .type = REDIS_ARRAY,
                                   .items = parser->values + parser->used,
                                   .count = (unsigned)count };
    if (count > 0)
        memset(value->items, 0, (size_t)count * sizeof(*value->items));
    parser->used += (unsigned)count;
    return value;
}

static void *make_integer(const redisReadTask *task, long long integer)
{
    struct redis_value *value = place_of(task);
    if (value != NULL)
        *value = (struct redis_value){ .type = REDIS_INTEGER, .integer = integer };
    return value;
}

static void *make_nil(const redisReadTask *task)
{
    struct redis_value *value = place_of(task);
    if (value != NULL)
        *value = (struct redis_value){ .type = REDIS_NIL };
    return value;
}

static void free_value(void *value)
{
    (void)value;
}

static redisReplyObjectFunctions functions = {
    .createString = make_text,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_value,
};

/* ---- the parser ---- */

struct redis_parser *redis_parser_new(void)
{
    struct redis_parser *parser = malloc(sizeof(*parser));
    if (parser == NULL)
        return NULL;
    parser->reader = redisReaderCreateWithFunctions(&functions);
    if (parser->reader == NULL) {
        free(parser);
        return NULL;
    }
    parser->direct = SPAN("");
    parser->used = 0;
    parser->text_used = 0;
    parser->reader->privdata = parser;
    return parser;
}

void redis_parser_free(struct redis_parser *parser)
{
    if (parser == NULL)
        return;
    redisReaderFree(parser->reader);
    free(parser);
}

/* ---- lists of numbers ---- */

/* What stands in front of CR LF: so many digits, and no 0 before others. NULL: it is not. */
static const char *read_digits(const char *p, const char *end, unsigned most, uint64_t *number)
{
    const char *from = p;
    uint64_t sum = 0;
    while (p < end && *p >= '0' && *p <= '9' && p < from + most)
        sum = sum * 10 + (uint64_t)(*p++ - '0');
    if (p == from || (*from == '0' && p > from + 1) || end - p < 2 || p[0] != '\r' ||
        p[1] != '\n')
        return NULL;
    *number = sum;
    return p + 2;
}

/* False: not that, or not whole; nothing was taken. */
static bool read_numbers(struct redis_parser *parser)
{
    const char *p = parser->direct.p, *end = p + parser->direct.len;
    uint64_t count, number;
    if (*p != '*' || (p = read_digits(p + 1, end, COUNT_DIGITS_MAX, &count)) == NULL ||
        count > REDIS_VALUES_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (p == end || *p != ':' || (p = read_digits(p + 1, end, DIGITS_MAX, &number)) == NULL)
            return false;
        parser->values[i] =
            (struct redis_value){ .type = REDIS_INTEGER, .integer = (int64_t)number };
    }
    parser->root = (struct redis_value){ .type = REDIS_ARRAY,
                                         .items = parser->values,
                                         .count = (unsigned)count };
    parser->direct = span_range(p, end);
    return true;
}

/* ---- replies ---- */

static enum err feed_reader(struct redis_parser *parser, struct span bytes)
{
    size_t unread = parser->reader->len - parser->reader->pos;
    if (unread > REDIS_UNREAD_MAX || bytes.len > REDIS_UNREAD_MAX - unread)
        return ERR_LIMIT;
    if (bytes.len == 0)
        return OK;
    return redisReaderFeed(parser->reader, bytes.p, bytes.len) == REDIS_OK ? OK : ERR_PROTOCOL;
}

enum err redis_parser_feed(struct redis_parser *parser, struct span bytes)
{
    const redisReader *reader = parser->reader;
    INVARIANT(parser->direct.len == 0);
    if (reader->ridx != -1 || reader->len != reader->pos || bytes.len > REDIS_UNREAD_MAX)
        return feed_reader(parser, bytes);
    parser->direct = bytes;
    return OK;
}

enum err redis_parser_next(struct redis_parser *parser, const struct redis_value **value)
{
    void *got = NULL;
    *value = NULL;
    if (parser->direct.len > 0) {
        if (read_numbers(parser)) {
            *value = &parser->root;
            return OK;
        }
        struct span rest = parser->direct;
        parser->direct = SPAN("");
        TRY(feed_reader(parser, rest));
    }
    /* Between two replies the pool is free; within one, its first part stands in it. */
    if (parser->reader->ridx == -1) {
        parser->used = 0;
        parser->text_used = 0;
    }
    if (redisReaderGetReply(parser->reader, &got) != REDIS_OK)
        return ERR_PROTOCOL;
    *value = got;
    return OK;
}

bool redis_uint(const struct redis_value *array, unsigned i, uint64_t max, uint64_t *out)
{
    if (array->type != REDIS_ARRAY || i >= array->count)
        return false;
    const struct redis_value *item = &array->items[i];
    if (item->type != REDIS_INTEGER || item->integer < 0 || (uint64_t)item->integer > max)
        return false;
    *out = (uint64_t)item->integer;
    return true;
}

bool redis_is_error(const struct redis_value *value, struct span word)
{
    return value->type == REDIS_ERROR && span_starts(value->text, word) &&
           (value->text.len == word.len || value->text.p[word.len] == ' ');
}
