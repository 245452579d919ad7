/* SPDX-License-Identifier: MIT */
/* Sleeping and waking on bells: returns on a ring, on a change, on time-out, on a signal; one word or many. */
#include "bell.h"
#include "clock.h"
#include "reactor_crowd.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000u
#define LONG_NS 5000000000u /* a wait that lasts this long has failed */

static struct rk_bell bells[RK_WAIT_WORDS_MAX];
static struct rk_wait_word words[RK_WAIT_WORDS_MAX];

static int set_up(void **state)
{
    (void)state;
    memset(bells, 0, sizeof bells);
    for (unsigned i = 0; i < RK_WAIT_WORDS_MAX; i++) words[i] = (struct rk_wait_word){&bells[i].word, 0};
    return 0;
}

static void *ring_later(void *bell)
{
    usleep(20000);
    rk_bell_ring(bell);
    return NULL;
}

static void *interrupt_later(void *thread)
{
    usleep(20000);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

static void on_signal(int number)
{
    (void)number;
}

static void wakes_by_ring(uint32_t count, uint32_t rung)
{
    pthread_t ringer;
    words[rung].seen = bells[rung].word;
    assert_int_equal(pthread_create(&ringer, NULL, ring_later, &bells[rung].word), 0);
    uint64_t start_ns = rask_now_ns();
    int result = 0;
    while (rk_load_acquire(&bells[rung].word) == words[rung].seen && result == 0)
        result = rk_bell_wait(words, count, start_ns + LONG_NS);
    assert_int_equal(result, 0);
    assert_true(rask_now_ns() - start_ns < LONG_NS);
    pthread_join(ringer, NULL);
    words[rung].seen = bells[rung].word;
}

static void test_ring_wakes_the_sleeper(void **state)
{
    (void)state;
    wakes_by_ring(1, 0);
    assert_int_equal(bells[0].word, 1);
    bells[0].word = UINT32_MAX; /* the count of rings wraps */
    wakes_by_ring(1, 0);
    assert_int_equal(bells[0].word, 0);
}

static void test_any_of_many_words_wakes_the_sleeper(void **state)
{
    (void)state;
    wakes_by_ring(2, 1);
    wakes_by_ring(RK_WAIT_WORDS_MAX, 0);
    wakes_by_ring(RK_WAIT_WORDS_MAX, RK_WAIT_WORDS_MAX - 1);
}

static void test_changed_word_does_not_sleep(void **state)
{
    (void)state;
    rk_bell_ring(&bells[0].word);
    uint64_t start_ns = rask_now_ns();
    assert_int_equal(rk_bell_wait(words, 1, 0), 0);
    rk_bell_ring(&bells[100].word);
    words[0].seen = bells[0].word;
    assert_int_equal(rk_bell_wait(words, RK_WAIT_WORDS_MAX, 0), 0);
    assert_true(rask_now_ns() - start_ns < LONG_NS);
}

static void times_out(uint32_t count)
{
    uint64_t deadline_ns = rask_now_ns() + 10 * MS;
    int result;
    while ((result = rk_bell_wait(words, count, deadline_ns)) == 0) continue; /* it may wake for nothing */
    assert_int_equal(result, -ETIMEDOUT);
    assert_true(rask_now_ns() >= deadline_ns);
    assert_int_equal(rk_bell_wait(words, count, deadline_ns), -ETIMEDOUT); /* already over */
}

static void test_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    times_out(1);
    times_out(2);
    times_out(RK_WAIT_WORDS_MAX);
}

static void interrupted(uint32_t count)
{
    pthread_t other, self = pthread_self();
    assert_int_equal(pthread_create(&other, NULL, interrupt_later, &self), 0);
    int result;
    while ((result = rk_bell_wait(words, count, rask_now_ns() + LONG_NS)) == 0) continue;
    assert_int_equal(result, -EINTR);
    pthread_join(other, NULL);
}

static void test_signal_interrupts(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    interrupted(1);
    interrupted(3);
}

static uint64_t rung;

static void publish(struct rk_waiter *waiter)
{
    rk_publish(&waiter->state, &bells[0].word, &rung);
}

/** The word without the count of sleeps. */
static uint64_t flags(const struct rk_waiter *waiter)
{
    return waiter->state & RK_WAITER_FLAGS;
}

static void test_publish_rings_only_who_is_parked(void **state)
{
    struct rk_waiter waiter = {0};
    (void)state;
    rung = 0;
    publish(&waiter);
    assert_int_equal(bells[0].word, 0);
    rk_park_announce(&waiter.state);
    publish(&waiter);
    assert_int_equal(bells[0].word, 1);
    rk_park_withdraw(&waiter.state);
    publish(&waiter);
    assert_int_equal(bells[0].word, 1);
}

static void test_publish_rings_once_for_each_sleep(void **state)
{
    struct rk_waiter waiter = {0};
    (void)state;
    rung = 0;
    for (uint32_t sleep = 1; sleep <= 5; sleep++) {
        rk_park_announce(&waiter.state);
        for (int i = 0; i < 4; i++) publish(&waiter);
        assert_int_equal(bells[0].word, sleep);
        rk_park_withdraw(&waiter.state);
    }
    uint64_t other = 0; /* another publisher does not know of the first */
    rk_park_announce(&waiter.state);
    publish(&waiter);
    rk_publish(&waiter.state, &bells[0].word, &other);
    assert_int_equal(bells[0].word, 7);
    waiter.state |= RK_WAITER_FENCED; /* that is no new sleep */
    publish(&waiter);
    assert_int_equal(bells[0].word, 7);
}

static void test_fenced_survives_parking(void **state)
{
    struct rk_waiter waiter = {.state = RK_WAITER_FENCED};
    (void)state;
    rung = 0;
    publish(&waiter);
    assert_int_equal(bells[0].word, 0);
    rk_park_announce(&waiter.state);
    assert_int_equal(flags(&waiter), RK_WAITER_FENCED | RK_WAITER_PARKED);
    rk_park_barrier();
    publish(&waiter);
    assert_int_equal(bells[0].word, 1);
    rk_park_withdraw(&waiter.state);
    assert_int_equal(flags(&waiter), RK_WAITER_FENCED);
}

/** One sleep's announcement and its end; returns whether it needed the heavy barrier. */
static bool nap(struct rk_nap *nap, struct rk_waiter *waiter)
{
    rk_nap_begin(nap);
    bool heavy = rk_nap_announce(nap, &waiter->state);
    assert_true(waiter->state & RK_WAITER_PARKED);
    rk_park_withdraw(&waiter->state);
    return heavy;
}

static void test_frequent_sleeper_fences_after_one_more_heavy_barrier(void **state)
{
    struct rk_waiter waiter = {0};
    struct rk_nap napping = {0};
    (void)state;
    for (unsigned i = 1; i < RK_NAP_PARKS_MAX; i++) {
        assert_true(nap(&napping, &waiter));
        assert_int_equal(flags(&waiter), 0);
    }
    assert_true(nap(&napping, &waiter)); /* a publisher may have looked just before FENCED was set */
    assert_int_equal(flags(&waiter), RK_WAITER_FENCED);
    for (unsigned i = 0; i < 10; i++) assert_false(nap(&napping, &waiter));
    assert_int_equal(flags(&waiter), RK_WAITER_FENCED);
    struct rk_waiter newcomer = {0}; /* another word of the same sleeper */
    assert_true(nap(&napping, &newcomer));
    assert_false(nap(&napping, &newcomer));
}

static void test_busy_sleeper_goes_back_to_the_light_barrier(void **state)
{
    struct rk_waiter waiter = {0};
    struct rk_nap napping = {0};
    (void)state;
    for (unsigned i = 0; i < RK_NAP_PARKS_MAX; i++) nap(&napping, &waiter);
    for (unsigned i = 1; i < RK_NAP_AWAKE_MAX; i++) assert_false(rk_nap_awake(&napping));
    nap(&napping, &waiter); /* not busy for long: counting starts again */
    for (unsigned i = 1; i < RK_NAP_AWAKE_MAX; i++) assert_false(rk_nap_awake(&napping));
    assert_true(rk_nap_awake(&napping));
    rk_park_lighten(&waiter.state);
    assert_int_equal(flags(&waiter), 0);
    assert_true(nap(&napping, &waiter)); /* and the next sleep needs the heavy one */
}

static void test_crowd_sleeps_on_more_words_than_one_wait_takes(void **state)
{
    enum { WORDS = 3 * RK_WAIT_WORDS_MAX + 5 };
    static struct rk_bell many[WORDS];
    static struct rk_wait_word on[WORDS];
    struct rk_crowd *crowd;
    pthread_t ringer;
    (void)state;
    if (rk_crowd_create(&crowd) != 0) {
        print_message("no crowds here: %s\n", rask_last_error());
        skip();
    }
    for (unsigned i = 0; i < WORDS; i++) on[i] = (struct rk_wait_word){&many[i].word, 0};
    assert_int_equal(rk_crowd_wait(crowd, on, WORDS, rask_now_ns() + 10 * MS), -ETIMEDOUT);
    static const unsigned at[] = {0, 127, 128, WORDS - 1};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&ringer, NULL, ring_later, &many[at[i]].word), 0);
        assert_int_equal(rk_crowd_wait(crowd, on, WORDS, rask_now_ns() + LONG_NS), 0);
        pthread_join(ringer, NULL);
        assert_int_equal(rk_crowd_wait(crowd, on, WORDS, 0), 0); /* it has changed: no sleep */
        on[at[i]].seen = many[at[i]].word;
    }
    assert_int_equal(rk_crowd_wait(crowd, on, WORDS, rask_now_ns() + 10 * MS), -ETIMEDOUT);
    rk_crowd_destroy(crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ring_wakes_the_sleeper, set_up),
        cmocka_unit_test_setup(test_any_of_many_words_wakes_the_sleeper, set_up),
        cmocka_unit_test_setup(test_changed_word_does_not_sleep, set_up),
        cmocka_unit_test_setup(test_wait_ends_at_its_deadline, set_up),
        cmocka_unit_test_setup(test_signal_interrupts, set_up),
        cmocka_unit_test_setup(test_publish_rings_only_who_is_parked, set_up),
        cmocka_unit_test_setup(test_publish_rings_once_for_each_sleep, set_up),
        cmocka_unit_test_setup(test_fenced_survives_parking, set_up),
        cmocka_unit_test(test_frequent_sleeper_fences_after_one_more_heavy_barrier),
        cmocka_unit_test(test_busy_sleeper_goes_back_to_the_light_barrier),
        cmocka_unit_test_setup(test_crowd_sleeps_on_more_words_than_one_wait_takes, set_up),
    };
    rk_membarrier_register();
    alarm(20);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
