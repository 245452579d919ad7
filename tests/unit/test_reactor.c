/* SPDX-License-Identifier: MIT */
/* The event loop: every test runs on both engines. The uring half is skipped, saying so, where io_uring is not allowed. */
#include "clock.h"
#include "reactor.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MS 1000000u

struct fixture {
    struct rk_reactor *reactor;
    struct rk_timer stop_timer;
    int fd; /* an eventfd */
    int other;
    uint32_t events;
    unsigned calls;
    unsigned other_calls;
    unsigned limit;
};

static enum rk_engine engine;

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f) return -1;
    f->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    f->other = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *state = f;
    return rk_reactor_create(&f->reactor, engine, NULL, 0);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rk_reactor_destroy(f->reactor);
    close(f->fd);
    close(f->other);
    free(f);
    return 0;
}

static void stop(void *user)
{
    struct fixture *f = user;
    rk_reactor_stop(f->reactor);
}

static void run_for(struct fixture *f, uint64_t ns)
{
    rk_timer_start(f->reactor, &f->stop_timer, rk_deadline_after(ns), stop, f);
    assert_int_equal(rk_reactor_run(f->reactor), 0);
    rk_timer_stop(f->reactor, &f->stop_timer);
}

static void count_call(void *user, int fd, uint32_t events)
{
    struct fixture *f = user;
    if (fd == f->other) {
        f->other_calls++;
        return;
    }
    f->events = events;
    if (++f->calls >= f->limit) rk_reactor_stop(f->reactor);
}

static void test_reactor_reports_the_engine_it_was_asked_for(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(rk_reactor_engine(f->reactor), engine);
}

static void test_reactor_delivers_readiness(void **state)
{
    struct fixture *f = *state;
    f->limit = 1;
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    assert_int_equal(eventfd_write(f->fd, 1), 0);
    run_for(f, 2000 * MS);
    assert_int_equal(f->calls, 1);
    assert_int_equal(f->events, POLLIN);
}

static void test_reactor_is_silent_while_nothing_is_ready(void **state)
{
    struct fixture *f = *state;
    f->limit = 1;
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    run_for(f, 20 * MS);
    assert_int_equal(f->calls, 0);
}

static void test_reactor_repeats_while_a_descriptor_stays_ready(void **state)
{
    struct fixture *f = *state;
    f->limit = 100;
    assert_int_equal(eventfd_write(f->fd, 1), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    run_for(f, 2000 * MS);
    assert_int_equal(f->calls, 100);
}

static void test_reactor_serves_two_ready_descriptors_in_turn(void **state)
{
    struct fixture *f = *state;
    f->limit = 50;
    assert_int_equal(eventfd_write(f->fd, 1), 0);
    assert_int_equal(eventfd_write(f->other, 1), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, f->other, POLLIN, count_call, f), 0);
    run_for(f, 2000 * MS);
    assert_in_range(f->other_calls, 40, 60);
}

static void test_reactor_reports_hang_up_without_being_asked(void **state)
{
    struct fixture *f = *state;
    int pair[2];
    f->limit = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, pair[0], 0, count_call, f), 0);
    close(pair[1]);
    run_for(f, 2000 * MS);
    assert_int_equal(f->calls, 1);
    assert_true(f->events & POLLHUP);
    rk_reactor_unwatch(f->reactor, pair[0]);
    close(pair[0]);
}

static void test_reactor_watches_a_descriptor_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), -EEXIST);
    assert_int_equal(rk_reactor_change(f->reactor, f->other, POLLIN), -ENOENT);
    rk_reactor_unwatch(f->reactor, f->other); /* harmless */
}

static void test_reactor_change_takes_effect_both_ways(void **state)
{
    struct fixture *f = *state;
    f->limit = 1;
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    run_for(f, 5 * MS);
    assert_int_equal(f->calls, 0);
    assert_int_equal(rk_reactor_change(f->reactor, f->fd, POLLIN | POLLOUT), 0);
    run_for(f, 2000 * MS);
    assert_int_equal(f->calls, 1);
    assert_int_equal(f->events, POLLOUT);
    assert_int_equal(rk_reactor_change(f->reactor, f->fd, POLLIN), 0);
    run_for(f, 5 * MS);
    assert_int_equal(f->calls, 1);
}

static void test_reactor_unwatched_descriptor_is_never_called(void **state)
{
    struct fixture *f = *state;
    f->limit = 1;
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    run_for(f, 2 * MS); /* armed in the kernel by now */
    assert_int_equal(eventfd_write(f->fd, 1), 0);
    rk_reactor_unwatch(f->reactor, f->fd);
    run_for(f, 10 * MS);
    assert_int_equal(f->calls, 0);
}

/* Both descriptors are ready in one round: whoever comes first replaces the other one by a fresh, silent descriptor of
 * the same number. */
static void replace_other(void *user, int fd, uint32_t events)
{
    struct fixture *f = user;
    (void)events;
    f->calls++;
    int victim = fd == f->fd ? f->other : f->fd;
    rk_reactor_unwatch(f->reactor, victim);
    int silent = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(dup3(silent, victim, O_CLOEXEC), victim);
    close(silent);
    assert_int_equal(rk_reactor_watch(f->reactor, victim, POLLIN, count_call, f), 0);
    rk_reactor_unwatch(f->reactor, fd);
}

static void test_reactor_keeps_old_events_from_a_reused_number(void **state)
{
    struct fixture *f = *state;
    f->limit = 1;
    assert_int_equal(eventfd_write(f->fd, 1), 0);
    assert_int_equal(eventfd_write(f->other, 1), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, replace_other, f), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, f->other, POLLIN, replace_other, f), 0);
    run_for(f, 20 * MS);
    assert_int_equal(f->calls, 1);
    assert_int_equal(f->other_calls, 0);
}

static void test_reactor_lets_go_of_an_unwatched_socket(void **state)
{
    struct fixture *f = *state;
    int pair[2];
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, pair[0], POLLIN, count_call, f), 0);
    run_for(f, 2 * MS);
    rk_reactor_unwatch(f->reactor, pair[0]);
    close(pair[0]);
    run_for(f, 2 * MS);
    assert_int_equal(read(pair[1], &byte, 1), 0); /* the end, not -EAGAIN: no engine still holds it */
    close(pair[1]);
}

static void test_reactor_copes_with_many_descriptors(void **state)
{
    enum { COUNT = 700 }; /* more than the ring has entries and a round has events */
    struct fixture *f = *state;
    int *fds = calloc(COUNT, sizeof(int));
    assert_non_null(fds);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        assert_true(fds[i] >= 0);
        assert_int_equal(rk_reactor_watch(f->reactor, fds[i], POLLIN, count_call, f), 0);
    }
    f->limit = 3 * COUNT;
    run_for(f, 5000 * MS);
    assert_int_equal(f->calls, 3 * COUNT);
    for (int i = 0; i < COUNT; i++) {
        rk_reactor_unwatch(f->reactor, fds[i]);
        close(fds[i]);
    }
    free(fds);
}

static char order[8]; /* timers note in which order they fire */

static void note(const char *letter)
{
    if (strlen(order) + 1 < sizeof(order)) strcat(order, letter);
}
static void fire_a(void *user)
{
    note("a");
    (void)user;
}
static void fire_b(void *user)
{
    note("b");
    (void)user;
}
static void fire_c(void *user)
{
    note("c");
    stop(user);
}

static void test_timers_fire_by_deadline_and_not_early(void **state)
{
    struct fixture *f = *state;
    struct rk_timer a = {0}, b = {0}, c = {0};
    uint64_t start_ns = rask_now_ns();
    order[0] = '\0';
    rk_timer_start(f->reactor, &c, start_ns + 30 * MS, fire_c, f);
    rk_timer_start(f->reactor, &a, start_ns + 10 * MS, fire_a, f);
    rk_timer_start(f->reactor, &b, start_ns + 20 * MS, fire_b, f);
    assert_int_equal(rk_reactor_run(f->reactor), 0);
    assert_string_equal(order, "abc");
    assert_true(rask_now_ns() - start_ns >= 30 * MS);
    assert_int_equal(a.armed, 0);
}

static void test_timer_stopped_never_fires_and_restart_moves_it(void **state)
{
    struct fixture *f = *state;
    struct rk_timer a = {0}, b = {0}, c = {0};
    uint64_t start_ns = rask_now_ns();
    order[0] = '\0';
    rk_timer_start(f->reactor, &a, start_ns + 5 * MS, fire_a, f);
    rk_timer_start(f->reactor, &b, start_ns + 1 * MS, fire_b, f);
    rk_timer_start(f->reactor, &c, start_ns + 20 * MS, fire_c, f);
    rk_timer_stop(f->reactor, &a);
    rk_timer_stop(f->reactor, &a); /* harmless */
    rk_timer_start(f->reactor, &b, start_ns + 10 * MS, fire_b, f);
    assert_int_equal(rk_reactor_run(f->reactor), 0);
    assert_string_equal(order, "bc");
}

static struct rk_timer eager;

static void fire_again_at_once(void *user)
{
    struct fixture *f = user;
    f->other_calls++;
    rk_timer_start(f->reactor, &eager, 0, fire_again_at_once, f);
}

static void test_eager_timer_does_not_lock_out_descriptors(void **state)
{
    struct fixture *f = *state;
    f->limit = 3;
    assert_int_equal(eventfd_write(f->fd, 1), 0);
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    rk_timer_start(f->reactor, &eager, 0, fire_again_at_once, f);
    assert_int_equal(rk_reactor_run(f->reactor), 0);
    assert_int_equal(f->calls, 3);
    assert_true(f->other_calls > 0);
    rk_timer_stop(f->reactor, &eager);
}

static void test_reactor_stop_before_run_is_not_lost(void **state)
{
    struct fixture *f = *state;
    rk_reactor_stop(f->reactor);
    assert_int_equal(rk_reactor_run(f->reactor), 0);
}

/* The child forgets the loop; the parent's must go on as if nothing had been. */
static void test_reactor_survives_a_forked_child_that_forgets(void **state)
{
    struct fixture *f = *state;
    f->limit = 1;
    assert_int_equal(rk_reactor_watch(f->reactor, f->fd, POLLIN, count_call, f), 0);
    run_for(f, 2 * MS);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        rk_reactor_forget(f->reactor);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(eventfd_write(f->fd, 1), 0);
    run_for(f, 2000 * MS);
    assert_int_equal(f->calls, 1);
}

static int run_engine(enum rk_engine which)
{
#define ON_ENGINE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ON_ENGINE(test_reactor_reports_the_engine_it_was_asked_for),
        ON_ENGINE(test_reactor_delivers_readiness),
        ON_ENGINE(test_reactor_is_silent_while_nothing_is_ready),
        ON_ENGINE(test_reactor_repeats_while_a_descriptor_stays_ready),
        ON_ENGINE(test_reactor_serves_two_ready_descriptors_in_turn),
        ON_ENGINE(test_reactor_reports_hang_up_without_being_asked),
        ON_ENGINE(test_reactor_watches_a_descriptor_once),
        ON_ENGINE(test_reactor_change_takes_effect_both_ways),
        ON_ENGINE(test_reactor_unwatched_descriptor_is_never_called),
        ON_ENGINE(test_reactor_keeps_old_events_from_a_reused_number),
        ON_ENGINE(test_reactor_lets_go_of_an_unwatched_socket),
        ON_ENGINE(test_reactor_copes_with_many_descriptors),
        ON_ENGINE(test_timers_fire_by_deadline_and_not_early),
        ON_ENGINE(test_timer_stopped_never_fires_and_restart_moves_it),
        ON_ENGINE(test_eager_timer_does_not_lock_out_descriptors),
        ON_ENGINE(test_reactor_stop_before_run_is_not_lost),
        ON_ENGINE(test_reactor_survives_a_forked_child_that_forgets),
    };
    engine = which;
    return cmocka_run_group_tests_name(rk_engine_name(which), tests, NULL, NULL);
}

int main(void)
{
    struct rk_uring_probe probe;
    unsetenv("RASK_ENGINE");
    int failures = run_engine(RK_ENGINE_CLASSIC);
    rk_uring_probe(&probe);
    if (probe.available == 0)
        failures += run_engine(RK_ENGINE_URING);
    else
        fprintf(stderr, "uring engine not tested, io_uring is not available: %s\n", strerror(-probe.available));
    return failures != 0;
}
