/*
 * Collections between transactions: the table they are kept in, and what rules see of them.
 */
#include "rules/engine/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/reference/sample.h"
#include "tests/unit/rules/engine/kit.h"

enum { ENTRIES = 2 * STORE_WAYS, NOW = 1000000 };

static struct sec_store store;
static void *memory;

static unsigned evictions, losses;

static void open_store(void)
{
    static const uint8_t boot_key[32] = "a key that is the same each time";
    memory = aligned_alloc(64, sec_store_bytes(ENTRIES));
    assert_non_null(memory);
    memset(memory, 0, sec_store_bytes(ENTRIES));
    sec_store_over(&store, memory, ENTRIES, boot_key);
    evictions = losses = 0;
}

static void close_store(void)
{
    free(memory);
}

/* ---- the table ------------------------------------------------------------------------------
 */

struct written {
    const char *text;
    uint64_t expires;
    size_t len; /* 0: of the text */
};

static void write_text(void *ctx, struct store_record *record)
{
    const struct written *written = ctx;
    record->len = written->len != 0 ? written->len : strlen(written->text);
    if (written->len == 0)
        memcpy(record->bytes, written->text, record->len);
    else
        memset(record->bytes, 'x', record->len);
    record->expires = written->expires;
}

static void put(const char *name, const char *text, uint64_t now, uint64_t expires)
{
    bool evicted;
    struct written written = { .text = text, .expires = expires };
    struct store_key key = sec_store_key(&store, span_text(name));
    assert_int_equal(sec_store_change(&store, key, now, write_text, &written, &evicted), OK);
    evictions += evicted;
}

static const char *get(const char *name, uint64_t now)
{
    static struct store_record record;
    if (!sec_store_read(&store, sec_store_key(&store, span_text(name)), now, &record))
        return "(none)";
    assert_true(record.len < STORE_RECORD_BYTES);
    record.bytes[record.len] = '\0';
    return record.bytes;
}

static void keeps_and_forgets(void **state)
{
    (void)state;
    open_store();
    assert_string_equal(get("a", NOW), "(none)");
    put("a", "one", NOW, NOW + 10);
    put("b", "two", NOW, NOW + 20);
    assert_string_equal(get("a", NOW), "one");
    assert_string_equal(get("a", NOW + 9), "one");
    assert_string_equal(get("a", NOW + 10), "(none)");
    assert_string_equal(get("b", NOW + 10), "two");
    put("a", "three", NOW, NOW + 10);
    assert_string_equal(get("a", NOW), "three");
    assert_int_equal(evictions, 0);
    close_store();
}

static void takes_a_record_of_the_largest_size(void **state)
{
    struct written written = { .len = STORE_RECORD_BYTES, .expires = NOW + 1 };
    struct store_record record;
    (void)state;
    open_store();
    struct store_key key = sec_store_key(&store, SPAN("a"));
    assert_int_equal(sec_store_change(&store, key, NOW, write_text, &written, NULL), OK);
    assert_true(sec_store_read(&store, key, NOW, &record));
    assert_int_equal(record.len, STORE_RECORD_BYTES);
    assert_int_equal(record.bytes[STORE_RECORD_BYTES - 1], 'x');
    close_store();
}

static void a_full_table_gives_up_the_oldest(void **state)
{
    (void)state;
    open_store();
    /* All in one set: keys are tried until their place is. */
    char names[STORE_WAYS + 1][16];
    unsigned count = 0;
    for (unsigned i = 0; count <= STORE_WAYS; i++) {
        snprintf(names[count], sizeof(names[count]), "k%u", i);
        struct store_key key = sec_store_key(&store, span_text(names[count]));
        count += key.place % (ENTRIES / STORE_WAYS) == 0;
    }
    for (unsigned i = 0; i < STORE_WAYS; i++)
        put(names[i], "x", NOW + i, NOW + 1000);
    put(names[0], "changed", NOW + 100, NOW + 1000);
    assert_int_equal(evictions, 0);
    put(names[STORE_WAYS], "new", NOW + 101, NOW + 1000);
    assert_int_equal(evictions, 1);
    assert_string_equal(get(names[1], NOW + 101), "(none)");
    assert_string_equal(get(names[0], NOW + 101), "changed");
    assert_string_equal(get(names[STORE_WAYS], NOW + 101), "new");
    /* One that has expired makes room without being missed. */
    put(names[2], "short", NOW + 102, NOW + 103);
    put(names[1], "again", NOW + 103, NOW + 1000);
    assert_int_equal(evictions, 1);
    assert_string_equal(get(names[3], NOW + 103), "x");
    close_store();
}

static void what_does_not_verify_is_not_there(void **state)
{
    struct store_record record;
    (void)state;
    for (size_t at = 0; at < sec_store_bytes(ENTRIES); at += 8) {
        open_store();
        put("a", "one", NOW, NOW + 10);
        uint64_t before, forged = UINT64_MAX;
        memcpy(&before, (char *)memory + at, sizeof(before));
        memcpy((char *)memory + at, &forged, sizeof(forged));
        bool there = sec_store_read(&store, sec_store_key(&store, SPAN("a")), NOW, &record);
        assert_true(!there || (record.len == 3 && memcmp(record.bytes, "one", 3) == 0));
        put("a", "two", NOW, NOW + 10); /* a forged lock is taken over */
        close_store();
    }
}

static void a_lock_that_is_held_is_waited_for_in_vain_and_counted(void **state)
{
    struct written written = { .text = "x", .expires = NOW + 1 };
    (void)state;
    open_store();
    struct store_key key = sec_store_key(&store, SPAN("a"));
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t held = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
    size_t sets = ENTRIES / STORE_WAYS;
    size_t set = key.place % sets * (sec_store_bytes(ENTRIES) / sets);
    memcpy((char *)memory + set, &held, sizeof(held));
    assert_int_equal(sec_store_change(&store, key, NOW, write_text, &written, NULL), ERR_BUSY);
    held -= 1001; /* the holder is gone */
    memcpy((char *)memory + set, &held, sizeof(held));
    assert_int_equal(sec_store_change(&store, key, NOW, write_text, &written, NULL), OK);
    close_store();
}

/* ---- what rules see -------------------------------------------------------------------------
 */

static struct bench bench;

static const char *one(const char *values, uint64_t now)
{
    bench_begin(&bench, values);
    bench.run.store = &store;
    bench.run.wall_s = now;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    (void)sec_collections_keep(&bench.run);
    struct text text = text_growing(&bench.arena, 64);
    text_add(&text, bench_ids(&bench));
    return text_cstring(&text);
}

/* What stands in the collection that began with `key`: as a new transaction sees it. */
static const char *seen(const char *name, uint64_t now)
{
    bench_begin(&bench, "ARGS_GET:look=1");
    bench.run.store = &store;
    bench.run.wall_s = now;
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    struct span text = sec_collection_get(&bench.run, COLLECTION_IP, span_text(name));
    struct text out = text_growing(&bench.arena, 64);
    text_add(&out, text.p != NULL ? text : SPAN("(none)"));
    return text_cstring(&out);
}

#define BEGIN "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=k%{ARGS.key}\"\n"
#define ON(id, value) "SecRule ARGS:do \"@streq " value "\" \"id:" #id ",phase:1,pass,nolog,"

static void begin(const char *rules)
{
    open_store();
    bench_load(&bench, rules);
}

static void end(void)
{
    bench_unload(&bench);
    close_store();
}

static void counts_across_transactions(void **state)
{
    (void)state;
    begin(BEGIN ON(2, "add") "setvar:ip.n=+1\"\n"
                             "SecRule IP:n \"@ge 3\" \"id:3,phase:2,pass,log\"\n"
                             "SecRule IP:IS_NEW \"@eq 1\" \"id:4,phase:2,pass,log\"");
    assert_string_equal(one("ARGS_GET:do=nothing", NOW), "4");
    assert_string_equal(one("ARGS_GET:do=add", NOW), "4"); /* unchanged ones are not kept */
    assert_string_equal(one("ARGS_GET:do=add", NOW), "");
    assert_string_equal(one("ARGS_GET:do=add", NOW), "3");
    assert_string_equal(one("ARGS_GET:do=add\nARGS_GET:key=other", NOW), "4");
    assert_string_equal(seen("n", NOW), "3");
    end();
}

static void what_a_collection_knows_of_itself(void **state)
{
    (void)state;
    begin("SecCollectionTimeout 100\n" BEGIN ON(2, "add") "setvar:ip.n=+1\"");
    assert_string_equal(one("ARGS_GET:do=add", NOW), "");
    assert_string_equal(seen("key", NOW), "k");
    assert_string_equal(seen("timeout", NOW), "100");
    assert_string_equal(seen("create_time", NOW), "1000000");
    assert_string_equal(seen("update_counter", NOW), "1");
    assert_string_equal(seen("last_update_time", NOW), "1000000");
    assert_string_equal(seen("is_new", NOW), "(none)");
    assert_string_equal(one("ARGS_GET:do=add", NOW + 60), "");
    assert_string_equal(seen("update_counter", NOW + 60), "2");
    assert_string_equal(seen("update_rate", NOW + 60), "2");
    assert_string_equal(seen("last_update_time", NOW + 60), "1000060");
    assert_string_equal(seen("create_time", NOW + 60), "1000000");
    /* Each change begins its time anew. */
    assert_string_equal(seen("n", NOW + 159), "2");
    assert_string_equal(seen("n", NOW + 160), "(none)");
    assert_string_equal(seen("is_new", NOW + 160), "1");
    end();
}

static void variables_expire(void **state)
{
    (void)state;
    begin(BEGIN ON(2, "block") "setvar:ip.block=1,expirevar:ip.block=60\"\n" ON(
        3, "other") "setvar:ip.other=1\"\n"
                    "SecRule IP:block \"@eq 1\" \"id:4,phase:2,pass,log\"");
    assert_string_equal(one("ARGS_GET:do=block", NOW), "4");
    assert_string_equal(one("ARGS_GET:do=other", NOW + 59), "4");
    assert_string_equal(one("ARGS_GET:do=other", NOW + 60), "");
    assert_string_equal(seen("other", NOW + 60), "1");
    assert_string_equal(seen("__expire_block", NOW + 60), "(none)");
    end();
}

static void variables_go_down_with_time(void **state)
{
    (void)state;
    begin(BEGIN ON(2, "add") "setvar:ip.n=+50\"\n"
                             "SecAction \"id:3,phase:2,pass,nolog,deprecatevar:ip.n=10/60\"");
    (void)one("ARGS_GET:do=add", NOW);
    assert_string_equal(seen("n", NOW + 59), "50");
    assert_string_equal(seen("n", NOW + 60), "40");
    assert_string_equal(seen("n", NOW + 299), "10");
    assert_string_equal(seen("n", NOW + 3000), "0");
    end();
}

static void unset_and_replaced(void **state)
{
    (void)state;
    begin(BEGIN ON(2, "set") "setvar:ip.a=1,setvar:ip.b=x\"\n" ON(
        3, "unset") "setvar:!ip.a\"\n" ON(4, "reset") "setvar:ip.b=y\"");
    (void)one("ARGS_GET:do=set", NOW);
    (void)one("ARGS_GET:do=unset", NOW);
    assert_string_equal(seen("a", NOW), "(none)");
    assert_string_equal(seen("b", NOW), "x");
    (void)one("ARGS_GET:do=reset", NOW);
    assert_string_equal(seen("b", NOW), "y");
    end();
}

static void sessions_and_users_are_of_an_application(void **state)
{
    (void)state;
    begin("SecWebAppId shop\nSecAction \"id:1,phase:1,pass,nolog,setuid:%{ARGS.u},"
          "setsid:%{ARGS.s},initcol:global=g,setrsc:/r,setvar:user.n=+1,setvar:session.n=+1,"
          "setvar:global.n=+1,setvar:resource.n=+1\"\n"
          "SecRule USER:n \"@eq 2\" \"id:2,phase:2,pass,log\"\n"
          "SecRule SESSION:n \"@eq 2\" \"id:3,phase:2,pass,log\"\n"
          "SecRule GLOBAL:n \"@eq 2\" \"id:4,phase:2,pass,log\"\n"
          "SecRule RESOURCE:n \"@eq 2\" \"id:5,phase:2,pass,log\"\n"
          "SecRule USERID \"@streq ann\" \"id:6,phase:2,pass,log\"\n"
          "SecRule SESSIONID \"@streq s2\" \"id:7,phase:2,pass,log\"");
    assert_string_equal(one("ARGS_GET:u=ann\nARGS_GET:s=s1", NOW), "6");
    assert_string_equal(one("ARGS_GET:u=ann\nARGS_GET:s=s2", NOW), "2 4 5 6 7");
    end();
}

/* Two transactions that began before either ended: nothing that was counted is lost. */
static void counters_of_two_at_once_add_up(void **state)
{
    static struct bench other;
    static const char rules[] = BEGIN ON(2, "add") "setvar:ip.n=+1,setvar:ip.%{ARGS.name}=1\"";
    (void)state;
    begin(rules);
    bench_load(&other, rules);
    (void)one("ARGS_GET:do=add\nARGS_GET:name=x", NOW);
    struct bench *both[] = { &bench, &other };
    static const char *const values[] = { "ARGS_GET:do=add\nARGS_GET:name=y",
                                          "ARGS_GET:do=add\nARGS_GET:name=z" };
    for (unsigned i = 0; i < 2; i++) {
        bench_begin(both[i], values[i]);
        both[i]->run.store = &store;
        assert_int_equal(bench_run(both[i], UINT64_MAX), SEC_DONE);
    }
    assert_int_equal(sec_collections_keep(&bench.run).lost, 0);
    assert_int_equal(sec_collections_keep(&other.run).lost, 0);
    bench_unload(&other);
    assert_string_equal(seen("n", NOW), "3");
    assert_string_equal(seen("x", NOW), "1");
    assert_string_equal(seen("y", NOW), "1");
    assert_string_equal(seen("z", NOW), "1");
    assert_string_equal(seen("update_counter", NOW), "3");
    end();
}

static void what_has_no_room_is_counted_and_the_first_stay(void **state)
{
    (void)state;
    begin(BEGIN "SecAction \"id:2,phase:1,pass,nolog,setvar:ip.first=1\"\n"
                "SecRule ARGS \"@rx ^v\" "
                "\"id:3,phase:1,pass,nolog,setvar:ip.x_%{MATCHED_VAR_NAME}=%{MATCHED_VAR}\"");
    bench_begin(&bench, "");
    bench.run.store = &store;
    for (unsigned i = 0; i < STORE_VARIABLES_MAX; i++) {
        struct text key = text_growing(&bench.arena, 16);
        text_uint(&key, i);
        assert_int_equal(
            sec_values_add(&bench.run.values, VAR_ARGS_GET, text_span(&key), SPAN("v")), OK);
    }
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    losses += sec_collections_keep(&bench.run).lost;
    assert_int_equal(losses, 1);
    assert_string_equal(seen("first", NOW), "1");
    assert_string_equal(seen("x_args:0", NOW), "v");
    assert_string_equal(seen("x_args:63", NOW), "(none)");
    end();

    begin(BEGIN "SecAction \"id:2,phase:1,pass,nolog,setvar:ip.first=1\"\n"
                "SecRule ARGS:long \"@rx .\" \"id:3,phase:1,pass,nolog,"
                "setvar:ip.long=%{MATCHED_VAR}\"");
    char long_text[STORE_RECORD_BYTES + 1];
    memset(long_text, 'x', sizeof(long_text));
    bench_begin(&bench, "");
    bench.run.store = &store;
    assert_int_equal(sec_values_add(&bench.run.values, VAR_ARGS_GET, SPAN("long"),
                                    span_of(long_text, sizeof(long_text))),
                     OK);
    assert_int_equal(bench_run(&bench, UINT64_MAX), SEC_DONE);
    losses += sec_collections_keep(&bench.run).lost;
    assert_int_equal(losses, 1);
    assert_string_equal(seen("first", NOW), "1");
    assert_string_equal(seen("long", NOW), "(none)");
    end();
}

/* Lengths that mostly fit, so that some of it is read. */
static void write_bytes(void *ctx, struct store_record *record)
{
    struct dice *dice = ctx;
    static const char kept[] = "\x03\x01\x00KEYk";
    record->expires = NOW + 1;
    record->len = dice_below(dice, STORE_RECORD_BYTES + 1);
    for (size_t i = 0; i < record->len; i++)
        record->bytes[i] = (char)dice_below(dice, dice_chance(dice, 70) ? 4 : 256);
    if (record->len > sizeof(kept) && dice_chance(dice, 80))
        memcpy(record->bytes, kept, sizeof(kept) - 1);
}

/* Another worker may have been taken over: what it writes verifies. */
static void a_record_of_any_bytes_is_read_within_its_bounds(void **state)
{
    static const char name[] = "b\0k"; /* IP, and the key */
    struct dice dice = { .state = 5 };
    unsigned own = 0;
    (void)state;
    begin(
        BEGIN ON(2, "add") "setvar:ip.n=+1\"\nSecRule IP \"@rx .\" \"id:3,phase:2,pass,log\"\n"
                           "SecRule &IP:IS_NEW \"@eq 0\" \"id:4,phase:2,pass,log\"");
    for (unsigned i = 0; i < 2000; i++) {
        struct store_key key = sec_store_key(&store, span_of(name, sizeof(name) - 1));
        assert_int_equal(sec_store_change(&store, key, NOW, write_bytes, &dice, NULL), OK);
        own += strstr(one("ARGS_GET:do=add", NOW), "4") != NULL;
    }
    assert_true(own > 500);
    end();
}

/* ---- many at once ---------------------------------------------------------------------------
 */

enum { THREADS = 4, TURNS = 2000 };

static void count_up(void *ctx, struct store_record *record)
{
    uint64_t number = 0;
    (void)ctx;
    if (record->len == sizeof(number))
        memcpy(&number, record->bytes, sizeof(number));
    number++;
    memcpy(record->bytes, &number, sizeof(number));
    record->len = sizeof(number);
    record->expires = NOW + 1;
}

static void *turn(void *done)
{
    struct store_key key = sec_store_key(&store, SPAN("shared"));
    for (unsigned i = 0; i < TURNS; i++) {
        struct store_record record;
        *(uint64_t *)done += sec_store_change(&store, key, NOW, count_up, NULL, NULL) == OK;
        if (sec_store_read(&store, key, NOW, &record) && record.len != 8)
            abort();
    }
    return NULL;
}

static void many_at_once(void **state)
{
    pthread_t threads[THREADS];
    uint64_t done[THREADS] = { 0 }, sum = 0, number = 0;
    struct store_record record;
    (void)state;
    open_store();
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, turn, &done[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sum += done[i];
    }
    assert_true(sec_store_read(&store, sec_store_key(&store, SPAN("shared")), NOW, &record));
    memcpy(&number, record.bytes, sizeof(number));
    assert_int_equal(number, sum);
    assert_true(sum > THREADS * TURNS / 2);
    close_store();
}

int main(void)
{
    return RUN(TEST(keeps_and_forgets), TEST(takes_a_record_of_the_largest_size),
               TEST(a_full_table_gives_up_the_oldest), TEST(what_does_not_verify_is_not_there),
               TEST(a_lock_that_is_held_is_waited_for_in_vain_and_counted),
               TEST(counts_across_transactions), TEST(what_a_collection_knows_of_itself),
               TEST(variables_expire), TEST(variables_go_down_with_time),
               TEST(unset_and_replaced), TEST(sessions_and_users_are_of_an_application),
               TEST(counters_of_two_at_once_add_up),
               TEST(what_has_no_room_is_counted_and_the_first_stay),
               TEST(a_record_of_any_bytes_is_read_within_its_bounds), TEST(many_at_once));
}
