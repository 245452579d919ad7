/* SPDX-License-Identifier: MIT */
/* How many descriptors this process has open, for tests of what must not leak. Include cmocka.h first. */
#ifndef RK_TEST_OPEN_FDS_H
#define RK_TEST_OPEN_FDS_H

#include <dirent.h>

static inline unsigned open_fds(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

#endif
