/* SPDX-License-Identifier: MIT */
/* Runs a test on one engine:  on_engine uring|classic PROGRAM [ARGUMENT]...
 * Where io_uring is not allowed the uring half is skipped, and says with which error. */
#include "reactor.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SKIP 77

int main(int argc, char **argv)
{
    if (argc < 3 || rk_engine_parse(argv[1]) < 0) {
        fprintf(stderr, "usage: on_engine uring|classic PROGRAM [ARGUMENT]...\n");
        return 64;
    }
    if (rk_engine_parse(argv[1]) == RK_ENGINE_URING) {
        struct rk_uring_probe probe;
        rk_uring_probe(&probe);
        if (probe.available != 0) {
            printf("io_uring is not allowed here: %s\n", strerror(-probe.available));
            return EXIT_SKIP;
        }
    }
    setenv("RASK_ENGINE", argv[1], 1);
    execv(argv[2], argv + 2);
    fprintf(stderr, "on_engine: %s: %s\n", argv[2], strerror(errno));
    return 99;
}
