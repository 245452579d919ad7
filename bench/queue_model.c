/* SPDX-License-Identifier: MIT */
/* See queue_model.h. The next request always goes to the server that is free first: few servers, so they are looked through. */
#include "queue_model.h"
#include <errno.h>

static uint32_t first_free(const uint64_t *free_at_ns, uint32_t servers)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < servers; i++)
        if (free_at_ns[i] < free_at_ns[first]) first = i;
    return first;
}

int rk_queue_model(struct rk_queue_request *requests, uint64_t count, uint32_t servers)
{
    uint64_t free_at_ns[RK_QUEUE_SERVERS_MAX] = {0};
    if (servers == 0 || servers > RK_QUEUE_SERVERS_MAX) return -EINVAL;
    for (uint64_t i = 0; i < count; i++) {
        struct rk_queue_request *one = &requests[i];
        if (i > 0 && one->arrival_ns < requests[i - 1].arrival_ns) return -EINVAL;
        uint64_t *free_ns = &free_at_ns[first_free(free_at_ns, servers)];
        uint64_t start_ns = *free_ns > one->arrival_ns ? *free_ns : one->arrival_ns;
        one->wait_ns = start_ns - one->arrival_ns;
        *free_ns = start_ns + one->service_ns;
    }
    return 0;
}

double rk_jain_index(const double *shares, uint32_t count)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += shares[i];
        squares += shares[i] * shares[i];
    }
    return squares > 0 ? sum * sum / (count * squares) : 0;
}
