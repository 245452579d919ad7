/* SPDX-License-Identifier: MIT */
/* The listening socket: what is replaced, what is refused, and what is left behind. */
#include "listen.h"
#include <errno.h>
#include <rask/client.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char path[96];
static struct rk_listener listener, second;

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/rask-test-listen-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof(path), "%s/socket", folder);
    listener = second = (struct rk_listener)RK_LISTENER_INIT;
    return 0;
}

/* Fails if anything was left behind. */
static int tear_down(void **state)
{
    (void)state;
    rk_listener_close(&second);
    rk_listener_close(&listener);
    rk_listener_close(&listener); /* harmless */
    return rmdir(folder);
}

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void says(const char *words)
{
    if (!strstr(rask_last_error(), words)) print_message("\"%s\"\n", rask_last_error());
    assert_non_null(strstr(rask_last_error(), words));
}

static void test_clients_get_in(void **state)
{
    (void)state;
    assert_int_equal(rk_listener_open(&listener, path, false), 0);
    assert_int_equal(rk_listener_accept(&listener), -EAGAIN);
    int client = dial();
    assert_true(client >= 0);
    int served = rk_listener_accept(&listener);
    assert_true(served >= 0);
    close(client);
    close(served);
}

static void test_socket_is_private(void **state)
{
    struct stat facts;
    (void)state;
    mode_t before = umask(0);
    assert_int_equal(rk_listener_open(&listener, path, false), 0);
    assert_int_equal(umask(before), 0); /* left as it was */
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0077, 0);
}

static void test_closing_removes_the_files(void **state)
{
    (void)state;
    assert_int_equal(rk_listener_open(&listener, path, false), 0);
    rk_listener_close(&listener);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(dial(), -ENOENT);
}

static void test_closing_leaves_a_successors_socket_alone(void **state)
{
    (void)state;
    assert_int_equal(rk_listener_open(&listener, path, false), 0);
    assert_int_equal(unlink(path), 0);
    FILE *other = fopen(path, "w");
    assert_non_null(other);
    fclose(other);
    rk_listener_close(&listener);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void test_live_supervisor_is_refused_with_its_pid(void **state)
{
    char pid[32];
    (void)state;
    assert_int_equal(rk_listener_open(&listener, path, false), 0);
    assert_int_equal(rk_listener_open(&second, path, false), -EADDRINUSE);
    snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    says(pid);
    says(path);
    int client = dial(); /* the first one still listens */
    assert_true(client >= 0);
    close(client);
}

/* A process that listened and was killed: its files are there, nobody answers. */
static void test_stale_socket_is_replaced(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        if (rk_listener_open(&listener, path, false) < 0) _exit(1);
        _exit(0); /* without closing: the files stay */
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(dial(), -ECONNREFUSED);
    assert_int_equal(rk_listener_open(&listener, path, false), 0);
    int client = dial();
    assert_true(client >= 0);
    close(client);
}

static int inherited_fd = -1;

static void on_alarm(int signal)
{
    (void)signal;
    close(inherited_fd);
}

/* As an io_uring does: something holds the socket of a dead process, for a while or for good. */
static void leave_a_listener_of_the_dead(void)
{
    inherited_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        bool fine = bind(inherited_fd, (struct sockaddr *)&address, sizeof(address)) == 0;
        _exit(fine && listen(inherited_fd, 128) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_socket_of_the_dead_is_waited_for(void **state)
{
    (void)state;
    const struct sigaction closing = {.sa_handler = on_alarm};
    const struct itimerval soon = {.it_value = {.tv_usec = 50000}};
    leave_a_listener_of_the_dead();
    int client = dial(); /* it looks alive */
    assert_true(client >= 0);
    close(client);
    assert_int_equal(sigaction(SIGALRM, &closing, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_int_equal(rk_listener_open(&listener, path, false), 0);
    rk_listener_close(&listener);
    leave_a_listener_of_the_dead();
    assert_int_equal(rk_listener_open(&listener, path, false), -EADDRINUSE); /* its children go on, perhaps */
    close(inherited_fd);
    assert_int_equal(unlink(path), 0);
}

static void test_other_programs_socket_is_refused(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    const int types[] = {SOCK_SEQPACKET, SOCK_STREAM};
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(rk_listener_open(&listener, path, false), -EADDRINUSE);
        close(fd);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_file_that_is_no_socket_is_refused(void **state)
{
    (void)state;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(rk_listener_open(&listener, path, false), -EADDRINUSE);
    says("not a socket");
    assert_int_equal(unlink(path), 0); /* it was not touched */
}

static void test_bad_paths_are_refused_in_words(void **state)
{
    char too_long[200];
    (void)state;
    memset(too_long, 'a', sizeof(too_long) - 1);
    too_long[0] = '/';
    too_long[sizeof(too_long) - 1] = '\0';
    assert_int_equal(rk_listener_open(&listener, too_long, false), -ENAMETOOLONG);
    says("107");
    assert_int_equal(rk_listener_open(&listener, "", false), -EINVAL);
    assert_int_equal(rk_listener_open(&listener, "/nowhere/at/all", false), -ENOENT);
    says("/nowhere/at/all");
}

static void test_longest_path_works(void **state)
{
    char longest[sizeof(((struct sockaddr_un *)0)->sun_path)];
    (void)state;
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    memcpy(longest, path, strlen(path));
    assert_int_equal(rk_listener_open(&listener, longest, false), 0);
    rk_listener_close(&listener);
}

/* What any user but root gets: a folder of its own below $XDG_RUNTIME_DIR. */
static void check_default_folder(void)
{
    char place[128];
    struct stat facts;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    snprintf(place, sizeof(place), "%s/rask", folder);
    assert_int_equal(mkdir(place, 0755), 0);
    assert_int_equal(chmod(place, 0777), 0);
    assert_int_equal(rk_listener_open(&listener, NULL, false), -EPERM);
    says("writable by others");
    assert_int_equal(rmdir(place), 0);
    assert_int_equal(symlink("/tmp", place), 0);
    assert_int_equal(rk_listener_open(&listener, NULL, false), -ENOTDIR);
    assert_int_equal(unlink(place), 0);
    assert_int_equal(rk_listener_open(&listener, NULL, false), 0);
    assert_int_equal(stat(place, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    rk_listener_close(&listener);
    assert_int_equal(rmdir(place), 0);
}

static void test_default_folder_must_be_private(void **state)
{
    enum { NOBODY = 65534 };
    (void)state;
    if (geteuid() != 0) {
        check_default_folder();
        return;
    }
    assert_int_equal(chown(folder, NOBODY, NOBODY), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    check_default_folder();
    assert_int_equal(seteuid(0), 0);
}

static void test_default_folder_of_somebody_else_is_refused(void **state)
{
    enum { NOBODY = 65534 };
    char place[128];
    (void)state;
    if (geteuid() != 0) {
        print_message("it takes root to make a folder of somebody else\n");
        skip();
    }
    setenv("XDG_RUNTIME_DIR", folder, 1);
    snprintf(place, sizeof(place), "%s/rask", folder);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(mkdir(place, 0755), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    int result = rk_listener_open(&listener, NULL, false);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(result, -EPERM);
    says("belongs to user 0");
    assert_int_equal(rmdir(place), 0);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_clients_get_in),
        IN_FOLDER(test_socket_is_private),
        IN_FOLDER(test_closing_removes_the_files),
        IN_FOLDER(test_closing_leaves_a_successors_socket_alone),
        IN_FOLDER(test_live_supervisor_is_refused_with_its_pid),
        IN_FOLDER(test_stale_socket_is_replaced),
        IN_FOLDER(test_socket_of_the_dead_is_waited_for),
        IN_FOLDER(test_other_programs_socket_is_refused),
        IN_FOLDER(test_file_that_is_no_socket_is_refused),
        IN_FOLDER(test_bad_paths_are_refused_in_words),
        IN_FOLDER(test_longest_path_works),
        IN_FOLDER(test_default_folder_must_be_private),
        IN_FOLDER(test_default_folder_of_somebody_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
