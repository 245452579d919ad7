/* SPDX-License-Identifier: MIT */
/* Reading a fuzzer's input piece by piece, and what must hold after each: no descriptor is left. */
#ifndef RK_FUZZ_H
#define RK_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

/** The next bytes; zeros behind the end. */
static inline void fuzz_bytes(struct fuzz_input *in, void *out, size_t bytes)
{
    size_t have = in->left < bytes ? in->left : bytes;
    memset(out, 0, bytes);
    if (have > 0) memcpy(out, in->data, have);
    in->data += have;
    in->left -= have;
}

static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
    uint8_t byte;
    fuzz_bytes(in, &byte, 1);
    return byte;
}

static inline uint32_t fuzz_word(struct fuzz_input *in)
{
    uint32_t word;
    fuzz_bytes(in, &word, sizeof(word));
    return word;
}

/** A rule was broken: the fuzzer keeps the input. */
#define FUZZ_CHECK(condition, what)                                 \
    do {                                                            \
        if (!(condition)) {                                         \
            fprintf(stderr, "broken: %s (%s)\n", what, #condition); \
            abort();                                                \
        }                                                           \
    } while (0)

/** The number that the next descriptor gets. */
static inline int fuzz_lowest_fd(void)
{
    int fd = dup(STDIN_FILENO);
    FUZZ_CHECK(fd >= 0, "a descriptor can be made");
    close(fd);
    return fd;
}

#endif
