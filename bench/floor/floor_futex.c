/* SPDX-License-Identifier: MIT */
/* The floor of a round trip between sleepers: two processes, two words of shared memory, futex(2) and nothing else. Each side
 * stores its word, wakes the other, and sleeps until the other's word changes: four system calls a round trip. It carries
 * no payload, looks at no deadline and survives nobody's death. */
#include "atomic.h"
#include "meter.h"
#include "runner.h"
#include "slice.h"
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <rask/client.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEAD_IN 16u
#define STOP UINT32_MAX

struct words {
    uint32_t request __attribute__((aligned(64)));
    uint32_t response __attribute__((aligned(64)));
};

struct ping_pong {
    struct words *words;
    pid_t peer;
    uint32_t number;
    struct rk_contender contender;
    struct rk_samples samples;
    struct rk_meter meter;
};

static void post(uint32_t *word, uint32_t value)
{
    rk_store_release(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/** Sleep until the word is not `seen` any more; not private: the other side is another process. */
static uint32_t await(const uint32_t *word, uint32_t seen)
{
    uint32_t value;
    while ((value = rk_load_acquire(word)) == seen) syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
    return value;
}

__attribute__((noreturn)) static void answer(struct words *words, int cpu, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    rk_runner_pin(cpu);
    for (uint32_t number = 0;;) {
        number = await(&words->request, number);
        if (number == STOP) _exit(0);
        post(&words->response, number);
    }
}

static int talk(void *self, uint32_t count)
{
    struct ping_pong *pair = self;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = pair->number++;
        post(&pair->words->request, pair->number);
        if (await(&pair->words->response, before) != pair->number) return -EBADMSG;
    }
    return 0;
}

static int begin(void *self)
{
    return talk(self, LEAD_IN);
}

static int end(void *self)
{
    (void)self;
    return 0;
}

static void close_pair(void *self)
{
    struct ping_pong *pair = self;
    if (pair == NULL) return;
    if (pair->peer > 0) {
        post(&pair->words->request, STOP);
        while (waitpid(pair->peer, NULL, 0) < 0 && errno == EINTR) continue;
    }
    if (pair->words != NULL) munmap(pair->words, sizeof *pair->words);
    rk_meter_finish(&pair->meter);
    rk_samples_finish(&pair->samples);
    free(pair);
}

static void *open_pair(const struct rk_runner_plan *plan, struct rk_runner_result *result)
{
    pid_t parent = getpid();
    struct ping_pong *pair = calloc(1, sizeof *pair);
    void *memory = mmap(NULL, sizeof *pair->words, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pair == NULL || memory == MAP_FAILED || rk_samples_init(&pair->samples, 1) != 0) {
        rk_runner_fail(result, -ENOMEM, "cannot set up the futex ping-pong: %s", strerror(errno));
        return pair;
    }
    pair->words = memory;
    pair->contender =
        (struct rk_contender){.name = "futex", .self = pair, .begin = begin, .round_trips = talk, .end = end};
    pair->peer = fork();
    if (pair->peer == 0) answer(pair->words, plan->worker_cpu, parent);
    if (pair->peer < 0) rk_runner_fail(result, -errno, "fork: %s", strerror(errno));
    rk_runner_pin(plan->client_cpu);
    rk_meter_init(&pair->meter, &pair->peer, pair->peer > 0);
    return pair;
}

static void serve(void *self, const struct rk_runner_order *order, struct rk_runner_result *result)
{
    struct ping_pong *pair = self;
    rk_meter_trips(&pair->meter, &pair->contender, &pair->samples, order, result);
}

const struct rk_runner_kind rk_runner_futex = {.open = open_pair, .serve = serve, .close = close_pair};
