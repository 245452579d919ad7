/* SPDX-License-Identifier: MIT */
/* See answers.h. The descriptor stays as it is, for its flags may be shared with other processes: poll() says whether a
 * pipe, a socket or a terminal takes anything, and then it takes PIPE_BUF bytes without blocking. */
#include "answers.h"
#include "items.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FULL_BYTES 65536u

void rk_answers_init(struct rk_answers *answers, int fd, bool framed)
{
    struct stat about;
    bool is_file = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
    *answers = (struct rk_answers){.fd = fd, .framed = framed, .piece_bytes = is_file ? SSIZE_MAX : PIPE_BUF};
}

size_t rk_answers_waiting(const struct rk_answers *answers)
{
    return answers->end - answers->start;
}

bool rk_answers_full(const struct rk_answers *answers)
{
    return rk_answers_waiting(answers) >= FULL_BYTES;
}

static int make_room(struct rk_answers *answers, size_t bytes)
{
    size_t waiting = rk_answers_waiting(answers);
    if (answers->capacity - answers->end >= bytes) return 0;
    if (waiting > 0) memmove(answers->buffer, answers->buffer + answers->start, waiting);
    answers->start = 0;
    answers->end = waiting;
    if (answers->capacity - waiting >= bytes) return 0;
    size_t capacity = waiting + bytes + FULL_BYTES;
    char *larger = realloc(answers->buffer, capacity);
    if (!larger) return -ENOMEM;
    answers->buffer = larger;
    answers->capacity = capacity;
    return 0;
}

static void append(struct rk_answers *answers, const void *data, size_t bytes)
{
    if (bytes > 0) memcpy(answers->buffer + answers->end, data, bytes);
    answers->end += bytes;
}

int rk_answers_put(struct rk_answers *answers, const void *data, size_t bytes)
{
    const unsigned char header[RK_FRAME_HEADER_BYTES] = {(unsigned char)bytes, (unsigned char)(bytes >> 8),
                                                         (unsigned char)(bytes >> 16), (unsigned char)(bytes >> 24)};
    if (make_room(answers, bytes + sizeof(header)) < 0) return -ENOMEM;
    if (answers->framed) append(answers, header, sizeof(header));
    append(answers, data, bytes);
    if (!answers->framed) append(answers, "\n", 1);
    return 0;
}

int rk_answers_write(struct rk_answers *answers)
{
    while (answers->start < answers->end) {
        struct pollfd ready = {.fd = answers->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) <= 0) return 0;
        size_t bytes = rk_answers_waiting(answers);
        if (bytes > answers->piece_bytes) bytes = answers->piece_bytes;
        ssize_t n = write(answers->fd, answers->buffer + answers->start, bytes);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return -errno;
        if (n < 0) return 0;
        answers->start += (size_t)n;
    }
    answers->start = answers->end = 0;
    return 0;
}

void rk_answers_finish(struct rk_answers *answers)
{
    free(answers->buffer);
    answers->buffer = NULL;
}
