/* SPDX-License-Identifier: MIT */
/* embed: a program with threads of its own that keeps its number-crunching in another process.
 *
 *   embed [PLUGIN]        PLUGIN is a path or a name and must offer `sum`; default: the plugin `sum`
 *
 * It starts a private supervisor with two workers (they end with this program) and then shows the ways to call:
 * one at a time, many in flight, without a copy, and as two callbacks; then the same from four threads, each with a
 * session of its own. Every answer is checked; the exit code is 0 only if all were right. */
#include <inttypes.h>
#include <pthread.h>
#include <rask/rask.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_NS 5000000000ull
#define THREADS 4

/* The plugin wants little-endian numbers at any alignment. */
static void put_number(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* Says how a request ended, if not well. `executed` tells whether it is safe to send it again. */
static bool is_answer(const struct rask_completion *done, uint64_t expected)
{
    if (done->status != RASK_OK) {
        fprintf(stderr, "embed: %s: %s (code %" PRId32 ", executed: %s)\n", rask_status_name(done->status),
                rask_status_text(done->status), done->code, rask_executed_name(done->executed));
        return false;
    }
    if (done->length != 8 || get_number(done->data) != expected) {
        fprintf(stderr, "embed: wrong answer, expected %" PRIu64 "\n", expected);
        return false;
    }
    return true;
}

static bool failed(const char *what, int error)
{
    fprintf(stderr, "embed: %s: %s\n%s\n", what, rask_strerror(error), rask_last_error());
    return false;
}

/* 1. One at a time: the bytes are copied in, the answer is read in place and then given back. */
static bool call_one(struct rask *session, uint32_t method)
{
    uint8_t numbers[3 * 8];
    for (unsigned i = 0; i < 3; i++) put_number(numbers + 8 * i, 10 * (i + 1));

    struct rask_completion done;
    int error = rask_call(session, method, numbers, sizeof(numbers), TIMEOUT_NS, &done);
    bool good = error ? failed("rask_call", error) : is_answer(&done, 10 + 20 + 30);
    rask_release(session, &done); /* also after a failure */
    return good;
}

/* Takes what has been answered; `user_data` says what the answer should be. Completions come in any order. */
static bool take_answers(struct rask *session, unsigned *taken)
{
    struct rask_completion done[16];
    int count = rask_wait_any(session, done, 16, rask_now_ns() + TIMEOUT_NS);
    if (count < 0) return failed("rask_wait_any", count);
    bool good = true;
    for (int i = 0; i < count; i++) {
        if (!is_answer(&done[i], done[i].user_data)) good = false;
        rask_release(session, &done[i]);
    }
    *taken += (unsigned)count;
    return good;
}

/* 2. Many in flight: submit until the queue is as deep as one likes, take answers as they come. */
static bool call_pipelined(struct rask *session, uint32_t method)
{
    const unsigned total = 1000, depth = 64;
    unsigned sent = 0, taken = 0;
    while (taken < total) {
        while (sent < total && sent - taken < depth) {
            struct rask_request request;
            int error = rask_reserve(session, 16, &request);
            if (error) return failed("rask_reserve", error);
            put_number(request.data, sent);
            put_number((uint8_t *)request.data + 8, 1000);
            request.user_data = sent + 1000u;
            error = rask_submit(session, &request, method, 16, NULL);
            if (error) {
                rask_abandon(session, &request);
                return failed("rask_submit", error);
            }
            sent++;
        }
        if (!take_answers(session, &taken)) return false;
    }
    return true;
}

/* 3. Without a copy: 512 KiB are written straight into shared memory and read there by the handler. A deadline makes
 * sure that this ends even if the handler does not. */
static bool call_in_place(struct rask *session, uint32_t method)
{
    const size_t count = 64 << 10;
    struct rask_request request;
    int error = rask_reserve(session, count * 8, &request);
    if (error) return failed("rask_reserve", error);
    for (size_t i = 0; i < count; i++) put_number((uint8_t *)request.data + 8 * i, i);

    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.deadline_ns = rask_now_ns() + TIMEOUT_NS;
    error = rask_submit(session, &request, method, count * 8, &options);
    if (error) {
        rask_abandon(session, &request);
        return failed("rask_submit", error);
    }
    struct rask_completion done;
    error = rask_wait(session, request.ticket, 0, &done);
    if (error) return failed("rask_wait", error);
    bool good = is_answer(&done, (uint64_t)count * (count - 1) / 2);
    rask_release(session, &done);
    return good;
}

/* 4. As two callbacks: one writes the request in place, the other reads the response in place. */
struct job {
    uint64_t first, last;
    bool good;
    bool finished;
};

static int64_t write_job(void *buffer, size_t capacity, void *user)
{
    const struct job *job = user;
    size_t bytes = 0;
    for (uint64_t number = job->first; number <= job->last && bytes + 8 <= capacity; number++, bytes += 8)
        put_number((uint8_t *)buffer + bytes, number);
    return (int64_t)bytes;
}

static void read_job(const struct rask_completion *done, void *user)
{
    struct job *job = user;
    job->good = is_answer(done, (job->first + job->last) * (job->last - job->first + 1) / 2);
    job->finished = true;
}

static bool call_back(struct rask *session, uint32_t method)
{
    struct job job = {.first = 1, .last = 100};
    int error = rask_request(session, method, 100 * 8, write_job, read_job, &job, NULL);
    if (error) return failed("rask_request", error);
    while (!job.finished) {
        int ran = rask_wait_any(session, NULL, 0, 0); /* runs the callbacks that are due */
        if (ran < 0) return failed("rask_wait_any", ran);
    }
    return job.good;
}

static bool call_all_ways(struct rask *session)
{
    int method = rask_method(session, "sum");
    if (method < 0) return failed("rask_method", method);
    return call_one(session, (uint32_t)method) && call_pipelined(session, (uint32_t)method) &&
           call_in_place(session, (uint32_t)method) && call_back(session, (uint32_t)method);
}

/* A session belongs to one thread at a time; this one was made by the main thread and given to ours. */
static void *run_thread(void *argument)
{
    struct rask *session = argument;
    bool good = call_all_ways(session);
    rask_close(session);
    return good ? argument : NULL;
}

static bool run_threads(struct rask *session)
{
    pthread_t thread[THREADS];
    unsigned started = 0, good = 0;
    for (; started < THREADS; started++) {
        struct rask *own;
        int error = rask_clone(session, &own);
        if (error) {
            failed("rask_clone", error);
            break;
        }
        if (pthread_create(&thread[started], NULL, run_thread, own) != 0) {
            rask_close(own);
            break;
        }
    }
    for (unsigned i = 0; i < started; i++) {
        void *result;
        pthread_join(thread[i], &result);
        if (result) good++;
    }
    printf("%u of %d threads with a session of their own: right\n", good, THREADS);
    return good == THREADS;
}

int main(int argc, char **argv)
{
    struct rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    spawn.plugin = argc > 1 ? argv[1] : "sum";
    spawn.workers = 2;
    struct rask *session;
    int error = rask_spawn(&session, &spawn, NULL);
    if (error) {
        failed("rask_spawn", error);
        return EXIT_FAILURE;
    }
    bool good = call_all_ways(session);
    printf("one call, 1000 in a pipeline, 512 KiB in place, one with callbacks: %s\n", good ? "right" : "wrong");
    if (!run_threads(session)) good = false;
    rask_close(session); /* the private supervisor and its workers end here */
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
