/*
 * Collections that outlive a transaction, between their records and a transaction's variables.
 *
 * Beside what rules set, a collection has KEY, TIMEOUT, CREATE_TIME, UPDATE_COUNTER,
 * LAST_UPDATE_TIME and, while they can be seen, IS_NEW and UPDATE_RATE; and __expire_NAME for
 * each variable that has an end of its own, that of KEY being the whole collection's. Variables
 * expire when a collection is begun, never in the middle of a transaction.
 *
 * Two transactions may have begun the same record. What they only counted up or down they add
 * to what stands there in the end; what they set stands as the last of them set it.
 */
#include "rules/engine/store.h"

#define EXPIRE SPAN("__expire_")

/* ---- records --------------------------------------------------------------------------------
 */

struct kept {
    struct span name, text;
};

struct kept_list {
    struct kept items[STORE_VARIABLES_MAX];
    unsigned count;
};

/* A byte of the name's length, two of the text's, both texts. */
static void read_record(const struct store_record *record, struct kept_list *list)
{
    struct span rest = span_of(record->bytes, record->len);
    list->count = 0;
    while (rest.len >= 3 && list->count < STORE_VARIABLES_MAX) {
        size_t name = (unsigned char)rest.p[0];
        size_t text = (unsigned char)rest.p[1] | (size_t)(unsigned char)rest.p[2] << 8;
        if (rest.len - 3 < name + text)
            return;
        list->items[list->count++] = (struct kept){ .name = span_sub(rest, 3, name),
                                                    .text = span_sub(rest, 3 + name, text) };
        rest = span_sub(rest, 3 + name + text, rest.len);
    }
}

/* False: there is no room for it. */
static bool write_one(struct store_record *record, unsigned *count, struct span name,
                      struct span text)
{
    size_t size = 3 + name.len + text.len;
    if (*count == STORE_VARIABLES_MAX || name.len > STORE_NAME_BYTES_MAX ||
        text.len > UINT16_MAX || size > STORE_RECORD_BYTES - record->len)
        return false;
    char *p = record->bytes + record->len;
    p[0] = (char)name.len;
    p[1] = (char)(text.len & 0xff);
    p[2] = (char)(text.len >> 8);
    if (name.len > 0)
        memcpy(p + 3, name.p, name.len);
    if (text.len > 0)
        memcpy(p + 3 + name.len, text.p, text.len);
    record->len += size;
    ++*count;
    return true;
}

static struct span kept_text(const struct kept_list *list, struct span name)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (span_equal_nocase(list->items[i].name, name))
            return list->items[i].text;
    }
    return (struct span){ 0 };
}

/* Seconds since 1970 do not end with 32 bits. */
static int64_t seconds_in(struct span text)
{
    uint64_t seconds;
    return span_uint(text, &seconds) && seconds <= INT64_MAX ? (int64_t)seconds
                                                             : sec_number(text);
}

/* ---- keys -----------------------------------------------------------------------------------
 */

/* Sessions and users are those of an application. */
static bool key_of(const struct sec_run *run, enum sec_collection collection,
                   struct store_key *key)
{
    struct span application = run->plan->program->settings.web_app_id;
    struct span text = run->collection_key[collection];
    bool of_application = collection == COLLECTION_SESSION || collection == COLLECTION_USER;
    struct text name = text_growing(run->arena, text.len + application.len + 8);
    text_char(&name, (char)('a' + (int)collection));
    if (of_application)
        text_add(&name, application);
    text_char(&name, '\0');
    text_add(&name, text);
    if (name.overflow)
        return false;
    *key = sec_store_key(run->store, text_span(&name));
    return true;
}

/* ---- beginning ------------------------------------------------------------------------------
 */

static bool set_number(struct sec_run *run, enum sec_collection collection, struct span name,
                       int64_t value)
{
    struct text text = text_growing(run->arena, 24);
    text_int(&text, value);
    return !text.overflow && sec_collection_set(run, collection, name, text_span(&text));
}

static int64_t number_in(const struct sec_run *run, enum sec_collection collection,
                         struct span name)
{
    return sec_number(sec_collection_get(run, collection, name));
}

/* Nothing is set in a collection before it is begun: none of these is there. */
static bool begin_new(struct sec_run *run, enum sec_collection collection)
{
    uint64_t said = run->plan->program->settings.collection_timeout;
    int64_t timeout = said > 0 && said < INT32_MAX ? (int64_t)said : STORE_TIMEOUT_S;
    int64_t now = (int64_t)run->wall_s;
    const struct {
        struct span name, shown, text;
    } rows[] = {
        { SPAN_INIT("__expire_key"), SPAN_INIT("__expire_KEY"),
          sec_number_text(run, now + timeout) },
        { SPAN_INIT("key"), SPAN_INIT("KEY"), run->collection_key[collection] },
        { SPAN_INIT("timeout"), SPAN_INIT("TIMEOUT"), sec_number_text(run, timeout) },
        { SPAN_INIT("create_time"), SPAN_INIT("CREATE_TIME"), sec_number_text(run, now) },
        { SPAN_INIT("update_counter"), SPAN_INIT("UPDATE_COUNTER"), SPAN("0") },
        { SPAN_INIT("is_new"), SPAN_INIT("IS_NEW"), SPAN("1") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sec_variable *variable =
            sec_variable_new(run, collection, rows[i].name, rows[i].shown);
        if (variable == NULL || rows[i].text.p == NULL)
            return false;
        variable->text = rows[i].text;
        variable->order = ++run->order;
    }
    return true;
}

static bool has_expired(const struct sec_run *run, const struct kept_list *list,
                        struct span name)
{
    char buffer[STORE_NAME_BYTES_MAX + sizeof("__expire_")];
    struct text text = text_fixed(buffer, sizeof(buffer));
    text_add(&text, EXPIRE);
    text_add(&text,
             span_starts_nocase(name, EXPIRE) ? span_sub(name, EXPIRE.len, name.len) : name);
    struct span end = kept_text(list, text_span(&text));
    return end.p != NULL && !text.overflow && seconds_in(end) <= (int64_t)run->wall_s;
}

/* Those that have an end behind them stay out. */
static bool take_variables(struct sec_run *run, enum sec_collection collection,
                           const struct kept_list *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        struct kept item = list->items[i];
        if (has_expired(run, list, item.name))
            continue;
        struct span name = arena_copy(run->arena, item.name);
        struct span text = arena_copy(run->arena, item.text);
        if (name.p == NULL || text.p == NULL ||
            !sec_collection_set(run, collection, name, text))
            return false;
    }
    return true;
}

static void note_loaded(struct sec_run *run, enum sec_collection collection)
{
    struct sec_variable *variable = run->variables[collection];
    for (; variable != NULL; variable = variable->next) {
        variable->change = VARIABLE_LOADED;
        variable->loaded = variable->text;
    }
    run->collection_changed[collection] = false;
}

static bool set_update_rate(struct sec_run *run, enum sec_collection collection)
{
    struct span created = sec_collection_get(run, collection, SPAN("create_time"));
    int64_t age = (int64_t)run->wall_s - seconds_in(created);
    int64_t updates = number_in(run, collection, SPAN("update_counter"));
    return set_number(run, collection, SPAN("UPDATE_RATE"), age <= 0 ? 0 : 60 * updates / age);
}

bool sec_collection_begin(struct sec_run *run, enum sec_collection collection)
{
    UNCLEARED struct store_record record;
    UNCLEARED struct kept_list list;
    struct store_key key;
    list.count = 0;
    if (run->store != NULL) {
        if (!key_of(run, collection, &key))
            return false;
        if (sec_store_read(run->store, key, run->wall_s, &record))
            read_record(&record, &list);
    }
    /* Two keys may have one mark: then the collection is the other key's. */
    bool own = list.count > 0 &&
               span_equal(kept_text(&list, SPAN("key")), run->collection_key[collection]);
    bool good = own ? take_variables(run, collection, &list) && set_update_rate(run, collection)
                    : begin_new(run, collection);
    note_loaded(run, collection);
    return good;
}

/* ---- keeping --------------------------------------------------------------------------------
 */

struct keeping {
    const struct sec_run *run;
    enum sec_collection collection;
    struct kept_list before;
    unsigned count;
    bool lost;
};

/* What is written in place of `variable`; p NULL: nothing. */
static struct span outcome(const struct keeping *k, const struct sec_variable *variable,
                           struct text *room)
{
    struct span now = kept_text(&k->before, variable->name);
    bool there = k->before.count > 0;
    switch (variable->change) {
    case VARIABLE_LOADED:
        return there ? now : variable->text;
    case VARIABLE_COUNTED:
        if (!there || variable->text.p == NULL)
            return variable->text;
        int64_t sum =
            sec_number(now) + sec_number(variable->text) - sec_number(variable->loaded);
        text_int(room, sum < 0 ? 0 : sum > INT32_MAX ? INT32_MAX : sum);
        return text_span(room);
    case VARIABLE_SET:
        return variable->text;
    }
    return (struct span){ 0 };
}

/* Those that change with each update, and those that are not kept. */
static bool is_own(struct span name)
{
    static const struct span names[] = {
        SPAN_INIT("is_new"),         SPAN_INIT("update_rate"),      SPAN_INIT("__expire_key"),
        SPAN_INIT("update_counter"), SPAN_INIT("last_update_time"),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (span_equal_nocase(names[i], name))
            return true;
    }
    return false;
}

static void write_number(struct keeping *k, struct store_record *record, struct span name,
                         int64_t value)
{
    char buffer[24];
    struct text text = text_fixed(buffer, sizeof(buffer));
    text_int(&text, value);
    k->lost = !write_one(record, &k->count, name, text_span(&text)) || k->lost;
}

/* Oldest first: a client that makes rules create variables crowds out none but its newest. */
static void write_variables(struct keeping *k, struct store_record *record,
                            const struct sec_variable *variable)
{
    const struct sec_variable *ordered[STORE_VARIABLES_MAX];
    unsigned count = 0, all = 0;
    for (; variable != NULL; variable = variable->next)
        all++;
    unsigned skipped = all > STORE_VARIABLES_MAX ? all - STORE_VARIABLES_MAX : 0;
    variable = k->run->variables[k->collection];
    for (unsigned i = 0; i < all; i++, variable = variable->next) {
        if (i >= skipped)
            ordered[count++] = variable;
    }
    k->lost = k->lost || skipped > 0;
    for (unsigned i = count; i > 0; i--) {
        char buffer[24];
        struct text room = text_fixed(buffer, sizeof(buffer));
        struct span text = outcome(k, ordered[i - 1], &room);
        if (text.p != NULL && !is_own(ordered[i - 1]->name))
            k->lost = !write_one(record, &k->count, ordered[i - 1]->shown, text) || k->lost;
    }
}

/* What another transaction has made meanwhile, and this one never saw. */
static void write_others(struct keeping *k, struct store_record *record)
{
    for (unsigned i = 0; i < k->before.count; i++) {
        struct kept item = k->before.items[i];
        const struct sec_variable *variable = k->run->variables[k->collection];
        while (variable != NULL && !span_equal_nocase(variable->name, item.name))
            variable = variable->next;
        if (variable == NULL && !is_own(item.name) &&
            !has_expired(k->run, &k->before, item.name))
            k->lost = !write_one(record, &k->count, item.name, item.text) || k->lost;
    }
}

static void rewrite(void *ctx, struct store_record *record)
{
    struct keeping *k = ctx;
    const struct sec_run *run = k->run;
    struct store_record before = *record;
    read_record(&before, &k->before);
    int64_t now = (int64_t)run->wall_s;
    int64_t timeout = number_in(run, k->collection, SPAN("timeout"));
    int64_t updates = sec_number(kept_text(&k->before, SPAN("update_counter"))) + 1;
    timeout = timeout > 0 ? timeout : STORE_TIMEOUT_S;
    record->len = 0;
    record->expires = (uint64_t)(now + timeout);
    write_number(k, record, SPAN("__expire_KEY"), now + timeout);
    write_number(k, record, SPAN("LAST_UPDATE_TIME"), now);
    write_number(k, record, SPAN("UPDATE_COUNTER"), updates);
    write_variables(k, record, run->variables[k->collection]);
    write_others(k, record);
}

static void keep_one(const struct sec_run *run, enum sec_collection collection,
                     struct sec_kept *kept)
{
    struct keeping keeping = { .run = run, .collection = collection };
    struct store_key key;
    bool evicted = false;
    bool good =
        key_of(run, collection, &key) &&
        sec_store_change(run->store, key, run->wall_s, rewrite, &keeping, &evicted) == OK;
    kept->evicted += evicted;
    kept->lost += !good || keeping.lost;
}

struct sec_kept sec_collections_keep(const struct sec_run *run)
{
    struct sec_kept kept = { 0, 0 };
    for (unsigned i = 0; run->store != NULL && i < COLLECTION_COUNT; i++) {
        if (run->collection_changed[i] && run->collection_key[i].p != NULL)
            keep_one(run, (enum sec_collection)i, &kept);
    }
    return kept;
}
