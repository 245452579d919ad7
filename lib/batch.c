/* SPDX-License-Identifier: MIT */
/* Collected wakes; see batch.h. The ring is made at the first batch with more than one, and given up for plain futex calls
 * where it is refused or asked to be (RASK_ENGINE=classic). */
#include "batch.h"
#include "bell.h"
#include "error.h"
#include "reactor.h"
#include "reactor_futex.h"
#include <stdlib.h>
#include <string.h>

struct rk_batch {
    struct rk_bell_batch bells;
    struct rk_futex_ring *ring;
    bool no_ring;
};

void rk_batch_open(struct rask *s)
{
    if (s->batch == NULL) s->batch = calloc(1, sizeof *s->batch);
    if (s->batch != NULL) rk_bell_collect(&s->batch->bells);
}

void rk_batch_close(struct rask *s)
{
    rk_bell_collect(NULL);
    if (s->batch != NULL) s->wakes_held = s->batch->bells.count;
}

static bool have_ring(struct rk_batch *batch)
{
    if (batch->ring != NULL || batch->no_ring) return batch->ring != NULL;
    const char *wanted = getenv("RASK_ENGINE");
    batch->no_ring = wanted != NULL && rk_engine_parse(wanted) == RK_ENGINE_CLASSIC;
    if (!batch->no_ring) batch->no_ring = rk_futex_ring_create(&batch->ring, -1) != 0;
    return !batch->no_ring;
}

void rk_batch_wake(struct rask *s)
{
    struct rk_batch *batch = s->batch;
    uint32_t count = batch->bells.count;
    batch->bells.count = s->wakes_held = 0;
    if (count > 1 && have_ring(batch)) {
        if (rk_futex_ring_wake(batch->ring, batch->bells.word, count) == 0) return;
        rk_futex_ring_destroy(batch->ring, true);
        batch->ring = NULL;
        batch->no_ring = true;
    }
    rk_bell_wake(batch->bells.word, count); /* twice does no harm */
}

void rk_batch_finish(struct rask *s, bool ours)
{
    if (s->batch == NULL) return;
    if (ours) rk_batch_flush(s);
    rk_futex_ring_destroy(s->batch->ring, ours);
    free(s->batch);
    s->batch = NULL;
}

int rask_flush(struct rask *s)
{
    if (rk_session_forked(s)) return rk_session_refuse_child();
    rk_batch_flush(s);
    return 0;
}
