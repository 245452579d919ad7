/* SPDX-License-Identifier: MIT */
/* The directory of crash files: private (0700), ours, and bounded in files and bytes. A file is written under a name that
 * nobody looks at and renamed when it is complete; the oldest make room before. Names sort by time. */
#include "crash.h"
#include "error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <rask/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ENDING ".crash"
#define UNFINISHED ".unfinished-"
/* A writer lives at most 10 s; what is older was left behind. */
#define UNFINISHED_SECONDS_MAX 60

void rk_crash_dir_absolute(const char *typed, char *dir, size_t bytes)
{
    char here[PATH_MAX];
    if (typed[0] == '/' || strcmp(typed, "none") == 0 || !getcwd(here, sizeof(here)))
        snprintf(dir, bytes, "%s", typed);
    else
        snprintf(dir, bytes, "%s/%s", here, typed);
}

void rk_crash_dir_default(char *dir, size_t bytes)
{
    const char *said = getenv("RASK_CRASH_DIR"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (said && said[0] != '\0')
        rk_crash_dir_absolute(said, dir, bytes);
    else if (geteuid() == 0)
        snprintf(dir, bytes, "/var/lib/rask/crashes");
    else if (state && state[0] == '/')
        snprintf(dir, bytes, "%s/rask/crashes", state);
    else if (home && home[0] == '/')
        snprintf(dir, bytes, "%s/.local/state/rask/crashes", home);
    else
        snprintf(dir, bytes, "/tmp/rask-%u/crashes", (unsigned)geteuid());
}

/* Every missing folder on the way; what is there already stays as it is. */
static void make_folders(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", dir);
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    mkdir(path, 0700);
}

int rk_crash_dir_open(const char *dir, bool make)
{
    struct stat facts;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make) {
        make_folders(dir);
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0) return rk_error(-errno, "%s: %s", dir, strerror(errno));
    if (fstat(fd, &facts) < 0 || facts.st_uid != geteuid() || (facts.st_mode & (S_IWGRP | S_IWOTH))) {
        close(fd);
        return rk_error(-EPERM, "%s must belong to you (user %u) and be writable by nobody else", dir,
                        (unsigned)geteuid());
    }
    return fd;
}

static bool is_crash(const char *name)
{
    size_t length = strlen(name);
    return name[0] != '.' && length > strlen(ENDING) && strcmp(name + length - strlen(ENDING), ENDING) == 0;
}

static int pick(const struct dirent *entry)
{
    return is_crash(entry->d_name) || strncmp(entry->d_name, UNFINISHED, strlen(UNFINISHED)) == 0;
}

static void sweep_unfinished(int dir_fd, const char *name, const struct stat *facts)
{
    if (time(NULL) - facts->st_mtime > UNFINISHED_SECONDS_MAX) unlinkat(dir_fd, name, 0);
}

int rk_crash_dir_list(int dir_fd, int (*each)(int dir_fd, const char *name, uint64_t bytes, void *user), void *user)
{
    struct dirent **entries = NULL;
    int count = scandirat(dir_fd, ".", &entries, pick, alphasort), result = 0;
    for (int i = 0; i < count; i++) {
        struct stat facts;
        const char *name = entries[i]->d_name;
        bool there = fstatat(dir_fd, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(facts.st_mode);
        if (there && !is_crash(name)) sweep_unfinished(dir_fd, name, &facts);
        if (there && is_crash(name) && result == 0) result = each(dir_fd, name, (uint64_t)facts.st_size, user);
        free(entries[i]);
    }
    free(entries);
    return count < 0 ? -errno : result;
}

struct room {
    uint64_t files, bytes;                 /* that are there */
    uint64_t files_allowed, bytes_allowed; /* beside the new one */
};

static int count_file(int dir_fd, const char *name, uint64_t bytes, void *user)
{
    struct room *room = user;
    (void)dir_fd;
    (void)name;
    room->files++;
    room->bytes += bytes;
    return 0;
}

static int remove_file(int dir_fd, const char *name, uint64_t bytes, void *user)
{
    struct room *room = user;
    if (room->files <= room->files_allowed && room->bytes <= room->bytes_allowed) return 1;
    unlinkat(dir_fd, name, 0);
    room->files--;
    room->bytes -= bytes;
    return 0;
}

static int make_room(const struct rk_crash_config *config, int dir_fd, uint64_t bytes)
{
    struct room room = {.files_allowed = config->files_max - 1, .bytes_allowed = config->bytes_max - bytes};
    if (bytes > config->bytes_max)
        return rk_error(-EFBIG, "it has %llu bytes, over --crash-bytes %llu: raise that, or lower --crash-payload",
                        (unsigned long long)bytes, (unsigned long long)config->bytes_max);
    rk_crash_dir_list(dir_fd, count_file, &room);
    rk_crash_dir_list(dir_fd, remove_file, &room);
    return 0;
}

static int write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t done = write(fd, data, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done < 0 ? -errno : -ENOSPC;
        data += done;
        bytes -= (size_t)done;
    }
    return 0;
}

static int write_parts(int dir_fd, const char *name, const struct rk_crash_part *parts, unsigned count)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return -errno;
    int result = fchmod(fd, 0600) < 0 ? -errno : 0;
    for (unsigned i = 0; result == 0 && i < count; i++) result = write_all(fd, parts[i].data, parts[i].bytes);
    if (close(fd) < 0 && result == 0) result = -errno;
    return result;
}

int rk_crash_store(const struct rk_crash_config *config, const char *name, const struct rk_crash_part *parts,
                   unsigned count)
{
    char unfinished[NAME_MAX + 1];
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) bytes += parts[i].bytes;
    int dir_fd = rk_crash_dir_open(config->dir, true);
    if (dir_fd < 0) return dir_fd;
    int result = make_room(config, dir_fd, bytes);
    if (result == 0) {
        snprintf(unfinished, sizeof(unfinished), UNFINISHED "%.200s", name);
        result = write_parts(dir_fd, unfinished, parts, count);
        if (result == 0 && renameat(dir_fd, unfinished, dir_fd, name) < 0) result = -errno;
        if (result < 0) unlinkat(dir_fd, unfinished, 0);
        if (result < 0) rk_error(result, "%s: %s", config->dir, strerror(-result));
    }
    close(dir_fd);
    return result;
}
