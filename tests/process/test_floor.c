/* SPDX-License-Identifier: MIT */
/* The floor of the benchmark: every variant really exchanges payloads, and its peer process never stays behind. Nothing is
 * timed. This process is the subreaper of its children's children, so that a peer left behind would come to it. */
#include "floor.h"
#include "floor_memory.h"
#include "ladder.h"
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
/* Needs the headers above. */
#include <cmocka.h>

#define CALLS 40u

static struct rk_floor *create(uint64_t size)
{
    struct rk_floor *floor = NULL;
    struct rk_floor_options options = {.size = size, .peer_cpu = -1, .shared_cpu = rk_cpus_usable() < 2};
    assert_int_equal(rk_floor_create(&floor, &options), 0);
    assert_non_null(floor);
    return floor;
}

static int slice(struct rk_floor *floor, uint32_t variant, struct rk_samples *samples)
{
    struct rk_slice whole = {.until_ns = 0, .stop_ns = UINT64_MAX, .min_calls = CALLS, .max_calls = CALLS};
    rk_samples_reset(samples);
    return rk_slice_run(rk_floor_contender(floor, variant), &whole, samples);
}

/** Rounds of slices with the peer asleep in between, as a benchmark has them. */
static void talk_in_rounds(uint64_t size)
{
    struct rk_samples samples;
    struct rk_floor *floor = create(size);
    uint32_t kinds[3] = {0};
    assert_int_equal(rk_samples_init(&samples, RK_BATCH), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(rk_floor_wake(floor), 0);
        for (uint32_t i = 0; i < rk_floor_count(floor); i++) {
            assert_int_equal(slice(floor, i, &samples), 0);
            assert_int_equal(samples.calls, CALLS);
            kinds[rk_floor_kind(floor, i)]++;
        }
        assert_int_equal(rk_floor_park(floor), 0);
    }
    /* Per round, at least: two shapes of each, or one shape both with and without pause. */
    assert_true(kinds[RK_FLOOR_CANDIDATE] >= 3 * 2);
    assert_true(kinds[RK_FLOOR_SEALED] >= 3 * 2);
    assert_int_equal(kinds[RK_FLOOR_TWO_WRITERS] > 0, size <= RK_FLOOR_INLINE_BYTES);
    rk_floor_destroy(floor);
    rk_samples_finish(&samples);
}

static void assert_no_child_left(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_floor_exchanges_payloads_of_any_size(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 32, 33, 64, 1000, 1024, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) talk_in_rounds(sizes[i]);
}

/** How many mappings of sealed segments a process has, of those with these permissions in /proc/PID/maps. */
static int count_sealed_mappings(pid_t pid, const char *permissions)
{
    char path[64], line[512];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, "/memfd:rask-floor") != NULL && strstr(line, permissions) != NULL;
    fclose(maps);
    return count;
}

/** The only child of this process. */
static pid_t peer_of(void)
{
    char path[64];
    int peer = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "re");
    assert_non_null(children);
    assert_int_equal(fscanf(children, "%d", &peer), 1);
    fclose(children);
    return peer;
}

static void test_floor_lets_one_side_write_a_sealed_segment(void **state)
{
    (void)state;
    struct rk_samples samples;
    struct rk_floor *floor = create(32);
    assert_int_equal(rk_samples_init(&samples, RK_BATCH), 0);
    /* One conversation: the peer has settled in then. */
    assert_int_equal(rk_floor_wake(floor), 0);
    assert_int_equal(slice(floor, 0, &samples), 0);
    assert_int_equal(rk_floor_park(floor), 0);
    const pid_t sides[] = {getpid(), peer_of()};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(count_sealed_mappings(sides[i], "rw-s"), 1);
        assert_int_equal(count_sealed_mappings(sides[i], "r--s"), 2);
    }
    rk_floor_destroy(floor);
    rk_samples_finish(&samples);
}

static void test_floor_memory_stays_read_only_for_its_reader(void **state)
{
    (void)state;
    struct rk_floor_memory memory;
    assert_int_equal(rk_floor_memory_init(&memory, 4096, 4096), 0);
    memory.by_client.writable[7] = 42;
    assert_int_equal(memory.by_client.readable[7], 42);
    assert_int_equal(mprotect(memory.by_client.readable, 4096, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(errno, EACCES);
    rk_floor_memory_take_side(&memory, RK_FLOOR_PEER);
    assert_null(memory.by_client.writable);
    assert_non_null(memory.by_peer.writable);
    rk_floor_memory_finish(&memory);
    rk_floor_memory_finish(&memory);
}

static void test_floor_leaves_no_process_when_destroyed_asleep_or_awake(void **state)
{
    (void)state;
    rk_floor_destroy(create(32));
    assert_no_child_left();
    struct rk_floor *floor = create(32);
    assert_int_equal(rk_floor_wake(floor), 0);
    rk_floor_destroy(floor);
    assert_no_child_left();
    rk_floor_destroy(NULL);
}

/** Create a floor in a child that dies without a word, then wait for the orphaned peer to end by itself. */
static void orphan_a_peer(int awake)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rk_floor *floor = NULL;
        struct rk_floor_options options = {.size = 32, .peer_cpu = -1};
        int error = rk_floor_create(&floor, &options);
        if (error == 0 && awake) error = rk_floor_wake(floor);
        _exit(error != 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pid_t reaped = 0;
    for (int tries = 0; tries < 1000 && reaped == 0; tries++) {
        reaped = waitpid(-1, NULL, WNOHANG);
        if (reaped == 0) poll(NULL, 0, 10);
    }
    /* Reaped as ours, or the child's death took it along before it could become ours. */
    assert_true(reaped > 0 || (reaped < 0 && errno == ECHILD));
    assert_no_child_left();
}

static void test_floor_peer_dies_with_its_parent(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    orphan_a_peer(0);
    orphan_a_peer(1);
}

/** A peer that cannot be pinned ends; the client must notice instead of waiting for ever. */
static void test_floor_reports_a_peer_that_is_gone(void **state)
{
    (void)state;
    struct rk_samples samples;
    struct rk_floor *floor = NULL;
    struct rk_floor_options options = {.size = 32, .peer_cpu = 1023};
    assert_int_equal(rk_samples_init(&samples, RK_BATCH), 0);
    assert_int_equal(rk_floor_create(&floor, &options), 0);
    int error = rk_floor_wake(floor);
    if (error == 0) error = slice(floor, 0, &samples);
    assert_true(error == -ECHILD || error == -EPIPE);
    rk_floor_destroy(floor);
    assert_no_child_left();
    rk_samples_finish(&samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floor_exchanges_payloads_of_any_size),
        cmocka_unit_test(test_floor_lets_one_side_write_a_sealed_segment),
        cmocka_unit_test(test_floor_memory_stays_read_only_for_its_reader),
        cmocka_unit_test(test_floor_leaves_no_process_when_destroyed_asleep_or_awake),
        cmocka_unit_test(test_floor_peer_dies_with_its_parent),
        cmocka_unit_test(test_floor_reports_a_peer_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
