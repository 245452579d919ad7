/* SPDX-License-Identifier: MIT */
/* See open_loop.h. The sender looks at the clock and for answers in turn; it never sleeps, so that it is never late by itself. */
#include "open_loop.h"
#include "arrivals.h"
#include "calls_state.h"
#include <errno.h>
#include <rask/status.h>
#include <stdlib.h>

#define SECOND_NS 1000000000ull
#define LATE_NS 1000u
#define TAKE_MAX 16u

uint64_t rk_open_loop_due_ns(uint64_t index, uint64_t rate)
{
    return index / rate * SECOND_NS + index % rate * SECOND_NS / rate;
}

uint64_t rk_open_loop_count(const struct rk_open_loop *loop)
{
    if (!loop->poisson)
        return loop->duration_ns / SECOND_NS * loop->rate + loop->duration_ns % SECOND_NS * loop->rate / SECOND_NS + 1;
    struct rk_arrivals arrivals;
    uint64_t count = 1;
    rk_arrivals_init(&arrivals, (double)loop->rate, true, loop->seed);
    rk_arrivals_next(&arrivals);
    while (rk_arrivals_next(&arrivals) <= loop->duration_ns) count++;
    return count;
}

int rk_open_loop_init(struct rk_open_loop *loop, uint64_t rate, uint64_t duration_ns)
{
    *loop = (struct rk_open_loop){.rate = rate, .duration_ns = duration_ns};
    loop->from_intended = rk_histogram_create();
    loop->from_sent = rk_histogram_create();
    return loop->from_intended != NULL && loop->from_sent != NULL ? 0 : -ENOMEM;
}

void rk_open_loop_finish(struct rk_open_loop *loop)
{
    rk_histogram_destroy(loop->from_intended);
    rk_histogram_destroy(loop->from_sent);
    loop->from_intended = loop->from_sent = NULL;
}

struct flight {
    uint64_t number, due_ns, sent_ns;
};

struct run {
    struct rk_calls *calls;
    struct rk_open_loop *loop;
    uint64_t start_ns, last_ns;
    struct rk_arrivals arrivals;
    uint64_t next;   /* index of the call to be sent next */
    uint64_t due_ns; /* when that is */
    uint64_t count;
    struct flight *flights;
};

static int send_one(struct run *run, uint64_t now_ns)
{
    uint64_t due_ns = run->due_ns;
    struct rk_calls *calls = run->calls;
    const struct rask_completion none = {.status = RASK_OK};
    struct rask_request request = {0};
    int error = rask_reserve(calls->session, calls->size, &request);
    if (error == -EAGAIN && rask_pending(calls->session) > 0) return error;
    if (error != 0) return rk_calls_failed(calls, error, &none);
    uint32_t index = calls->free_flights[--calls->free_count];
    const uint8_t *payload = rk_payload_of(&calls->payload, ++calls->number);
    if (calls->size > 0) memcpy(request.data, payload, calls->size);
    request.user_data = index;
    run->flights[index] = (struct flight){.number = calls->number, .due_ns = due_ns, .sent_ns = now_ns};
    run->next++;
    run->due_ns = run->start_ns + rk_arrivals_next(&run->arrivals);
    if (now_ns > due_ns + LATE_NS) run->loop->late++;
    error = rask_submit(calls->session, &request, calls->method, calls->size, NULL);
    return error != 0 ? rk_calls_failed(calls, error, &none) : 0;
}

/** What is due, as long as there is room. */
static int send_due(struct run *run)
{
    int error = 0;
    while (error == 0 && run->next < run->count && run->calls->free_count > 0) {
        uint64_t now_ns = rask_now_ns();
        if (now_ns < run->due_ns) return 0;
        error = send_one(run, now_ns);
    }
    return error == -EAGAIN ? 0 : error;
}

static int settle(struct run *run, const struct rask_completion *answer)
{
    struct rk_calls *calls = run->calls;
    uint32_t index = (uint32_t)answer->user_data;
    const struct flight *flight = &run->flights[index];
    run->last_ns = rask_now_ns();
    calls->free_flights[calls->free_count++] = index;
    if (answer->status != RASK_OK) return rk_calls_failed(calls, 0, answer);
    rk_histogram_record(run->loop->from_intended, run->last_ns - flight->due_ns);
    rk_histogram_record(run->loop->from_sent, run->last_ns - flight->sent_ns);
    run->loop->calls++;
    if (calls->size > RASK_INLINE_BYTES || !calls->echoes) rk_calls_read(calls, answer->data, answer->length);
    if (!calls->echoes) return 0;
    bool right = answer->length == calls->size && rk_payload_matches(&calls->payload, answer->data, flight->number);
    return right ? 0 : rk_calls_wrong_answer(calls);
}

static int take(struct run *run)
{
    struct rask_completion answers[TAKE_MAX];
    const struct rask_completion none = {.status = RASK_OK};
    int error = 0, count = rask_poll(run->calls->session, answers, TAKE_MAX);
    if (count < 0) return rk_calls_failed(run->calls, count, &none);
    for (int i = 0; i < count; i++) {
        if (error == 0) error = settle(run, &answers[i]);
        rask_release(run->calls->session, &answers[i]);
    }
    return error;
}

int rk_calls_open_loop(struct rk_calls *calls, struct rk_open_loop *loop)
{
    struct run run = {.calls = calls, .loop = loop, .count = rk_open_loop_count(loop)};
    run.flights = calloc(calls->in_flight, sizeof *run.flights);
    rk_arrivals_init(&run.arrivals, (double)loop->rate, loop->poisson, loop->seed);
    run.start_ns = run.last_ns = rask_now_ns();
    run.due_ns = run.start_ns + rk_arrivals_next(&run.arrivals);
    int error = run.flights != NULL ? 0 : rk_calls_failed(calls, -ENOMEM, &(struct rask_completion){.status = RASK_OK});
    uint64_t end_ns = run.start_ns + loop->duration_ns;
    while (error == 0 && (run.next < run.count || rask_pending(calls->session) > 0)) {
        if (rk_bench_interrupted || rask_now_ns() > end_ns) {
            loop->unsent = rk_bench_interrupted ? loop->unsent : loop->unsent + run.count - run.next;
            run.count = run.next;
        }
        error = send_due(&run);
        if (error == 0) error = take(&run);
    }
    loop->took_ns = run.last_ns - run.start_ns;
    free(run.flights);
    return error;
}
