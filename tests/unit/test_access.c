/* SPDX-License-Identifier: MIT */
/* Who may connect, and how users and groups are named. */
#include "access.h"
#include <errno.h>
#include <rask/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void test_own_user_and_root_always_may(void **state)
{
    (void)state;
    const struct rk_access nobody_else = {0};
    const gid_t group = 5;
    assert_true(rk_access_allows(&nobody_else, 1000, 1000, &group, 1));
    assert_true(rk_access_allows(&nobody_else, 1000, 0, &group, 1));
    assert_false(rk_access_allows(&nobody_else, 1000, 1001, &group, 1));
    assert_false(rk_access_allows(&nobody_else, 0, 1000, &group, 1));
    assert_false(rk_access_for_others(&nobody_else));
}

static void test_named_users_and_groups_may(void **state)
{
    (void)state;
    struct rk_access access = {0};
    const gid_t groups[] = {1, 77, 2}, root_group = 0;
    assert_int_equal(rk_access_add_uid(&access, "1001"), 0);
    assert_int_equal(rk_access_add_gid(&access, "77"), 0);
    assert_true(rk_access_for_others(&access));
    assert_true(rk_access_allows(&access, 0, 1001, &root_group, 1));
    assert_true(rk_access_allows(&access, 0, 5, groups, 3));
    assert_false(rk_access_allows(&access, 0, 5, groups, 1));
    assert_false(rk_access_allows(&access, 0, 77, &root_group, 1)); /* a group's number is no user's */
    assert_false(rk_access_allows(&access, 0, 5, NULL, 0));
}

static void test_names_are_looked_up(void **state)
{
    (void)state;
    struct rk_access access = {0};
    assert_int_equal(rk_access_add_uid(&access, "root"), 0);
    assert_int_equal(access.uids[0], 0);
    assert_int_equal(rk_access_add_uid(&access, "no-such-user"), -ENOENT);
    assert_non_null(strstr(rask_last_error(), "no-such-user"));
    assert_int_equal(rk_access_add_gid(&access, "no-such-group"), -ENOENT);
    assert_int_equal(rk_access_add_uid(&access, "4294967295"), -ENOENT); /* the number that means nobody */
    assert_int_equal(access.uid_count, 1);
    while (access.uid_count < RK_ACCESS_MAX) assert_int_equal(rk_access_add_uid(&access, "9"), 0);
    assert_int_equal(rk_access_add_uid(&access, "9"), -E2BIG);
}

static void test_peer_of_a_socket_is_recognised(void **state)
{
    (void)state;
    const struct rk_access nobody_else = {0};
    int pair[2], no_socket[2];
    uid_t uid = 12345;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(rk_access_check(&nobody_else, pair[0], &uid), 0);
    assert_int_equal(uid, geteuid());
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(pipe(no_socket), 0);
    assert_int_equal(rk_access_check(&nobody_else, no_socket[0], &uid), -EACCES);
    close(no_socket[0]);
    close(no_socket[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_user_and_root_always_may),
        cmocka_unit_test(test_named_users_and_groups_may),
        cmocka_unit_test(test_names_are_looked_up),
        cmocka_unit_test(test_peer_of_a_socket_is_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
