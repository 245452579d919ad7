/* SPDX-License-Identifier: MIT */
/* Whether memory is in reach, for tests of what is hidden. Include cmocka.h first. */
#ifndef RK_TEST_REACHABLE_H
#define RK_TEST_REACHABLE_H

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

/* Does a system call find the byte readable? */
static inline bool reachable(const void *byte)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    ssize_t written = write(fds[1], byte, 1);
    assert_true(written == 1 || errno == EFAULT);
    close(fds[0]);
    close(fds[1]);
    return written == 1;
}

#endif
