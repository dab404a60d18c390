/* Servers that were found: into slots, kept over reloads, and what a block may hold. */
#include "gateway/upstream/discovery.h"

#include "tests/unit/check.h"

static struct addr v4(unsigned last, uint16_t port)
{
    return (
        struct addr){ .bytes = { 10, 0, 0, (uint8_t)last }, .family = ADDR_V4, .port = port };
}

static struct found_list list_of(const unsigned *lasts, unsigned count)
{
    struct found_list list = { .count = 0 };

    for (unsigned i = 0; i < count; i++) {
        struct addr addr = v4(lasts[i], 80);
        assert_true(found_add(&list, &addr, 1, false));
    }
    return list;
}

static void assert_slots(const struct found *found, const unsigned *lasts, unsigned count)
{
    for (unsigned i = 0; i < FOUND_MAX; i++)
        assert_int_equal(found->slots[i].addr.bytes[3], i < count ? lasts[i] : 0);
}

static void who_stays_keeps_its_slot(void **state)
{
    struct found found = { 0 };
    struct found_list list = list_of((unsigned[]){ 1, 2, 3 }, 3);

    (void)state;
    assert_true(found_merge(&found, &list, 4));
    assert_slots(&found, (unsigned[]){ 1, 2, 3 }, 3);
    list = list_of((unsigned[]){ 3, 2, 1 }, 3);
    assert_false(found_merge(&found, &list, 4));
    /* A slot that was free before is taken first: the other one still has requests. */
    list = list_of((unsigned[]){ 4, 3, 1 }, 3);
    assert_true(found_merge(&found, &list, 4));
    assert_slots(&found, (unsigned[]){ 1, 0, 3, 4 }, 4);
    list = list_of((unsigned[]){ 5, 6, 7, 8, 9 }, 5);
    assert_true(found_merge(&found, &list, 4));
    assert_int_equal(found_count(&found), 4);
    assert_slots(&found, (unsigned[]){ 6, 5, 7, 8 }, 4);
    list.count = 0;
    assert_true(found_merge(&found, &list, 4));
    assert_int_equal(found_count(&found), 0);
    assert_false(found_merge(&found, &list, 4));
}

static void a_list_takes_what_a_server_can_have(void **state)
{
    static const struct addr bad[] = {
        { .family = ADDR_NONE, .port = 80 },
        { .family = ADDR_V4, .port = 80 }, /* 0.0.0.0 */
        { .bytes = { 0, 1 }, .family = ADDR_V4, .port = 80 },
        { .bytes = { 224, 0, 0, 1 }, .family = ADDR_V4, .port = 80 },
        { .bytes = { 255, 255, 255, 255 }, .family = ADDR_V4, .port = 80 },
        { .bytes = { 10, 0, 0, 1 }, .family = ADDR_V4 },         /* no port */
        { .family = ADDR_V6, .port = 80 },                       /* :: */
        { .bytes = { 0xff, 2 }, .family = ADDR_V6, .port = 80 }, /* multicast */
        { .family = ADDR_UNIX, .port = 80 },
    };
    struct found_list list = { .count = 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(found_add(&list, &bad[i], 1, false));
    assert_int_equal(list.count, 0);
    for (unsigned i = 0; i <= FOUND_MAX; i++) {
        struct addr addr = v4(i + 1, 80);
        assert_int_equal(found_add(&list, &addr, i * 100, false), i < FOUND_MAX);
    }
    struct addr again = v4(1, 80), other_port = v4(1, 81);
    assert_true(found_add(&list, &again, 1, false)); /* it is there */
    assert_false(found_add(&list, &other_port, 1, false));
    assert_int_equal(list.count, FOUND_MAX);
    assert_int_equal(list.items[0].weight, 1);
    assert_int_equal(list.items[10].weight, 1000);
    assert_int_equal(list.items[11].weight, FOUND_WEIGHT_MAX);
}

static void a_block_is_checked(void **state)
{
    static struct found_block block;
    struct span bytes = span_of((const char *)&block, sizeof block);

    (void)state;
    block = (struct found_block){ .magic = FOUND_MAGIC, .count = DISCOVERIES_MAX };
    assert_true(found_valid(bytes));
    assert_false(found_valid(span_sub(bytes, 0, bytes.len - 1)));
    assert_false(found_valid(SPAN("")));
    block.count++;
    assert_false(found_valid(bytes));
    block.count--;
    struct found_server *server = &block.items[DISCOVERIES_MAX - 1].slots[FOUND_MAX - 1];
    *server = (struct found_server){ .addr = v4(1, 80), .weight = 1 };
    assert_true(found_valid(bytes));
    server->weight = 0;
    assert_false(found_valid(bytes));
    server->weight = FOUND_WEIGHT_MAX + 1;
    assert_false(found_valid(bytes));
    server->weight = FOUND_WEIGHT_MAX;
    server->addr.port = 0;
    assert_false(found_valid(bytes));
    server->addr = (struct addr){ .family = 77, .port = 80 };
    assert_false(found_valid(bytes));
    block.magic++;
    assert_false(found_valid(bytes));
}

static void the_last_answer_is_remembered(void **state)
{
    static struct names_kept kept;
    struct discovery name = { .kind = DISCOVER_ADDRESSES, .port = 80, .name = "a.test" };
    struct found_list list = list_of((unsigned[]){ 1, 2 }, 2);
    struct found found = { 0 }, got;

    (void)state;
    assert_false(names_recall(&kept, &name, &got));
    (void)found_merge(&found, &list, 4);
    names_keep(&kept, &name, &found);
    assert_true(names_recall(&kept, &name, &got));
    assert_slots(&got, (unsigned[]){ 1, 2 }, 2);
    struct discovery other = name;
    other.port = 81;
    assert_false(names_recall(&kept, &other, &got));
    other = name;
    other.kind = DISCOVER_SERVICES;
    assert_false(names_recall(&kept, &other, &got));
    /* Half a write is not believed. */
    for (size_t i = 0; i < NAMES_KEPT_MAX; i++)
        kept.rows[i].turn |= 1;
    assert_false(names_recall(&kept, &name, &got));
    names_keep(&kept, &name, &found);
    assert_true(names_recall(&kept, &name, &got));
    /* When all rows are taken, the one that was used longest ago goes. */
    for (unsigned i = 0; i < NAMES_KEPT_MAX; i++) {
        struct discovery more = { .port = (uint16_t)(1000 + i), .name = "b.test" };
        names_keep(&kept, &more, &found);
        if (i == NAMES_KEPT_MAX / 2)
            names_keep(&kept, &name, &found);
    }
    assert_true(names_recall(&kept, &name, &got));
    other = (struct discovery){ .port = 1000, .name = "b.test" };
    assert_false(names_recall(&kept, &other, &got));
}

int main(void)
{
    return RUN(TEST(who_stays_keeps_its_slot), TEST(a_list_takes_what_a_server_can_have),
               TEST(a_block_is_checked), TEST(the_last_answer_is_remembered));
}
