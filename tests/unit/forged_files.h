/* SPDX-License-Identifier: MIT */
/* Files as the kernel has them below /sys and /proc, written into a folder of the test's. */
#ifndef RK_TEST_FORGED_FILES_H
#define RK_TEST_FORGED_FILES_H

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/** Write `text` to FOLDER/NAME, and make the folders on the way. */
static inline void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *cut = strchr(path + strlen(folder) + 1, '/'); cut != NULL; cut = strchr(cut + 1, '/')) {
        *cut = '\0';
        mkdir(path, 0700);
        *cut = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

#endif
