/* SPDX-License-Identifier: MIT */
/* The supervisor's outgoing messages: order, acknowledgement, full sockets, cut-off, and who is woken. The other end of
 * the socket is read by hand. */
#include "control.h"
#include "peer.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"

#define MS 1000000u

struct fixture {
    struct rk_reactor *reactor;
    struct rk_timer timer;
    struct rk_peer peer;
    int theirs;
    uint32_t word;
    uint32_t bell;
    unsigned readable;
    unsigned drained;
};

static union rk_any_message in;
static int fds[RK_MESSAGE_FDS_MAX];
static unsigned fd_count;

static void on_readable(void *user)
{
    struct fixture *f = user;
    f->readable++;
    rk_reactor_unwatch(f->reactor, f->peer.socket); /* one look is enough */
}

static void on_drained(void *user)
{
    struct fixture *f = user;
    f->drained++;
}

static const struct rk_peer_calls calls = {.readable = on_readable, .drained = on_drained};

static int set_up(void **state)
{
    int pair[2];
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -1;
    if (rk_reactor_create(&f->reactor, RK_ENGINE_CLASSIC, NULL, 0) < 0) return -1;
    f->peer = (struct rk_peer)RK_PEER_INIT;
    f->peer.queued_max = 4096;
    f->peer.unacked_max = 1;
    if (rk_peer_open(&f->peer, f->reactor, pair[0], &calls, f) < 0) return -1;
    f->theirs = pair[1];
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    rk_peer_close(&f->peer);
    rk_peer_close(&f->peer); /* harmless */
    rk_reactor_destroy(f->reactor);
    close(f->theirs);
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
    rk_timer_start(f->reactor, &f->timer, rk_deadline_after(ns), stop, f);
    assert_int_equal(rk_reactor_run(f->reactor), 0);
}

/* Messages are told apart by their session. */
static void send_session(struct fixture *f, uint32_t session, struct rk_fd *fd)
{
    struct rk_message_session with_fds = {.session = session};
    struct rk_message_session_id without = {.session = session};
    rk_message_init(&with_fds.head, RK_SESSION, sizeof(with_fds));
    rk_message_init(&without.head, RK_SESSION_CLOSE, sizeof(without));
    rk_peer_send(&f->peer, fd ? (void *)&with_fds : (void *)&without, session, fd, fd);
}

/* Session of the next message, 0 if there is none. */
static uint32_t receive(struct fixture *f)
{
    int result = rk_control_receive(f->theirs, &in, fds, &fd_count);
    if (result == -EAGAIN) return 0;
    assert_int_equal(result, 0);
    for (unsigned i = 0; i < fd_count; i++) close(fds[i]);
    return in.head.type == RK_SESSION ? in.session.session : in.session_id.session;
}

static struct rk_fd *some_fd(void)
{
    struct rk_fd *fd = rk_fd_create(open("/dev/null", O_RDONLY | O_CLOEXEC));
    assert_non_null(fd);
    return fd;
}

static void test_shared_descriptor_closes_with_its_last_user(void **state)
{
    (void)state;
    struct rk_fd *fd = some_fd();
    int number = fd->fd;
    rk_fd_drop(rk_fd_use(fd));
    assert_true(fcntl(number, F_GETFD) >= 0);
    rk_fd_drop(fd);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    rk_fd_drop(NULL);
}

static void test_message_goes_at_once_and_wakes(void **state)
{
    struct fixture *f = *state;
    f->peer.word = &f->word;
    f->peer.bell = &f->bell;
    send_session(f, 7, NULL);
    assert_int_equal(f->word, 1);
    assert_int_equal(f->bell, 1);
    assert_int_equal(receive(f), 7);
    assert_int_equal(f->peer.queued, 0);
}

static void test_party_that_sleeps_on_its_word_is_rung_there_once(void **state)
{
    struct fixture *f = *state;
    f->peer.word = f->peer.bell = &f->word;
    send_session(f, 7, NULL);
    assert_int_equal(f->word, 1);
}

static void test_descriptor_messages_wait_for_the_acknowledgement(void **state)
{
    struct fixture *f = *state;
    struct rk_fd *fd = some_fd();
    send_session(f, 1, fd);
    send_session(f, 2, NULL); /* carries none, so it may pass */
    send_session(f, 3, fd);
    send_session(f, 4, NULL); /* order is kept behind 3 */
    assert_int_equal(receive(f), 1);
    assert_int_equal(receive(f), 2);
    assert_int_equal(receive(f), 0);
    assert_int_equal(rk_peer_acknowledged(&f->peer), 0);
    assert_int_equal(receive(f), 3);
    assert_int_equal(receive(f), 4);
    assert_int_equal(f->drained, 1);
    rk_fd_drop(fd);
}

static void test_acknowledgement_of_nothing_is_refused(void **state)
{
    struct fixture *f = *state;
    struct rk_fd *fd = some_fd();
    assert_int_equal(rk_peer_acknowledged(&f->peer), -EPROTO);
    send_session(f, 1, fd);
    assert_int_equal(rk_peer_acknowledged(&f->peer), 0);
    assert_int_equal(rk_peer_acknowledged(&f->peer), -EPROTO);
    rk_fd_drop(fd);
}

static void test_full_socket_loses_nothing_and_keeps_the_order(void **state)
{
    struct fixture *f = *state;
    uint32_t sent = 0, expected = 1;
    while (f->peer.queued < 10) send_session(f, ++sent, NULL);
    run_for(f, 5 * MS); /* still full: no busy loop, no loss */
    assert_int_equal(f->peer.queued, 10);
    for (uint32_t session; (session = receive(f)) != 0; expected++) assert_int_equal(session, expected);
    run_for(f, 20 * MS); /* room again */
    assert_int_equal(f->peer.queued, 0);
    assert_int_equal(f->drained, 1);
    for (uint32_t session; (session = receive(f)) != 0; expected++) assert_int_equal(session, expected);
    assert_int_equal(expected, sent + 1);
}

static void test_overflow_cuts_the_party_off(void **state)
{
    struct fixture *f = *state;
    struct rk_fd *fd = some_fd();
    f->peer.queued_max = 8;
    send_session(f, 1, fd);
    for (uint32_t i = 0; i < 9; i++) send_session(f, 2 + i, fd); /* never acknowledged */
    assert_true(f->peer.cut_off);
    assert_int_equal(f->peer.queued, 0);
    assert_int_equal(fd->uses, 1);
    run_for(f, 5 * MS);
    assert_int_equal(f->readable, 1); /* its owner is told where it reads */
    assert_int_equal(receive(f), 1);
    assert_int_equal(rk_control_receive(f->theirs, &in, fds, &fd_count), -ECONNRESET);
    send_session(f, 99, NULL); /* harmless */
    rk_fd_drop(fd);
}

static void test_party_that_left_is_noticed_where_it_is_read(void **state)
{
    struct fixture *f = *state;
    shutdown(f->theirs, SHUT_RDWR);
    send_session(f, 1, NULL);
    run_for(f, 5 * MS);
    assert_int_equal(f->readable, 1);
}

static void test_forgotten_session_leaves_the_queue(void **state)
{
    struct fixture *f = *state;
    struct rk_fd *fd = some_fd();
    send_session(f, 1, fd);
    send_session(f, 2, fd);
    send_session(f, 3, fd);
    send_session(f, 2, NULL);
    assert_false(rk_peer_forget(&f->peer, 1)); /* it has gone out */
    assert_true(rk_peer_forget(&f->peer, 2));
    assert_int_equal(f->peer.queued, 1);
    assert_false(rk_peer_forget(&f->peer, 2));
    send_session(f, 4, NULL);
    assert_int_equal(receive(f), 1);
    assert_int_equal(rk_peer_acknowledged(&f->peer), 0);
    assert_int_equal(receive(f), 3);
    assert_int_equal(receive(f), 4);
    assert_int_equal(fd->uses, 1);
    rk_fd_drop(fd);
}

static void send_latest(struct fixture *f, uint64_t serving)
{
    struct rk_message_workers message = {.count = 1, .serving = {serving}};
    rk_message_init(&message.head, RK_WORKERS, sizeof(message));
    rk_peer_send_latest(&f->peer, &message);
}

static uint64_t receive_workers(struct fixture *f)
{
    assert_int_equal(rk_control_receive(f->theirs, &in, fds, &fd_count), 0);
    assert_int_equal(in.head.type, RK_WORKERS);
    return in.workers.serving[0];
}

/* What was queued behind one stays behind one that says the same or more. */
static void test_repeated_message_is_replaced_only_at_the_end_of_the_queue(void **state)
{
    struct fixture *f = *state;
    struct rk_fd *fd = some_fd();
    send_latest(f, 1);
    assert_int_equal(receive_workers(f), 1); /* nothing waits: it goes at once */
    send_session(f, 1, fd);
    send_session(f, 2, fd); /* waits for an ACK that does not come */
    for (uint64_t i = 2; i < 100; i++) send_latest(f, i);
    assert_int_equal(f->peer.queued, 2);
    send_session(f, 3, NULL);
    for (uint64_t i = 100; i < 200; i++) send_latest(f, i);
    assert_int_equal(f->peer.queued, 4);
    assert_int_equal(receive(f), 1);
    assert_int_equal(rk_peer_acknowledged(&f->peer), 0);
    assert_int_equal(receive(f), 2);
    assert_int_equal(receive_workers(f), 99);
    assert_int_equal(receive(f), 3);
    assert_int_equal(receive_workers(f), 199);
    rk_fd_drop(fd);
}

static void test_closing_drops_what_is_queued(void **state)
{
    struct fixture *f = *state;
    struct rk_fd *fd = some_fd();
    send_session(f, 1, fd);
    send_session(f, 2, fd);
    assert_int_equal(fd->uses, 3);
    rk_peer_close(&f->peer);
    assert_int_equal(fd->uses, 1);
    rk_fd_drop(fd);
}

int main(void)
{
#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_descriptor_closes_with_its_last_user),
        WITH_PEER(test_message_goes_at_once_and_wakes),
        WITH_PEER(test_party_that_sleeps_on_its_word_is_rung_there_once),
        WITH_PEER(test_descriptor_messages_wait_for_the_acknowledgement),
        WITH_PEER(test_acknowledgement_of_nothing_is_refused),
        WITH_PEER(test_full_socket_loses_nothing_and_keeps_the_order),
        WITH_PEER(test_overflow_cuts_the_party_off),
        WITH_PEER(test_party_that_left_is_noticed_where_it_is_read),
        WITH_PEER(test_forgotten_session_leaves_the_queue),
        WITH_PEER(test_repeated_message_is_replaced_only_at_the_end_of_the_queue),
        WITH_PEER(test_closing_drops_what_is_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
