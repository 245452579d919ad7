/* SPDX-License-Identifier: MIT */
/* rask crashes: one line for each crash file, oldest first. */
#include "commands.h"
#include "crash.h"
#include "crash_file.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char about[] =
    "Lists the crashes that supervisors have saved: time, plugin, method, signal, bytes of the request, file. The\n"
    "newest is the last. `rask replay FILE` runs one again.\n";
static const char more[] = "exit codes:\n"
                           "    0  listed, also when there are none\n"
                           "   64  bad usage\n"
                           "   74  the directory cannot be read\n";

static int print_one(int dir_fd, const char *name, uint64_t bytes, void *user)
{
    const char *dir = user;
    char path[PATH_MAX];
    struct rk_crash_file file;
    (void)dir_fd;
    (void)bytes;
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path)) return 0;
    if (rk_crash_file_open(&file, path) < 0) {
        rk_complain("%s", rk_errno_text(-EINVAL));
        return 0;
    }
    char death[sizeof(file.signal)] = "exit";
    sscanf(file.signal, "%*s %95s", death);
    printf("%-27s  %-12s  %-16s  %-8s  %9llu  %s\n", file.time, file.plugin, file.method[0] ? file.method : "-", death,
           (unsigned long long)file.request_bytes, path);
    rk_crash_file_close(&file);
    return 0;
}

int cmd_crashes(int argc, char **argv)
{
    const char *typed = NULL;
    char dir[PATH_MAX];
    const struct rk_option options[] = {
        {.name = "dir", .value = "DIR", .help = "look there (default: where rask run saves them)", .text = &typed},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "crashes", .about = about, .more = more, .options = options};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code != RK_GO_ON) return code;
    if (typed)
        rk_crash_dir_absolute(typed, dir, sizeof(dir));
    else
        rk_crash_dir_default(dir, sizeof(dir));
    int fd = rk_crash_dir_open(dir, false);
    if (fd == -ENOENT && !typed) return RK_EXIT_OK; /* nothing crashed yet */
    if (fd < 0) {
        rk_complain("%s", rk_errno_text(fd));
        return RK_EXIT_IO;
    }
    rk_crash_dir_list(fd, print_one, dir);
    close(fd);
    return RK_EXIT_OK;
}
