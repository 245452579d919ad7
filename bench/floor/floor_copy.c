/* SPDX-License-Identifier: MIT */
/* The floor of large payloads: one process that copies the same bytes in, sums them in place, and copies them back. No
 * other process, no message, no waiting: what the memory alone costs. Measured as a wire (wire.h). */
#include "wire_loops.h"
#include <errno.h>
#include <stdlib.h>

struct copy {
    size_t size;
    uint8_t *request, *response;
    uint64_t sum;
};

static int copy_trips(void *self, struct rk_talk *talk, uint32_t count)
{
    struct copy *copy = self;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(copy->request, rk_talk_next(talk), copy->size);
        uint64_t sum = 0, word;
        for (size_t at = 0; at + sizeof word <= copy->size; at += sizeof word) {
            memcpy(&word, copy->request + at, sizeof word);
            sum += word;
        }
        copy->sum += sum;
        memcpy(copy->response, copy->request, copy->size);
        if (!rk_talk_accepts(talk, copy->response, copy->size)) return -EBADMSG;
    }
    return 0;
}

static int open_copy(void **self, struct rk_wire_plan *plan)
{
    struct copy *copy = calloc(1, sizeof *copy);
    *self = copy;
    if (copy == NULL) return -ENOMEM;
    *copy = (struct copy){.size = plan->size, .request = malloc(plan->size), .response = malloc(plan->size)};
    plan->depth = 1;
    return copy->request != NULL && copy->response != NULL ? 0 : -ENOMEM;
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct copy *copy = self;
    (void)side;
    if (copy == NULL) return;
    free(copy->request);
    free(copy->response);
    free(copy);
}

const struct rk_wire rk_wire_memory = {.name = "memcpy, one process",
                                       .spins = "copies in, sums in place, copies back; nobody else",
                                       .alone = true,
                                       .open = open_copy,
                                       .trips = copy_trips,
                                       .destroy = destroy};
