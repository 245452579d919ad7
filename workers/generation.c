/* SPDX-License-Identifier: MIT */
/* The private copy of a plugin. Runs in the supervisor, which must not wait: only regular files are read, and the copy
 * stays in memory, so that nothing of it is left behind when the supervisor is killed. */
#include "generation.h"
#include "loader_error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u /* Linux 6.3; a kernel that does not know it says EINVAL */
#endif
#define NAME_BYTES 240u
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The name is what /proc/PID/maps shows of the mapping: where the file came from. */
static int create_memory(const char *path)
{
    char name[NAME_BYTES];
    size_t length = strlen(path);
    const char *end = length > NAME_BYTES - sizeof("plugin:") ? path + length - (NAME_BYTES - sizeof("plugin:")) : path;
    snprintf(name, sizeof(name), "plugin:%.*s", (int)(NAME_BYTES - sizeof("plugin:")), end);
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

static int copy(int to, int from, off_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = sendfile(to, from, NULL, (size_t)bytes);
        if (sent == 0) return -EIO; /* it has become shorter */
        if (sent < 0 && errno != EINTR) return -errno;
        if (sent > 0) bytes -= sent;
    }
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A file that changes while it is read would be half old and half new. */
static int copy_file(struct rk_generation *generation, int from, struct rk_load_error *error)
{
    struct stat before, after;
    if (fstat(from, &before) < 0) return -errno;
    generation->fd = create_memory(generation->path);
    if (generation->fd < 0) return generation->fd;
    int result = copy(generation->fd, from, before.st_size);
    if (fstat(from, &after) < 0 || result == -EIO || !same_file(&before, &after))
        return rk_load_refuse(
            error, RK_LOAD_FIND,
            "plugin %s changed while it was read: replace it in one step (install, mv), then try again",
            generation->path);
    if (result == 0 && fcntl(generation->fd, F_ADD_SEALS, SEALS) < 0) result = -errno;
    return result;
}

int rk_generation_create(struct rk_generation **out, const char *path, uint32_t number, struct rk_load_error *error)
{
    *out = NULL;
    *error = (struct rk_load_error){.check = RK_LOAD_OK};
    struct rk_generation *generation = calloc(1, sizeof(*generation));
    if (!generation) return -ENOMEM;
    *generation = (struct rk_generation){.number = number, .uses = 1, .fd = -1};
    snprintf(generation->path, sizeof(generation->path), "%s", path);
    int from = rk_plugin_open(path, error);
    int result = from < 0 ? from : copy_file(generation, from, error);
    if (from >= 0) close(from);
    if (result < 0 && error->check == RK_LOAD_OK)
        snprintf(error->text, sizeof(error->text), "plugin %.300s: cannot copy it to memory: %s", path,
                 strerror(-result));
    if (result < 0)
        rk_generation_drop(generation);
    else
        *out = generation;
    return result;
}

struct rk_generation *rk_generation_use(struct rk_generation *generation)
{
    generation->uses++;
    return generation;
}

void rk_generation_drop(struct rk_generation *generation)
{
    if (!generation || --generation->uses > 0) return;
    if (generation->fd >= 0) close(generation->fd);
    free(generation);
}

static const char *number_of(const struct rk_message_ready *table, const char *name, char text[16])
{
    for (uint32_t i = 0; i < table->method_count; i++) {
        if (strcmp(table->entry[i].name, name) != 0) continue;
        snprintf(text, 16, "%u", i);
        return text;
    }
    return NULL;
}

int rk_generation_check_methods(const struct rk_message_ready *old, const struct rk_message_ready *next,
                                struct rk_load_error *error)
{
    for (uint32_t i = 0; i < old->method_count; i++) {
        const char *name = old->entry[i].name;
        char text[16];
        if (i < next->method_count && strcmp(next->entry[i].name, name) == 0) continue;
        const char *moved = number_of(next, name, text);
        if (!moved)
            return rk_load_refuse(error, RK_LOAD_TABLE,
                                  "method %s is missing in the new file, and clients may call it: keep it, or restart "
                                  "the supervisor",
                                  name);
        return rk_load_refuse(
            error, RK_LOAD_TABLE,
            "method %s is number %s in the new file and %u in the running one, and clients know it by "
            "number: keep the order and add new methods at the end, or restart the supervisor",
            name, moved, i);
    }
    return 0;
}
