/* SPDX-License-Identifier: MIT */
/* Sleeping and waking on bells: returns on a ring, on a change, on time-out, on a signal; one word or many. */
#include "bell.h"
#include "clock.h"
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

static void test_publish_rings_only_who_is_parked(void **state)
{
    struct rk_waiter waiter = {0};
    (void)state;
    rk_publish(&waiter.state, &bells[0].word);
    assert_int_equal(bells[0].word, 0);
    rk_park_announce(&waiter.state);
    rk_publish(&waiter.state, &bells[0].word);
    assert_int_equal(bells[0].word, 1);
    rk_park_withdraw(&waiter.state);
    rk_publish(&waiter.state, &bells[0].word);
    assert_int_equal(bells[0].word, 1);
}

static void test_fenced_survives_parking(void **state)
{
    struct rk_waiter waiter = {.state = RK_WAITER_FENCED};
    (void)state;
    rk_publish(&waiter.state, &bells[0].word);
    assert_int_equal(bells[0].word, 0);
    rk_park_announce(&waiter.state);
    assert_int_equal(waiter.state, RK_WAITER_FENCED | RK_WAITER_PARKED);
    rk_park_barrier();
    rk_publish(&waiter.state, &bells[0].word);
    assert_int_equal(bells[0].word, 1);
    rk_park_withdraw(&waiter.state);
    assert_int_equal(waiter.state, RK_WAITER_FENCED);
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
        cmocka_unit_test_setup(test_fenced_survives_parking, set_up),
    };
    rk_membarrier_register();
    alarm(20);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
