/* SPDX-License-Identifier: MIT */
/* The supervisor's table of deadly requests: counting, bounds, and time. The clock is the test's. */
#include "poison_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TTL 1000u

static struct rk_poison_table table;

static int set_up(void **state)
{
    (void)state;
    table = (struct rk_poison_table){.ttl_ns = TTL};
    return 0;
}

static uint32_t poisons_of(uid_t uid)
{
    static struct rk_message_poisons message;
    rk_poison_fill(&table, uid, &message);
    return message.count;
}

static void test_deaths_are_counted_by_user_and_fingerprint(void **state)
{
    (void)state;
    assert_int_equal(rk_poison_enter(&table, 1, 7, 0, 10), 1);
    assert_int_equal(rk_poison_enter(&table, 1, 8, 0, 10), 1);
    assert_int_equal(rk_poison_enter(&table, 2, 7, 0, 10), 1);
    assert_int_equal(rk_poison_enter(&table, 1, 7, 0, 10), 2);
    assert_int_equal(poisons_of(1), 2);
    assert_int_equal(poisons_of(2), 1);
    assert_int_equal(poisons_of(3), 0);
}

static void test_deaths_are_forgotten_after_the_time_to_live(void **state)
{
    (void)state;
    assert_int_equal(rk_poison_next_ns(&table), 0);
    rk_poison_enter(&table, 1, 7, 0, 10);
    rk_poison_enter(&table, 1, 8, 0, 500);
    assert_int_equal(rk_poison_next_ns(&table), 10 + TTL);
    rk_poison_enter(&table, 1, 7, 0, 600); /* the last death counts */
    assert_int_equal(rk_poison_next_ns(&table), 500 + TTL);
    assert_false(rk_poison_expire(&table, 500 + TTL - 1));
    assert_true(rk_poison_expire(&table, 500 + TTL));
    assert_int_equal(table.count, 1);
    assert_int_equal(table.entry[0].fingerprint, 7);
    table.ttl_ns = UINT64_MAX;
    assert_int_equal(rk_poison_next_ns(&table), UINT64_MAX - 1);
    table.ttl_ns = 0;
    assert_int_equal(rk_poison_enter(&table, 1, 9, 0, 600), 0);
}

static void test_one_user_cannot_push_out_another(void **state)
{
    (void)state;
    rk_poison_enter(&table, 1, 7, 0, 1);
    for (uint64_t i = 0; i < 10u * RASK_POISONS_PER_USER_MAX; i++)
        assert_true(rk_poison_enter(&table, 2, 100 + i, 0, 2 + i) > 0);
    assert_int_equal(poisons_of(1), 1);
    assert_int_equal(poisons_of(2), RASK_POISONS_PER_USER_MAX);
    for (uint64_t i = 0; i < RASK_POISONS_PER_USER_MAX; i++) /* the latest are kept */
        assert_int_equal(table.entry[1 + i].fingerprint, 100 + 9 * RASK_POISONS_PER_USER_MAX + i);
    for (uid_t uid = 3; uid < 10; uid++)
        for (uint64_t i = 0; i < RASK_POISONS_PER_USER_MAX; i++) rk_poison_enter(&table, uid, i + 1, 0, 9999);
    assert_int_equal(table.count, RASK_POISONS_MAX);
    assert_int_equal(poisons_of(1), 1);
    assert_int_equal(rk_poison_enter(&table, 20, 1, 0, 9999), 0);
    assert_int_equal(rk_poison_enter(&table, 1, 7, 0, 9999), 2);
}

static void test_clearing_takes_one_or_all(void **state)
{
    static struct rk_message_poison_list list;
    (void)state;
    for (uint64_t i = 1; i <= 5; i++) rk_poison_enter(&table, 1, i, (uint32_t)i, 100);
    rk_poison_enter(&table, 2, 3, 3, 100);
    assert_int_equal(rk_poison_clear(&table, 99), 0);
    assert_int_equal(rk_poison_clear(&table, 3), 2);
    rk_poison_list(&table, 400, &list);
    assert_int_equal(list.count, 4);
    assert_int_equal(list.row[2].fingerprint, 4);
    assert_int_equal(list.row[2].method, 4);
    assert_int_equal(list.row[2].left_ns, TTL - 300);
    assert_int_equal(rk_poison_clear(&table, 0), 4);
    assert_int_equal(table.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_deaths_are_counted_by_user_and_fingerprint, set_up),
        cmocka_unit_test_setup(test_deaths_are_forgotten_after_the_time_to_live, set_up),
        cmocka_unit_test_setup(test_one_user_cannot_push_out_another, set_up),
        cmocka_unit_test_setup(test_clearing_takes_one_or_all, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
