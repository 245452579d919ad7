/* SPDX-License-Identifier: MIT */
/* Which engine the event loop gets: by name, by environment, by what the machine allows. */
#include "reactor.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_engine_names_go_both_ways(void **state)
{
    (void)state;
    for (int i = RK_ENGINE_AUTO; i <= RK_ENGINE_CLASSIC; i++)
        assert_int_equal(rk_engine_parse(rk_engine_name((enum rk_engine)i)), i);
    assert_int_equal(rk_engine_parse("epoll"), -EINVAL);
}

static void test_environment_decides_for_auto_only(void **state)
{
    struct rk_reactor *reactor = NULL;
    char why[128] = "";
    (void)state;
    setenv("RASK_ENGINE", "classic", 1);
    assert_int_equal(rk_reactor_create(&reactor, RK_ENGINE_AUTO, why, sizeof(why)), 0);
    assert_int_equal(rk_reactor_engine(reactor), RK_ENGINE_CLASSIC);
    assert_non_null(strstr(why, "RASK_ENGINE"));
    rk_reactor_destroy(reactor);
    setenv("RASK_ENGINE", "turbo", 1);
    assert_int_equal(rk_reactor_create(&reactor, RK_ENGINE_AUTO, why, sizeof(why)), -EINVAL);
    assert_null(reactor);
    assert_int_equal(rk_reactor_create(&reactor, RK_ENGINE_CLASSIC, why, sizeof(why)), 0);
    rk_reactor_destroy(reactor);
    unsetenv("RASK_ENGINE");
}

static void test_probe_agrees_with_set_up(void **state)
{
    struct rk_uring_probe probe;
    struct rk_reactor *reactor = NULL;
    (void)state;
    rk_uring_probe(&probe);
    int result = rk_reactor_create(&reactor, RK_ENGINE_URING, NULL, 0);
    assert_int_equal(result == 0, probe.available == 0);
    rk_reactor_destroy(reactor);
    rk_reactor_destroy(NULL);
    rk_reactor_forget(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_names_go_both_ways),
        cmocka_unit_test(test_environment_decides_for_auto_only),
        cmocka_unit_test(test_probe_agrees_with_set_up),
    };
    unsetenv("RASK_ENGINE");
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
