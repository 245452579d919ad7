/* SPDX-License-Identifier: MIT */
/* Hiding and showing parts of a segment on a machine whose pages are larger than the unit in which segments are laid out, as
 * aarch64 may have them: no call may ask for less than a page. The linker puts two functions in front of the C library's. */
#include "segment.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "reachable.h"

#define LARGE (4u * RK_PAGE_BYTES)
#define BYTES (4u * LARGE)

long __real_sysconf(int name);
long __wrap_sysconf(int name);
int __real_mprotect(void *address, size_t bytes, int access);
int __wrap_mprotect(void *address, size_t bytes, int access);

static const uint8_t *segment_base; /* NULL: the machine is as it is */

/* A sanitizer calls these two as well, before it is ready to watch anything. */
#if defined(__clang__)
#define UNWATCHED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNWATCHED __attribute__((no_sanitize("thread", "address", "undefined")))
#endif

UNWATCHED long __wrap_sysconf(int name)
{
    return name == _SC_PAGESIZE && segment_base != NULL ? (long)LARGE : __real_sysconf(name);
}

/* As the kernel does it there: whole pages. */
UNWATCHED int __wrap_mprotect(void *address, size_t bytes, int access)
{
    if (segment_base == NULL) return __real_mprotect(address, bytes, access);
    if ((size_t)((uint8_t *)address - segment_base) % LARGE == 0)
        return __real_mprotect(address, (bytes + LARGE - 1) / LARGE * LARGE, access);
    errno = EINVAL;
    return -1;
}

static void test_pages_that_are_needed_stay_and_others_are_hidden(void **state)
{
    struct rk_segment segment;
    (void)state;
    assert_int_equal(rk_segment_create(&segment, RK_SEGMENT_BELL, BYTES), 0);
    const uint8_t *base = segment_base = segment.base;
    assert_int_equal(rk_segment_hide(&segment, RK_PAGE_BYTES), 0);
    for (unsigned page = 0; page < BYTES / LARGE; page++) assert_int_equal(reachable(base + page * LARGE), page == 0);
    assert_int_equal(rk_segment_show(&segment, 2 * LARGE + RK_PAGE_BYTES, 2 * RK_PAGE_BYTES), 0);
    for (unsigned page = 0; page < BYTES / LARGE; page++)
        assert_int_equal(reachable(base + page * LARGE + RK_PAGE_BYTES), page == 0 || page == 2);
    assert_int_equal(rk_segment_show(&segment, RK_PAGE_BYTES, RK_PAGE_BYTES), 0); /* was never hidden */
    rk_segment_finish(&segment);
}

static void test_nothing_to_hide_within_one_page(void **state)
{
    struct rk_segment segment;
    (void)state;
    assert_int_equal(rk_segment_create(&segment, RK_SEGMENT_BELL, 3 * RK_PAGE_BYTES), 0);
    segment_base = segment.base;
    assert_int_equal(rk_segment_hide(&segment, RK_PAGE_BYTES), 0);
    assert_true(reachable(segment_base + 2 * RK_PAGE_BYTES));
    rk_segment_finish(&segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_that_are_needed_stay_and_others_are_hidden),
        cmocka_unit_test(test_nothing_to_hide_within_one_page),
    };
    alarm(25);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
