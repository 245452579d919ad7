/* SPDX-License-Identifier: MIT */
/* Statuses and errors in words. */
#include "status.h"
#include <ctype.h>
#include <errno.h>
#include <rask/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNEXPECTED "unexpected system error: see errno(3) for the number"

/* As include/rask/status.h documents them. */
static const struct {
    uint32_t status;
    const char *name;
    uint32_t executed;
} documented[] = {
    {RASK_OK, "OK", RASK_EXECUTED_YES},
    {RASK_HANDLER_ERROR, "HANDLER_ERROR", RASK_EXECUTED_YES},
    {RASK_REPLY_TOO_LARGE, "REPLY_TOO_LARGE", RASK_EXECUTED_YES},
    {RASK_CRASHED, "CRASHED", RASK_EXECUTED_MAYBE},
    {RASK_TIMEOUT, "TIMEOUT", RASK_EXECUTED_MAYBE},
    {RASK_ABORTED, "ABORTED", RASK_EXECUTED_MAYBE},
    {RASK_EXPIRED, "EXPIRED", RASK_EXECUTED_NO},
    {RASK_CANCELLED, "CANCELLED", RASK_EXECUTED_NO},
    {RASK_OVERLOADED, "OVERLOADED", RASK_EXECUTED_NO},
    {RASK_NO_METHOD, "NO_METHOD", RASK_EXECUTED_NO},
    {RASK_TOO_LARGE, "TOO_LARGE", RASK_EXECUTED_NO},
    {RASK_POISONED, "POISONED", RASK_EXECUTED_NO},
    {RASK_UNAVAILABLE, "UNAVAILABLE", RASK_EXECUTED_NO},
    {RASK_SHUTDOWN, "SHUTDOWN", RASK_EXECUTED_NO},
};

static void test_every_status_has_name_text_errno_and_executed(void **state)
{
    (void)state;
    assert_int_equal(sizeof documented / sizeof documented[0], RASK_STATUS_COUNT);
    for (uint32_t i = 0; i < RASK_STATUS_COUNT; i++) {
        assert_int_equal(documented[i].status, i);
        assert_string_equal(rask_status_name(i), documented[i].name);
        assert_true(strlen(rask_status_text(i)) > 10);
        assert_int_equal(rk_status_executed(i), documented[i].executed);
        if (i == RASK_OK)
            assert_int_equal(rask_status_errno(i), 0);
        else
            assert_true(rask_status_errno(i) > 0);
        for (uint32_t other = 0; other < i; other++) {
            assert_int_not_equal(rask_status_errno(i), rask_status_errno(other));
            assert_string_not_equal(rask_status_text(i), rask_status_text(other));
        }
    }
}

static void test_numbers_outside_have_words_too(void **state)
{
    (void)state;
    static const uint32_t outside[] = {RASK_STATUS_COUNT, 255, 65535, UINT32_MAX};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        assert_string_equal(rask_status_name(outside[i]), "UNKNOWN");
        assert_true(strlen(rask_status_text(outside[i])) > 10);
        assert_true(rask_status_errno(outside[i]) > 0);
        assert_int_equal(rk_status_executed(outside[i]), RASK_EXECUTED_MAYBE);
        assert_string_equal(rask_executed_name(outside[i]), "maybe");
    }
    assert_string_equal(rask_executed_name(RASK_EXECUTED_NO), "no");
    assert_string_equal(rask_executed_name(RASK_EXECUTED_YES), "yes");
    assert_string_equal(rask_executed_name(RASK_EXECUTED_MAYBE), "maybe");
}

static void test_every_documented_error_is_explained(void **state)
{
    (void)state;
    /* Every errno that include/rask/client.h names. */
    static const int errors[] = {EACCES,    EAGAIN,          EALREADY,    EBUSY,      ECONNREFUSED, EINVAL,
                                 EMFILE,    EMSGSIZE,        ENODATA,     ENOENT,     ENOEXEC,      ENOMEM,
                                 ENOTCONN,  ENOTSUP,         EOVERFLOW,   EOWNERDEAD, EPROTO,       ESHUTDOWN,
                                 ETIMEDOUT, EPROTONOSUPPORT, ENAMETOOLONG};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (strcmp(rask_strerror(-errors[i]), UNEXPECTED) == 0) fail_msg("-%d is not explained", errors[i]);
        assert_string_equal(rask_strerror(-errors[i]), rask_strerror(errors[i]));
    }
    for (uint32_t status = 1; status < RASK_STATUS_COUNT; status++)
        if (strcmp(rask_strerror(-rask_status_errno(status)), UNEXPECTED) == 0)
            fail_msg("the errno of %s is not explained", rask_status_name(status));
}

static void test_strerror_always_has_an_answer(void **state)
{
    (void)state;
    assert_string_equal(rask_strerror(0), "success");
    assert_string_equal(rask_strerror(-EXDEV), UNEXPECTED);
    assert_non_null(rask_strerror(1 << 30));
    assert_non_null(rask_strerror(-(1 << 30)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_name_text_errno_and_executed),
        cmocka_unit_test(test_numbers_outside_have_words_too),
        cmocka_unit_test(test_every_documented_error_is_explained),
        cmocka_unit_test(test_strerror_always_has_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
