/* SPDX-License-Identifier: MIT */
/* The classic engine of rask_fd(): a futex cannot be polled, so a thread waits for it and writes an eventfd.
 *
 * `armed` and the write change together under the lock, and the session drains the eventfd before it arms: so whenever
 * `armed` is false after an arming, the eventfd has been written since. A helper that still waits from an earlier arming
 * need not be told of a new one: every ring wakes it. */
#include "bell.h"
#include "clock.h"
#include "error.h"
#include "events.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* Every wait is bounded: a peer that moves waiters about (futex requeue) can delay the end of a session by so much. */
#define HELPER_WAIT_NS 5000000000u

struct rk_helper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t *bell;
    uint32_t seen;
    int eventfd;
    bool armed;
    bool stop;
};

/** One wait; the lock is held at the beginning and at the end. */
static void wait_once(struct rk_helper *helper)
{
    struct rk_wait_word word = {helper->bell, helper->seen};
    pthread_mutex_unlock(&helper->lock);
    int result = rk_bell_wait(&word, 1, rk_deadline_after(HELPER_WAIT_NS));
    pthread_mutex_lock(&helper->lock);
    /* SYNC R10 acquire: a ring that was lost on the way is noticed here */
    if (result != 0 && rk_load_acquire(helper->bell) == word.seen) return;
    helper->armed = false;
    eventfd_write(helper->eventfd, 1); /* never blocks: it would have to be full */
}

static void *help(void *argument)
{
    struct rk_helper *helper = argument;
    pthread_setname_np(pthread_self(), "rask-bell");
    pthread_mutex_lock(&helper->lock);
    while (!helper->stop) {
        if (helper->armed)
            wait_once(helper);
        else
            pthread_cond_wait(&helper->changed, &helper->lock);
    }
    pthread_mutex_unlock(&helper->lock);
    return NULL;
}

/** Signals of the program go to threads of the program. */
static int start_without_signals(struct rk_helper *helper)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&helper->thread, NULL, help, helper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int rk_helper_start(struct rk_helper **out, uint32_t *bell, int eventfd)
{
    struct rk_helper *helper = calloc(1, sizeof *helper);
    *out = NULL;
    if (helper == NULL) return rk_error(-ENOMEM, "out of memory for a helper thread");
    helper->bell = bell;
    helper->eventfd = eventfd;
    pthread_mutex_init(&helper->lock, NULL);
    pthread_cond_init(&helper->changed, NULL);
    int result = start_without_signals(helper);
    if (result != 0) {
        pthread_cond_destroy(&helper->changed);
        pthread_mutex_destroy(&helper->lock);
        free(helper);
        return rk_error(-result, "cannot start the helper thread of rask_fd(): %s", strerror(result));
    }
    *out = helper;
    return 0;
}

void rk_helper_arm(struct rk_helper *helper, uint32_t seen)
{
    pthread_mutex_lock(&helper->lock);
    helper->seen = seen;
    helper->armed = true;
    pthread_cond_signal(&helper->changed);
    pthread_mutex_unlock(&helper->lock);
}

void rk_helper_stop(struct rk_helper *helper, bool ours)
{
    if (helper == NULL) return;
    if (ours) {
        pthread_mutex_lock(&helper->lock);
        helper->stop = true;
        pthread_cond_signal(&helper->changed);
        pthread_mutex_unlock(&helper->lock);
        rk_bell_ring(helper->bell); /* in its sleep, or just before: the value differs */
        pthread_join(helper->thread, NULL);
        pthread_cond_destroy(&helper->changed);
        pthread_mutex_destroy(&helper->lock);
    }
    free(helper);
}
