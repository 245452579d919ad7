/* SPDX-License-Identifier: MIT */
/* What happens to a wait from outside: either side is stopped and goes on later, signals arrive, a party dies. The other waits,
 * uses no processor time, and goes on or is told at once. */
#include "clock.h"
#include "kit.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STOPPED_MS 1500u
#define USED_NS_MAX (40 * KIT_MS) /* 30 looks at the socket and at pidfds, on a busy machine */
#define TOLD_NS_MAX (20 * KIT_MS)

static struct kit_server server;

static pid_t worker_of(const struct kit_server *of)
{
    pid_t pid = 0;
    assert_int_equal(kit_workers(of->pid, &pid, 1), 1);
    return pid;
}

struct waker {
    pid_t pid;
    unsigned after_ms;
    int signal;
    pthread_t thread; /* instead of a process, if `to_thread` */
    bool to_thread;
    uint64_t sent_ns;
};

static void *send_later(void *user)
{
    struct waker *waker = user;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are for the thread that waits */
    kit_pause_ms(waker->after_ms);
    waker->sent_ns = rask_now_ns();
    if (waker->to_thread)
        pthread_kill(waker->thread, waker->signal);
    else
        kill(waker->pid, waker->signal);
    return NULL;
}

static void send_signal_later(pthread_t *thread, struct waker *waker)
{
    assert_int_equal(pthread_create(thread, NULL, send_later, waker), 0);
}

static void call_ok(struct rask *s)
{
    struct rask_completion completion;
    assert_int_equal(rask_call(s, 0, "1", 1, 0, &completion), 0);
    rask_release(s, &completion);
}

static uint64_t own_cpu_ns(void)
{
    return kit_cpu_ns(getpid());
}

/** A party is stopped while the client waits for an answer that needs it. */
static void stop_and_go_on(pid_t pid)
{
    pthread_t thread;
    struct rask *s = kit_connect(&server, NULL);
    call_ok(s);
    kill(pid, SIGSTOP);
    struct waker waker = {.pid = pid, .after_ms = STOPPED_MS, .signal = SIGCONT};
    send_signal_later(&thread, &waker);
    uint64_t before_ns = own_cpu_ns();
    call_ok(s);
    uint64_t used_ns = own_cpu_ns() - before_ns;
    pthread_join(thread, NULL);
    print_message("waited %u ms for a stopped party with %.2f ms of processor time\n", STOPPED_MS,
                  (double)used_ns / 1e6);
    assert_true(used_ns < USED_NS_MAX);
    call_ok(s);
    struct rask_info info = {.size = sizeof(info)};
    rask_info(s, &info);
    assert_int_equal(info.rescues, 0);
    rask_close(s);
}

static void test_stopped_worker_is_waited_for(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", NULL);
    stop_and_go_on(worker_of(&server));
    kit_stop(&server);
}

static void test_stopped_supervisor_disturbs_no_call(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", NULL);
    struct rask *s = kit_connect(&server, NULL);
    call_ok(s);
    kill(server.pid, SIGSTOP);
    for (unsigned i = 0; i < 50; i++) call_ok(s);
    kill(server.pid, SIGCONT);
    call_ok(s);
    rask_close(s);
    kit_stop(&server);
}

/** The other way round: a client stops with answers unread; the worker sleeps and serves others meanwhile. */
static void test_stopped_client_costs_the_worker_nothing(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", NULL);
    pid_t client = kit_fork();
    if (client == 0) {
        struct rask *s;
        struct rask_completion completion;
        if (rask_connect(&s, server.socket, NULL) != 0) _exit(1);
        for (unsigned i = 0; i < 300; i++) {
            if (rask_call(s, 0, "5", 1, 0, &completion) != 0) _exit(2);
            rask_release(s, &completion);
        }
        rask_close(s);
        _exit(0);
    }
    kit_pause_ms(300);
    kill(client, SIGSTOP);
    kit_pause_ms(100);
    pid_t worker = worker_of(&server);
    uint64_t before_ns = kit_cpu_ns(worker);
    kit_pause_ms(STOPPED_MS);
    assert_true(kit_cpu_ns(worker) - before_ns < USED_NS_MAX);
    struct rask *other = kit_connect(&server, NULL);
    call_ok(other);
    rask_close(other);
    kill(client, SIGCONT);
    assert_int_equal(kit_wait(client, 20000), 0);
    kit_stop(&server);
}

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
    (void)number;
    handled++;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    handled = 0;
}

/** Submit a request that takes 600 ms, with a signal after 225 ms. */
static struct rask *begin(uint32_t flags, uint64_t *ticket, struct waker *waker, pthread_t *thread)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    struct rask_request request;
    options.flags = flags;
    options.wait_mode = RASK_WAIT_PARK;
    struct rask *s = kit_connect(&server, &options);
    call_ok(s);
    assert_int_equal(rask_reserve(s, 3, &request), 0);
    memcpy(request.data, "600", 3);
    assert_int_equal(rask_submit(s, &request, 0, 3, NULL), 0);
    *ticket = request.ticket;
    *waker = (struct waker){.after_ms = 225,
                            .signal = SIGUSR1, /* between two looks at the socket */
                            .thread = pthread_self(),
                            .to_thread = true};
    send_signal_later(thread, waker);
    return s;
}

static void test_signals_are_invisible_by_default(void **state)
{
    (void)state;
    pthread_t thread;
    struct waker waker;
    struct rask_completion completion;
    uint64_t ticket;
    catch_signals();
    kit_start(&server, "--plugin", "sleep", NULL);
    struct rask *s = begin(0, &ticket, &waker, &thread);
    assert_int_equal(rask_wait(s, ticket, 0, &completion), 0);
    pthread_join(thread, NULL);
    assert_int_equal(handled, 1);
    rask_release(s, &completion);
    rask_close(s);
    kit_stop(&server);
}

static void test_signals_interrupt_who_asked_for_it(void **state)
{
    (void)state;
    pthread_t thread;
    struct waker waker;
    struct rask_completion completion;
    uint64_t ticket;
    catch_signals();
    kit_start(&server, "--plugin", "sleep", NULL);
    for (unsigned any = 0; any < 2; any++) {
        struct rask *s = begin(RASK_OPTION_INTERRUPTIBLE, &ticket, &waker, &thread);
        assert_int_equal(any ? rask_wait_any(s, &completion, 1, 0) : rask_wait(s, ticket, 0, &completion), -EINTR);
        pthread_join(thread, NULL);
        assert_true(rask_now_ns() - waker.sent_ns < 300 * KIT_MS);
        assert_int_equal(rask_pending(s), 1); /* it goes on */
        assert_int_equal(any ? rask_wait_any(s, &completion, 1, 0) : rask_wait(s, ticket, 0, &completion), (int)any);
        assert_int_equal(completion.status, RASK_OK);
        rask_release(s, &completion);
        waker.after_ms = 100;
        send_signal_later(&thread, &waker);
        assert_int_equal(rask_call(s, 0, "300", 3, 0, &completion), 0); /* a call is not interrupted */
        pthread_join(thread, NULL);
        rask_release(s, &completion);
        rask_close(s);
    }
    assert_int_equal(handled, 4);
    kit_stop(&server);
}

static void test_unknown_flags_are_refused(void **state)
{
    (void)state;
    struct rask *s;
    struct rask_options options = RASK_OPTIONS_INIT;
    options.flags = 2;
    assert_int_equal(rask_connect(&s, "/nowhere", &options), -EINVAL);
    assert_non_null(strstr(rask_last_error(), "0x2"));
}

/** The supervisor's kick: a client that sleeps hears of its worker's death at once, not at its next look. */
static void test_sleeping_client_hears_of_a_death_at_once(void **state)
{
    (void)state;
    uint64_t best_ns = UINT64_MAX;
    struct rask_options options = RASK_OPTIONS_INIT;
    options.wait_mode = RASK_WAIT_PARK;
    kit_start(&server, "--plugin", "sleep", NULL);
    struct rask *s = kit_connect(&server, &options);
    for (unsigned i = 0; i < 5 && best_ns > TOLD_NS_MAX; i++) {
        pthread_t thread;
        struct rask_completion completion;
        call_ok(s);
        struct waker waker = {.pid = worker_of(&server), .after_ms = 60 + 7 * i, .signal = SIGKILL};
        send_signal_later(&thread, &waker);
        rask_call(s, 0, "10000", 5, 0, &completion);
        uint64_t told_ns = rask_now_ns() - waker.sent_ns;
        assert_int_equal(completion.status, RASK_CRASHED);
        rask_release(s, &completion);
        pthread_join(thread, NULL);
        if (told_ns < best_ns) best_ns = told_ns;
        kit_wait_children(server.pid, 1);
    }
    print_message("told after %.2f ms\n", (double)best_ns / 1e6);
    assert_true(best_ns < TOLD_NS_MAX);
    rask_close(s);
    kit_stop(&server);
}

/** A sleeping worker lets go of a killed client's memory at once: the supervisor rings it. */
static void test_sleeping_worker_hears_of_a_death_at_once(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "sleep", "--wait", "park", NULL);
    pid_t client = kit_fork();
    if (client == 0) {
        struct rask *s;
        struct rask_completion completion;
        if (rask_connect(&s, server.socket, NULL) != 0 || rask_call(s, 0, "1", 1, 0, &completion) != 0) _exit(1);
        kill(getpid(), SIGSTOP);
        _exit(0);
    }
    pid_t worker = worker_of(&server);
    unsigned with = 0;
    for (unsigned i = 0; i < 500 && with < 5; i++, kit_pause_ms(10)) with = kit_mappings(worker);
    kit_pause_ms(100);
    with = kit_mappings(worker);
    uint64_t start_ns = rask_now_ns();
    kill(client, SIGKILL);
    while (kit_mappings(worker) >= with && rask_now_ns() - start_ns < 1500 * KIT_MS) kit_pause_ms(1);
    uint64_t took_ns = rask_now_ns() - start_ns;
    print_message("let go after %.1f ms\n", (double)took_ns / 1e6);
    assert_true(took_ns < 500 * KIT_MS); /* its own time-out would come after seconds */
    kit_wait(client, 1000);
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_stopped_worker_is_waited_for),
        KIT_TEST(test_stopped_supervisor_disturbs_no_call),
        KIT_TEST(test_stopped_client_costs_the_worker_nothing),
        KIT_TEST(test_signals_are_invisible_by_default),
        KIT_TEST(test_signals_interrupt_who_asked_for_it),
        KIT_TEST(test_unknown_flags_are_refused),
        KIT_TEST(test_sleeping_client_hears_of_a_death_at_once),
        KIT_TEST(test_sleeping_worker_hears_of_a_death_at_once),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
