/* SPDX-License-Identifier: MIT */
/* Reads to the end of a file, writes to the end of a buffer. Blocks on the other end of a pipe. */
#include "input.h"
#include <errno.h>
#include <poll.h>
#include <rask/client.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Milliseconds until the deadline, rounded up, for poll(). */
static int poll_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = rask_now_ns();
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns + 999999u) / 1000000u : 0;
    return left_ms > 1000000 ? 1000000 : (int)left_ms;
}

/* One read before the deadline: bytes, 0 at the end, or -errno. */
static ssize_t read_some(int fd, char *to, size_t room, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int n = poll(&ready, 1, poll_ms(deadline_ns));
        if (n < 0 && errno != EINTR) return -errno;
        if (n == 0 && rask_now_ns() >= deadline_ns) return -ETIMEDOUT;
        if (n <= 0) continue;
        ssize_t got = read(fd, to, room);
        if (got >= 0) return got;
        if (errno != EINTR && errno != EAGAIN) return -errno;
    }
}

int rk_input_read(struct rk_input *input, int fd, size_t bytes_max, uint64_t deadline_ns)
{
    /* One byte over the limit tells "exactly at the limit" from "too large". Pages not written cost nothing. */
    char *buffer = malloc(bytes_max + 1);
    size_t used = 0;
    if (!buffer) return -ENOMEM;
    for (;;) {
        ssize_t got = read_some(fd, buffer + used, bytes_max + 1 - used, deadline_ns);
        if (got >= 0) used += (size_t)got;
        if (used > bytes_max) got = -EMSGSIZE;
        if (got < 0) {
            free(buffer);
            return (int)got;
        }
        if (got == 0) break;
    }
    *input = (struct rk_input){.data = buffer, .bytes = used, .allocation = buffer};
    return 0;
}

int rk_input_text(struct rk_input *input, const char *text, size_t bytes_max)
{
    if (strlen(text) > bytes_max) return -EMSGSIZE;
    *input = (struct rk_input){.data = text, .bytes = strlen(text)};
    return 0;
}

void rk_input_finish(struct rk_input *input)
{
    free(input->allocation);
    *input = (struct rk_input){0};
}

int rk_output_write(int fd, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t n = write(fd, from, bytes);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
            continue;
        }
        if (n < 0 && errno != EINTR) return -errno;
        if (n < 0) continue;
        from += n;
        bytes -= (size_t)n;
    }
    return 0;
}
