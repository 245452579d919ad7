/* SPDX-License-Identifier: MIT */
/* The oracle's rules about requests; see oracle.h. */
#include "oracle.h"
#include "clock.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct oracle *oracle_create(void)
{
    struct oracle *o = calloc(1, sizeof(*o));
    assert_non_null(o);
    kit_ledger_open(&o->ledger);
    return o;
}

void oracle_destroy(struct oracle *o)
{
    oracle_check(o);
    oracle_report(o);
    kit_ledger_close(&o->ledger);
    free(o);
}

uint64_t oracle_submit(struct oracle *o, struct rask *s, const char *method, uint32_t argument, uint32_t bytes,
                       uint64_t deadline_ns)
{
    uint32_t number = o->ledger.next;
    assert_true(number < LEDGER_NUMBERS);
    if (kit_started(&o->ledger, number) != 0) fail_msg("B: request %u ran before it was made", number);
    o->record[number] = (struct oracle_record){.bytes = bytes};
    o->submitted++;
    return kit_submit(s, &o->ledger, method, argument, bytes, deadline_ns);
}

/** Rules B and D about one number, at any time after its end. */
static void judge_count(const struct oracle *o, uint32_t number, bool said_no, const char *end)
{
    uint32_t started = kit_started(&o->ledger, number);
    if (started > 1 + o->retries) fail_msg("B: request %u (%s) ran %u times", number, end, started);
    if (said_no && started != 0) fail_msg("D: request %u (%s) is said not to have run, but it did", number, end);
}

static void judge_ok(const struct oracle *o, const struct rask_completion *completion)
{
    uint32_t number = (uint32_t)completion->user_data;
    if (kit_started(&o->ledger, number) == 0) fail_msg("C: request %u is OK, but it did not run", number);
    assert_int_equal(completion->executed, RASK_EXECUTED_YES);
    assert_int_equal(completion->length, o->record[number].bytes);
    kit_judge_answer(completion);
}

static void note_told(struct oracle *o, uint32_t number)
{
    pid_t pid = (pid_t)__atomic_load_n(&o->ledger.book->worker[number], __ATOMIC_SEQ_CST);
    uint32_t deaths = __atomic_load_n(&o->deaths, __ATOMIC_ACQUIRE), looked = 0;
    for (uint32_t i = deaths; pid != 0 && i-- > 0 && looked < ORACLE_DEATHS_MAX / 2; looked++) {
        const struct oracle_death *death = &o->death[i % ORACLE_DEATHS_MAX];
        if (death->pid != pid) continue;
        oracle_time(&o->told, rask_now_ns() - death->at_ns);
        return;
    }
}

void oracle_end(struct oracle *o, struct rask *s, struct rask_completion *completion)
{
    uint32_t number = (uint32_t)completion->user_data;
    const char *end = rask_status_name(completion->status);
    assert_true(number < o->ledger.next && completion->status < RASK_STATUS_COUNT);
    struct oracle_record *record = &o->record[number];
    if (++record->ends != 1) fail_msg("A: request %u (%s) ended %u times", number, end, record->ends);
    record->said_no = completion->executed == RASK_EXECUTED_NO;
    judge_count(o, number, record->said_no, end);
    if (completion->executed == RASK_EXECUTED_YES && kit_started(&o->ledger, number) == 0)
        fail_msg("C: request %u (%s) is said to have run, but it did not", number, end);
    if (completion->status == RASK_OK) judge_ok(o, completion);
    if (completion->status == RASK_CRASHED) note_told(o, number);
    o->ended++;
    o->said_no += record->said_no;
    o->by_status[completion->status]++;
    rask_release(s, completion);
}

unsigned oracle_take(struct oracle *o, struct rask *s, uint64_t wait_ns)
{
    struct rask_completion completions[16];
    bool wait = wait_ns > 0 && rask_pending(s) > 0;
    int count = wait ? rask_wait_any(s, completions, 16, rask_now_ns() + wait_ns) : rask_poll(s, completions, 16);
    if (count == -ETIMEDOUT && wait_ns < ORACLE_PATIENCE_NS) return 0;
    if (count < 0) fail_msg("A: %u in flight, none ends: %s", rask_pending(s), rask_last_error());
    for (int i = 0; i < count; i++) oracle_end(o, s, &completions[i]);
    return (unsigned)count;
}

void oracle_check(struct oracle *o)
{
    for (uint32_t number = 0; number < o->ledger.next; number++) {
        const struct oracle_record *record = &o->record[number];
        if (record->ends != 1) fail_msg("A: request %u ended %u times", number, record->ends);
        judge_count(o, number, record->said_no, "over");
    }
    if (o->rescues != 0) fail_msg("H: %llu waits were rescued by their limit", (unsigned long long)o->rescues);
    memset(o->ledger.book->started, 0, sizeof(o->ledger.book->started[0]) * o->ledger.next);
    memset(o->ledger.book->worker, 0, sizeof(o->ledger.book->worker[0]) * o->ledger.next);
    o->ledger.next = 0;
}

void oracle_leave(struct oracle *o, struct rask *s)
{
    struct rask_info info = {.size = sizeof(info)};
    assert_int_equal(rask_info(s, &info), 0);
    o->rescues += info.rescues;
    rask_close(s);
}

uint64_t oracle_bystander(struct oracle *o, struct rask *s, uint32_t bytes)
{
    struct rask_completion completion;
    uint64_t start_ns = rask_now_ns();
    uint64_t ticket = oracle_submit(o, s, "ok", 0, bytes, 0);
    int error = rask_wait(s, ticket, start_ns + (kit_sanitized ? 20 : 5) * KIT_S, &completion);
    uint64_t took_ns = rask_now_ns() - start_ns;
    if (error) fail_msg("G: a bystander's call has no end: %s", rask_last_error());
    if (completion.status != RASK_OK) fail_msg("G: a bystander saw %s", rask_status_name(completion.status));
    oracle_end(o, s, &completion);
    return took_ns;
}

/* ---- F ----------------------------------------------------------------------------------------------------------- */

void oracle_death(struct oracle *o, pid_t pid)
{
    o->death[o->deaths % ORACLE_DEATHS_MAX] = (struct oracle_death){.pid = pid, .at_ns = rask_now_ns()};
    __atomic_store_n(&o->deaths, o->deaths + 1, __ATOMIC_RELEASE); /* one thread kills */
}

void oracle_time(struct oracle_times *times, uint64_t ns)
{
    times->ns[times->count++ % ORACLE_TIMES_MAX] = ns;
}

static int by_size(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
    return one < two ? -1 : one > two;
}

uint64_t oracle_quantile(const struct oracle_times *times, double percent)
{
    size_t count = times->count < ORACLE_TIMES_MAX ? times->count : ORACLE_TIMES_MAX;
    if (count == 0) return 0;
    uint64_t *sorted = malloc(count * sizeof(*sorted));
    assert_non_null(sorted);
    memcpy(sorted, times->ns, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_size);
    size_t at = (size_t)((double)count * percent / 100.0);
    uint64_t value = sorted[at < count ? at : count - 1];
    free(sorted);
    return value;
}

static void print_times(const char *what, const struct oracle_times *times)
{
    if (times->count == 0) return;
    print_message("  %s: %llu times, p50 %.2f ms, p99 %.2f ms, most %.2f ms\n", what, (unsigned long long)times->count,
                  (double)oracle_quantile(times, 50) / 1e6, (double)oracle_quantile(times, 99) / 1e6,
                  (double)oracle_quantile(times, 100) / 1e6);
}

void oracle_report(const struct oracle *o)
{
    print_message("oracle: %llu requests, %u deaths, %llu not executed, %llu rescues, clean again within %.1f ms\n",
                  (unsigned long long)o->submitted, o->deaths, (unsigned long long)o->said_no,
                  (unsigned long long)o->rescues, (double)o->settled_ns / 1e6);
    for (uint32_t i = 0; i < RASK_STATUS_COUNT; i++)
        if (o->by_status[i]) print_message("  %-10s %llu\n", rask_status_name(i), (unsigned long long)o->by_status[i]);
    print_times("death to caller told", &o->told);
    print_times("death to next answer", &o->recovered);
}
