/* SPDX-License-Identifier: MIT */
/* `rask bench peers`: every peer that is there carries the right bytes, one at a time and many in flight (each answer is
 * compared while it is measured, every byte in the warm-up); those that are missing are named; bad command lines are
 * refused before anything runs. How fast anybody is is not looked at. */
#include "contest.h"
#include "kit.h"
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *result; /* of the test at hand */

static int clean_up(void **state)
{
    json_decref(result);
    result = NULL;
    unsetenv("RASK_PEERS");
    return kit_tear_down(state);
}

#define PEERS_TEST(name) cmocka_unit_test_setup_teardown(name, kit_set_up, clean_up)

/** The contests of a short run. Standard output must hold nothing but the JSON. */
static const json_t *run(const char *only, const char *wait, const char *sizes, const char *depths)
{
    json_error_t error;
    const struct kit_result *done = kit_rask("bench", "peers", "--only", only, "--wait", wait, "--size", sizes,
                                             "--inflight", depths, "--duration", "20ms", "--json", "-", NULL);
    if (done->code != 0) fail_msg("exit code %d: %s", done->code, done->err);
    result = json_loads(done->out, 0, &error);
    if (result == NULL) fail_msg("no JSON: %s in: %s", error.text, done->out);
    assert_true(json_is_string(json_object_get(json_object_get(result, "conditions"), "kernel")));
    assert_true(json_is_array(json_object_get(result, "verdicts")));
    return json_object_get(result, "contests");
}

static const json_t *contender(const json_t *contest, const char *name)
{
    size_t index;
    const json_t *one;
    json_array_foreach(json_object_get(contest, "contenders"), index, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0) return one;
    }
    fail_msg("no contender %s", name);
    return NULL;
}

static void assert_measured(const json_t *contest, const char *name)
{
    size_t index;
    const json_t *depth, *one = contender(contest, name), *trouble = json_object_get(one, "not_measured");
    if (!json_is_null(trouble)) fail_msg("%s: %s", name, json_string_value(trouble));
    assert_true(json_string_length(json_object_get(one, "configuration")) > 0);
    json_array_foreach(json_object_get(contest, "depths"), index, depth)
    {
        char key[32];
        snprintf(key, sizeof key, "%lld", (long long)json_integer_value(depth));
        const json_t *entry = json_object_get(json_object_get(one, "depths"), key);
        if (entry == NULL) fail_msg("%s: nothing at depth %s", name, key);
        assert_true(json_integer_value(json_object_get(entry, "calls")) > 0);
        assert_true(json_number_value(json_object_get(entry, "calls_per_s")) > 0);
        json_int_t held = json_integer_value(json_object_get(entry, "in_flight"));
        assert_true(held >= 1 && held <= json_integer_value(depth));
        if (json_integer_value(json_object_get(entry, "latency_samples")) < 100 * 100)
            assert_true(json_is_null(json_object_get(json_object_get(entry, "latency_ns"), "p99")));
    }
}

static void assert_all_measured(const json_t *contests, const char *const *names, size_t count)
{
    size_t index;
    const json_t *contest;
    json_array_foreach(contests, index, contest)
    {
        for (size_t i = 0; i < count; i++) assert_measured(contest, names[i]);
    }
}

static bool one_processor(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < 2;
}

static void test_peers_that_sleep_carry_the_right_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"rask",
                                        "rask hybrid",
                                        "pipe",
                                        "socketpair stream",
                                        "socketpair seqpacket",
                                        "eventfd + shared memory",
                                        "POSIX message queue"};
    const json_t *contests = run("pipe,stream,seqpacket,eventfd,mqueue", "park", "1,32,1K", "1,64");
    assert_int_equal(json_array_size(contests), 3);
    assert_all_measured(contests, names, sizeof names / sizeof names[0]);
}

static void test_peers_that_spin_carry_the_right_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {
        "rask", "floor: bare ring", "pipe", "socketpair stream", "socketpair seqpacket", "POSIX message queue"};
    if (one_processor()) {
        print_message("one processor: nothing spins here\n");
        skip();
    }
    const json_t *contests = run("pipe,stream,seqpacket,mqueue", "spin", "32,200", "1,64");
    assert_int_equal(json_array_size(contests), 2);
    assert_all_measured(contests, names, sizeof names / sizeof names[0]);
}

static void test_peers_carry_a_large_message(void **state)
{
    (void)state;
    static const char *const names[] = {"rask", "pipe", "socketpair stream", "eventfd + shared memory"};
    assert_all_measured(run("pipe,stream,eventfd", "park", "1M", "1"), names, sizeof names / sizeof names[0]);
}

/** One test for each library: a skip says which is missing. */
static void library(const char *word, const char *name, bool spins)
{
    char folder[512], path[1024], why[512] = "";
    const char *program = getenv("RASK_BIN");
    assert_non_null(program);
    snprintf(folder, sizeof folder, "%.400s/../../bench/peers", program);
    for (uint32_t i = 0; i < rk_peers_count; i++)
        if (strcmp(rk_peers[i].word, word) == 0 && !rk_peer_find(&rk_peers[i], folder, path, why, sizeof why)) break;
    if (why[0] != '\0') {
        print_message("%s: %s\n", name, why);
        skip();
    }
    assert_all_measured(run(word, "park", "32,1K", "1,64"), &name, 1);
    json_decref(result);
    result = NULL;
    if (spins && !one_processor()) assert_all_measured(run(word, "spin", "32", "1,64"), &name, 1);
}

static void test_peer_zeromq_carries_the_right_bytes(void **state)
{
    (void)state;
    library("zeromq", "ZeroMQ", false);
}

static void test_peer_nng_carries_the_right_bytes(void **state)
{
    (void)state;
    library("nng", "nng", false);
}

static void test_peer_iceoryx_carries_the_right_bytes(void **state)
{
    (void)state;
    library("iceoryx", "iceoryx", true);
}

static void test_peer_boost_carries_the_right_bytes(void **state)
{
    (void)state;
    library("boost", "Boost.Interprocess", true);
}

static void test_peers_hello_is_answered_by_the_plugin_and_by_node(void **state)
{
    (void)state;
    static const char *const names[] = {"rask hello", "rask hello, spin", "rask hello, park"};
    const json_t *contests = run("port", "hello", "32", "1,16");
    assert_int_equal(json_array_size(contests), 1);
    assert_all_measured(contests, names, 3);
    const json_t *port = contender(json_array_get(contests, 0), "MessagePort");
    const json_t *trouble = json_object_get(port, "not_measured");
    if (json_is_null(trouble))
        assert_measured(json_array_get(contests, 0), "MessagePort");
    else
        print_message("without Node.js: %s\n", json_string_value(trouble));
}

static void test_peers_that_are_missing_are_named_with_what_they_need(void **state)
{
    (void)state;
    setenv("RASK_PEERS", "/nonexistent", 1);
    const json_t *contests = run("zeromq,pipe", "park", "32", "1");
    const json_t *zeromq = contender(json_array_get(contests, 0), "ZeroMQ");
    const char *trouble = json_string_value(json_object_get(zeromq, "not_measured"));
    assert_non_null(trouble);
    assert_non_null(strstr(trouble, "libzmq3-dev"));
    assert_non_null(strstr(trouble, "/nonexistent"));
    assert_measured(json_array_get(contests, 0), "pipe"); /* the others go on */
}

static void test_peers_a_program_that_is_none_is_no_end_of_the_run(void **state)
{
    (void)state;
    char folder[] = "/tmp/rask-peers-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/rask-peer-nng", folder);
    assert_int_equal(symlink("/bin/false", path), 0);
    setenv("RASK_PEERS", folder, 1);
    const json_t *contests = run("nng,pipe", "park", "32", "1");
    unlink(path);
    rmdir(folder);
    const json_t *nng = contender(json_array_get(contests, 0), "nng");
    assert_string_equal(json_string_value(json_object_get(nng, "not_measured")), "its process ended");
    assert_measured(json_array_get(contests, 0), "pipe");
}

/** The open loop: what was due was sent or is counted, and lateness is never hidden. */
static void assert_open_loop(const char *rate, json_int_t due)
{
    json_error_t error;
    const struct kit_result *done = kit_rask("bench", "--rate", rate, "--duration", "100ms", "--json", NULL);
    if (done->code != 0) fail_msg("exit code %d: %s", done->code, done->err);
    json_decref(result);
    result = json_loads(done->out, 0, &error);
    if (result == NULL) fail_msg("no JSON: %s in: %s", error.text, done->out);
    json_int_t calls = json_integer_value(json_object_get(result, "calls"));
    json_int_t unsent = json_integer_value(json_object_get(result, "unsent"));
    assert_true(calls > 0);
    assert_int_equal(calls + unsent, due);
    const json_t *intended = json_object_get(result, "from_intended"), *sent = json_object_get(result, "from_sent");
    assert_true(json_number_value(json_object_get(intended, "mean_ns")) >=
                json_number_value(json_object_get(sent, "mean_ns")));
    assert_true(json_integer_value(json_object_get(intended, "max_ns")) >=
                json_integer_value(json_object_get(sent, "max_ns")));
}

static void test_open_loop_counts_every_call_that_was_due(void **state)
{
    (void)state;
    assert_open_loop("1000", 101);
    assert_open_loop("100000000", 10000001); /* more than anybody can */
    assert_true(json_is_false(json_object_get(result, "kept_up")));
}

static void assert_refused(const char *option, const char *value, const char *names)
{
    const struct kit_result *done = kit_rask("bench", "peers", option, value, NULL);
    assert_int_equal(done->code, 64);
    if (strstr(done->err, names) == NULL) fail_msg("%s %s: no \"%s\" in: %s", option, value, names, done->err);
    assert_int_equal(done->out[0], '\0');
}

static void test_peers_refuses_what_is_none_and_names_what_there_is(void **state)
{
    (void)state;
    assert_refused("--only", "pipe,carrier-pigeon", "carrier-pigeon");
    assert_refused("--only", "pigeon", "zeromq");
    assert_refused("--wait", "sleep", "park");
    assert_refused("--size", "32,0", "\"0\"");
    assert_refused("--inflight", "1,1025", "1025");
    assert_refused("--inflight", "1,2,3,4,5,6,7,8,9", "at most");
    assert_refused("--pin", "0", "two processors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEERS_TEST(test_peers_that_sleep_carry_the_right_bytes),
        PEERS_TEST(test_peers_that_spin_carry_the_right_bytes),
        PEERS_TEST(test_peers_carry_a_large_message),
        PEERS_TEST(test_peer_zeromq_carries_the_right_bytes),
        PEERS_TEST(test_peer_nng_carries_the_right_bytes),
        PEERS_TEST(test_peer_iceoryx_carries_the_right_bytes),
        PEERS_TEST(test_peer_boost_carries_the_right_bytes),
        PEERS_TEST(test_peers_hello_is_answered_by_the_plugin_and_by_node),
        PEERS_TEST(test_peers_that_are_missing_are_named_with_what_they_need),
        PEERS_TEST(test_peers_a_program_that_is_none_is_no_end_of_the_run),
        PEERS_TEST(test_open_loop_counts_every_call_that_was_due),
        PEERS_TEST(test_peers_refuses_what_is_none_and_names_what_there_is),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
