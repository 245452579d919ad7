/* SPDX-License-Identifier: MIT */
/* The supervision table: every state x event pair against a second, differently written table, and the restart
 * arithmetic against the clock. */
#include "policy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000ull
#define S 1000000000ull
#define T0 (1000 * S)
#define DEATHS_MAX RK_DEATHS_MAX_DEFAULT
#define WINDOW_NS RK_DEATHS_WINDOW_NS_DEFAULT

/* A step with the default limit and no jitter. */
static enum rk_policy_action step(struct rk_policy *policy, enum rk_policy_event event, uint64_t now_ns,
                                  uint64_t *delay_ns)
{
    const struct rk_policy_facts facts = {.limit = {DEATHS_MAX, WINDOW_NS}, .now_ns = now_ns};
    return rk_policy_step(policy, event, &facts, delay_ns);
}

/* One column per event, in the order of enum rk_policy_event:
 *   start ready failed start-timeout bad died late timer spawn-failed drain kill
 * A cell is the next state's letter and the action's letter. States: Idle stArting Serving Draining Killed sTopped
 * Backoff. Actions: - none, + spawn, w wait, s serve, a ask, k kill, F fail the generation. A first death restarts at once. */
static const char state_letters[] = "IASDKTB";
static const char action_letters[] = "-+wsakF";

static const char *const after_trial[RK_POLICY_STATE_COUNT] = {
    [RK_WORKER_IDLE] = "A+ I- I- I- I- I- I- I- I- I- I-",    [RK_WORKER_STARTING] = "A- Ss Kk Kk Kk A+ A+ A- Bw Tk Tk",
    [RK_WORKER_SERVING] = "S- Kk Kk S- Kk A+ A+ S- S- Da Tk", [RK_WORKER_DRAINING] = "D- Tk Tk D- Tk I- I- D- D- D- Tk",
    [RK_WORKER_KILLED] = "K- K- K- K- K- A+ A+ K- K- T- T-",  [RK_WORKER_STOPPED] = "T- T- T- T- T- I- I- T- T- T- T-",
    [RK_WORKER_BACKOFF] = "B- B- B- B- B- B- B- A+ B- I- I-",
};

/* On trial nothing is started again: what would be a restart fails the generation instead. */
static const char *const on_trial[RK_POLICY_STATE_COUNT] = {
    [RK_WORKER_STARTING] = "A- Ss TF TF TF IF IF A- IF Tk Tk",
    [RK_WORKER_SERVING] = "S- Kk Kk S- Kk IF IF S- S- Da Tk",
    [RK_WORKER_KILLED] = "K- K- K- K- K- IF IF K- K- T- T-",
};

static void check_row(enum rk_policy_state state, const char *row, bool trial)
{
    for (int event = 0; event < RK_POLICY_EVENT_COUNT; event++) {
        struct rk_policy policy = {.state = state, .started_ns = T0};
        uint64_t delay_ns = UINT64_MAX;
        const struct rk_policy_facts facts = {.limit = {DEATHS_MAX, WINDOW_NS}, .on_trial = trial, .now_ns = T0 + MS};
        enum rk_policy_action action = rk_policy_step(&policy, (enum rk_policy_event)event, &facts, &delay_ns);
        char got[3] = {state_letters[policy.state], action_letters[action], '\0'};
        if (strncmp(got, row + 3 * event, 2) != 0)
            print_message("%s x %s: %s, expected %.2s\n", rk_policy_state_name(state),
                          rk_policy_event_name((enum rk_policy_event)event), got, row + 3 * event);
        assert_memory_equal(got, row + 3 * event, 2);
        assert_true((action == RK_ACT_WAIT) == (delay_ns != 0));
    }
}

static void test_every_pair_after_the_trial(void **state)
{
    (void)state;
    for (int row = 0; row < RK_POLICY_STATE_COUNT; row++) check_row((enum rk_policy_state)row, after_trial[row], false);
}

static void test_every_pair_on_trial(void **state)
{
    (void)state;
    for (int row = 0; row < RK_POLICY_STATE_COUNT; row++)
        check_row((enum rk_policy_state)row, on_trial[row] ? on_trial[row] : after_trial[row], true);
}

static void test_states_and_events_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < RK_POLICY_STATE_COUNT; i++)
        assert_true(strlen(rk_policy_state_name((enum rk_policy_state)i)) > 0);
    for (int i = 0; i < RK_POLICY_EVENT_COUNT; i++)
        assert_true(strlen(rk_policy_event_name((enum rk_policy_event)i)) > 0);
}

static void test_alive_means_a_process_exists(void **state)
{
    (void)state;
    assert_false(rk_policy_alive(RK_WORKER_IDLE));
    assert_false(rk_policy_alive(RK_WORKER_BACKOFF));
    for (int i = RK_WORKER_STARTING; i <= RK_WORKER_STOPPED; i++) assert_true(rk_policy_alive((enum rk_policy_state)i));
}

/* A worker that starts, gets ready and dies `life_ns` later. Returns the wait before its next start. */
static uint64_t live_and_die(struct rk_policy *policy, uint64_t *now_ns, uint64_t life_ns)
{
    uint64_t delay_ns;
    step(policy, RK_EVENT_READY, *now_ns, &delay_ns);
    assert_int_equal(policy->state, RK_WORKER_SERVING);
    *now_ns += life_ns;
    enum rk_policy_action action = step(policy, RK_EVENT_DIED, *now_ns, &delay_ns);
    uint64_t waited_ns = delay_ns;
    if (action == RK_ACT_WAIT) {
        assert_int_equal(policy->state, RK_WORKER_BACKOFF);
        *now_ns += delay_ns;
        assert_int_equal(step(policy, RK_EVENT_TIMER, *now_ns, &delay_ns), RK_ACT_SPAWN);
    } else {
        assert_int_equal(action, RK_ACT_SPAWN);
    }
    assert_int_equal(policy->state, RK_WORKER_STARTING);
    return waited_ns;
}

static struct rk_policy started(uint64_t now_ns)
{
    struct rk_policy policy = {0};
    uint64_t delay_ns;
    assert_int_equal(step(&policy, RK_EVENT_START, now_ns, &delay_ns), RK_ACT_SPAWN);
    return policy;
}

static void test_five_deaths_in_ten_seconds_restart_at_once(void **state)
{
    (void)state;
    uint64_t now_ns = T0;
    struct rk_policy policy = started(now_ns);
    for (unsigned i = 0; i < DEATHS_MAX; i++) assert_int_equal(live_and_die(&policy, &now_ns, MS), 0);
    assert_int_equal(live_and_die(&policy, &now_ns, MS), RK_BACKOFF_NS_MIN);
}

static void test_deaths_spread_over_time_never_wait(void **state)
{
    (void)state;
    uint64_t now_ns = T0;
    struct rk_policy policy = started(now_ns);
    for (unsigned i = 0; i < 50; i++) assert_int_equal(live_and_die(&policy, &now_ns, 2 * S + MS), 0);
}

static void test_back_off_doubles_to_its_limit(void **state)
{
    (void)state;
    uint64_t now_ns = T0, expected_ns = RK_BACKOFF_NS_MIN;
    struct rk_policy policy = started(now_ns);
    for (unsigned i = 0; i < DEATHS_MAX; i++) live_and_die(&policy, &now_ns, 0);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(live_and_die(&policy, &now_ns, MS), expected_ns);
        expected_ns = expected_ns * 2 > RK_BACKOFF_NS_MAX ? RK_BACKOFF_NS_MAX : expected_ns * 2;
    }
    assert_int_equal(expected_ns, RK_BACKOFF_NS_MAX);
}

static void test_jitter_adds_at_most_a_quarter_and_stays_within_30_s(void **state)
{
    (void)state;
    static const uint64_t backoffs_ns[] = {0, RK_BACKOFF_NS_MIN, 3 * S, RK_BACKOFF_NS_MAX};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t plain_ns = 0, last_ns = 0;
        for (uint32_t chance = 0; chance < 4; chance++) {
            struct rk_policy policy = {
                .state = RK_WORKER_STARTING, .started_ns = T0, .backoff_ns = backoffs_ns[i], .deaths_ns = {T0}};
            uint64_t delay_ns;
            const struct rk_policy_facts facts = {
                .limit = {1, WINDOW_NS}, .now_ns = T0 + MS, .chance = chance * (UINT32_MAX / 3)};
            assert_int_equal(rk_policy_step(&policy, RK_EVENT_DIED, &facts, &delay_ns), RK_ACT_WAIT);
            if (chance == 0) plain_ns = delay_ns;
            assert_true(chance == 0 || delay_ns > last_ns);
            assert_true(delay_ns >= 100 * MS && delay_ns <= 30 * S && delay_ns <= plain_ns + plain_ns / 4);
            last_ns = delay_ns;
        }
        assert_true(last_ns > plain_ns + plain_ns / 5);
    }
}

static void test_without_a_limit_restarts_never_wait(void **state)
{
    (void)state;
    struct rk_policy policy = started(T0);
    const struct rk_policy_facts facts = {.now_ns = T0 + 1};
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t delay_ns;
        assert_int_equal(rk_policy_step(&policy, RK_EVENT_READY, &facts, &delay_ns), RK_ACT_SERVE);
        assert_int_equal(rk_policy_step(&policy, RK_EVENT_DIED, &facts, &delay_ns), RK_ACT_SPAWN);
    }
}

static void test_the_limit_is_as_given(void **state)
{
    (void)state;
    static const struct rk_restart_limit limits[] = {{1, S}, {2, 60 * S}, {RK_DEATHS_MAX_LIMIT, 3600 * S}};
    for (unsigned i = 0; i < 3; i++) {
        struct rk_policy policy = started(T0);
        const struct rk_policy_facts facts = {.limit = limits[i], .now_ns = T0 + MS};
        uint64_t delay_ns;
        for (uint32_t deaths = 0; deaths < limits[i].deaths_max; deaths++)
            assert_int_equal(rk_policy_step(&policy, RK_EVENT_DIED, &facts, &delay_ns), RK_ACT_SPAWN);
        assert_int_equal(rk_policy_step(&policy, RK_EVENT_DIED, &facts, &delay_ns), RK_ACT_WAIT);
    }
}

static void test_a_life_as_long_as_the_window_clears_the_record(void **state)
{
    (void)state;
    uint64_t now_ns = T0;
    struct rk_policy policy = started(now_ns);
    for (unsigned i = 0; i < 12; i++) live_and_die(&policy, &now_ns, MS);
    assert_true(policy.backoff_ns > RK_BACKOFF_NS_MIN);
    assert_int_equal(live_and_die(&policy, &now_ns, WINDOW_NS), 0);
    for (unsigned i = 1; i < DEATHS_MAX; i++) assert_int_equal(live_and_die(&policy, &now_ns, MS), 0);
    assert_int_equal(live_and_die(&policy, &now_ns, MS), RK_BACKOFF_NS_MIN);
}

static void test_a_process_that_cannot_be_made_is_tried_again_later(void **state)
{
    (void)state;
    uint64_t delay_ns;
    struct rk_policy policy = started(T0);
    assert_int_equal(step(&policy, RK_EVENT_SPAWN_FAILED, T0, &delay_ns), RK_ACT_WAIT);
    assert_int_equal(delay_ns, RK_BACKOFF_NS_MIN);
    assert_int_equal(step(&policy, RK_EVENT_TIMER, T0 + delay_ns, &delay_ns), RK_ACT_SPAWN);
}

static void test_a_worker_killed_for_a_late_request_is_replaced_at_once_and_not_counted(void **state)
{
    (void)state;
    uint64_t delay_ns, now_ns = T0;
    struct rk_policy policy = started(T0);
    for (int i = 0; i < 20; i++) {
        step(&policy, RK_EVENT_READY, ++now_ns, &delay_ns);
        assert_int_equal(step(&policy, RK_EVENT_LATE, ++now_ns, &delay_ns), RK_ACT_SPAWN);
    }
}

static void test_a_killed_worker_is_replaced_and_counts_as_a_death(void **state)
{
    (void)state;
    uint64_t now_ns = T0, delay_ns;
    struct rk_policy policy = started(now_ns);
    for (unsigned i = 0; i <= DEATHS_MAX; i++) {
        step(&policy, RK_EVENT_READY, now_ns, &delay_ns);
        assert_int_equal(step(&policy, RK_EVENT_BAD, now_ns, &delay_ns), RK_ACT_KILL);
        enum rk_policy_action action = step(&policy, RK_EVENT_DIED, ++now_ns, &delay_ns);
        assert_int_equal(action, i < DEATHS_MAX ? RK_ACT_SPAWN : RK_ACT_WAIT);
    }
}

static void test_a_drained_worker_stays_down(void **state)
{
    (void)state;
    uint64_t delay_ns;
    struct rk_policy policy = started(T0);
    step(&policy, RK_EVENT_READY, T0, &delay_ns);
    assert_int_equal(step(&policy, RK_EVENT_DRAIN, T0, &delay_ns), RK_ACT_ASK);
    assert_int_equal(step(&policy, RK_EVENT_DIED, T0, &delay_ns), RK_ACT_NONE);
    assert_int_equal(policy.state, RK_WORKER_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair_after_the_trial),
        cmocka_unit_test(test_every_pair_on_trial),
        cmocka_unit_test(test_states_and_events_have_names),
        cmocka_unit_test(test_alive_means_a_process_exists),
        cmocka_unit_test(test_five_deaths_in_ten_seconds_restart_at_once),
        cmocka_unit_test(test_deaths_spread_over_time_never_wait),
        cmocka_unit_test(test_back_off_doubles_to_its_limit),
        cmocka_unit_test(test_jitter_adds_at_most_a_quarter_and_stays_within_30_s),
        cmocka_unit_test(test_without_a_limit_restarts_never_wait),
        cmocka_unit_test(test_the_limit_is_as_given),
        cmocka_unit_test(test_a_life_as_long_as_the_window_clears_the_record),
        cmocka_unit_test(test_a_process_that_cannot_be_made_is_tried_again_later),
        cmocka_unit_test(test_a_worker_killed_for_a_late_request_is_replaced_at_once_and_not_counted),
        cmocka_unit_test(test_a_killed_worker_is_replaced_and_counts_as_a_death),
        cmocka_unit_test(test_a_drained_worker_stays_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
