/* SPDX-License-Identifier: MIT */
/* A file beside the wanted one, renamed at the end. What is no regular file (a pipe, a device, a link) is written to
 * directly. */
#include "out_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *volatile part_to_remove; /* for rk_out_interrupted() */

static int open_stream(struct rk_out_file *out, const char *path, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (fd < 0) return -errno;
    out->file = fdopen(fd, "w");
    if (out->file) return 0;
    close(fd);
    return -ENOMEM;
}

static int open_part(struct rk_out_file *out)
{
    if (asprintf(&out->part, "%s.%d.part", out->path, (int)getpid()) < 0) {
        out->part = NULL;
        return -ENOMEM;
    }
    part_to_remove = out->part; /* before it is there: a signal must not come in between */
    int error = open_stream(out, out->part, O_EXCL);
    if (error < 0) part_to_remove = NULL;
    return error;
}

int rk_out_open(struct rk_out_file *out, const char *path)
{
    struct stat about;
    *out = (struct rk_out_file){.path = path};
    if (strcmp(path, "-") == 0) {
        out->file = stdout;
        return 0;
    }
    int error = lstat(path, &about) == 0 && !S_ISREG(about.st_mode) ? open_stream(out, path, O_TRUNC) : open_part(out);
    if (error < 0) {
        free(out->part);
        out->part = NULL;
    }
    return error;
}

static int finish_stream(struct rk_out_file *out)
{
    int error = fflush(out->file) != 0 || ferror(out->file) ? -errno : 0;
    if (out->file != stdout && fclose(out->file) != 0 && error == 0) error = -errno;
    out->file = NULL;
    return error;
}

int rk_out_commit(struct rk_out_file *out)
{
    int error = finish_stream(out);
    if (!out->part) return error;
    if (error == 0 && rename(out->part, out->path) < 0) error = -errno;
    if (error < 0) unlink(out->part);
    part_to_remove = NULL;
    free(out->part);
    out->part = NULL;
    return error;
}

void rk_out_abandon(struct rk_out_file *out)
{
    if (!out->file) return;
    finish_stream(out);
    if (!out->part) return;
    unlink(out->part);
    part_to_remove = NULL;
    free(out->part);
    out->part = NULL;
}

void rk_out_interrupted(void)
{
    if (part_to_remove) unlink(part_to_remove);
}
