/* SPDX-License-Identifier: MIT */
/* local_thr <bind-to> <message-size> <message-count>: receive that many messages, print how fast they came. The clock runs
 * from the first message to the last, and counts all of them, as libzmq's. */
#include "perf.h"
#include <stdio.h>

int main(int argc, char **argv)
{
    struct perf_line line;
    uint64_t elapsed_ns;
    if (!perf_parse(&line, argc, argv, "<bind-to> <message-size> <message-count>")) return 1;
    if (perf_serve(&line, &elapsed_ns) != 0) return 1;
    double throughput = (double)line.count * 1e9 / (double)(elapsed_ns > 1000 ? elapsed_ns : 1000);
    printf("message size: %llu [B]\n", (unsigned long long)line.size);
    printf("message count: %llu\n", (unsigned long long)line.count);
    printf("mean throughput: %llu [msg/s]\n", (unsigned long long)throughput);
    printf("mean throughput: %.3f [Mb/s]\n", throughput * (double)line.size * 8 / 1e6);
    return 0;
}
