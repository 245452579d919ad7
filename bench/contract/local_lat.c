/* SPDX-License-Identifier: MIT */
/* local_lat <bind-to> <message-size> <roundtrip-count>: echo that many messages, then end. Prints nothing, as libzmq's. */
#include "perf.h"

int main(int argc, char **argv)
{
    struct perf_line line;
    uint64_t elapsed_ns;
    if (!perf_parse(&line, argc, argv, "<bind-to> <message-size> <roundtrip-count>")) return 1;
    return perf_serve(&line, &elapsed_ns);
}
