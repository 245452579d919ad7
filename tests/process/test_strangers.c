/* SPDX-License-Identifier: MIT */
/* Clients of other users: who gets in, and that the bytes a handler sees stay as they are. */
#include "stranger.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct kit_server server;

/** What connecting as this user returns: 0 or an errno. */
static int try_connect(uid_t uid, gid_t gid, const char *said)
{
    pid_t pid = fork_as(uid, gid);
    if (pid == 0) {
        struct rask *s = NULL;
        int error = rask_connect(&s, server.socket, NULL);
        bool explained = error == 0 || strstr(rask_last_error(), said);
        rask_close(s);
        _exit(explained ? -error : 91);
    }
    return kit_wait(pid, 10000);
}

static unsigned mode_of(const char *path)
{
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    return facts.st_mode & 0777;
}

static void test_only_the_named_get_in(void **state)
{
    (void)state;
    NEEDS_ROOT();
    kit_start(&server, "--plugin", "echo", "--allow-uid", "65534", "--allow-gid", "777", NULL);
    assert_int_equal(try_connect(0, 0, ""), 0);
    assert_int_equal(try_connect(STRANGER, STRANGER, ""), 0);
    assert_int_equal(try_connect(SECOND_STRANGER, 777, ""), 0); /* by a supplementary group */
    assert_int_equal(try_connect(777, 1, ""), 0);               /* by its own group */
    assert_int_equal(try_connect(SECOND_STRANGER, 1, "--allow-uid 424242"), EACCES);
    assert_int_equal(try_connect(SECOND_STRANGER, 0, "user 424242"), EACCES); /* root's group is not root */
    kit_stop(&server);
}

static void test_nobody_else_gets_in_by_default(void **state)
{
    (void)state;
    NEEDS_ROOT();
    kit_start(&server, "--plugin", "echo", NULL);
    assert_int_equal(mode_of(server.folder), 0700);
    assert_int_equal(mode_of(server.socket), 0700);
    assert_int_equal(try_connect(STRANGER, STRANGER, ""), EACCES);
    assert_int_equal(chmod(server.folder, 0755), 0); /* not even where the files let them */
    assert_int_equal(chmod(server.socket, 0777), 0);
    assert_int_equal(try_connect(STRANGER, STRANGER, "--allow-uid 65534"), EACCES);
    assert_int_equal(try_connect(0, 0, ""), 0);
    kit_stop(&server);
}

static void test_folder_is_searchable_while_others_may_connect(void **state)
{
    (void)state;
    kit_start(&server, "--plugin", "echo", "--allow-gid", "777", NULL);
    assert_int_equal(mode_of(server.folder), 0711);
    assert_int_equal(mode_of(server.socket), 0666);
    char folder[sizeof(server.folder)];
    snprintf(folder, sizeof(folder), "%s", server.folder);
    assert_int_equal(kill(server.pid, SIGTERM), 0);
    assert_int_equal(kit_wait(server.pid, 8000), 0);
    server.pid = -1;
    assert_int_equal(mode_of(folder), 0700);
    unlink(server.log);
    assert_int_equal(rmdir(folder), 0);
    kit_forget(&server);
}

static void test_refusal_on_the_command_line(void **state)
{
    (void)state;
    NEEDS_ROOT();
    kit_start(&server, "--plugin", "echo", "--allow-uid", "65534", NULL);
    const char *const call[] = {"setpriv",        "--reuid",          "424242", "--regid", "424242",
                                "--clear-groups", getenv("RASK_BIN"), "call",   "echo",    "x",
                                "--socket",       server.socket,      NULL};
    if (system("setpriv true") != 0) fail_msg("setpriv is missing: install util-linux");
    const struct kit_result *result = kit_program(call, NULL);
    kit_stop(&server);
    if (result->code == 127 || result->code == 126) {
        print_message("skipped: another user cannot run the program where it lies\n");
        skip();
    }
    assert_int_equal(result->code, 69);
    assert_non_null(strstr(result->err, "user 424242"));
    assert_non_null(strstr(result->err, "--allow-uid"));
}

/** RELOAD instead of HELLO: 0 it was refused in words, else the step that went wrong. */
static int try_reload(const char *path)
{
    struct raw raw = RAW_INIT;
    struct rk_message_reload message = {.path = "/dev/null"};
    rk_message_init(&message.head, RK_RELOAD, sizeof(message));
    raw.socket = raw_dial(path);
    if (raw.socket < 0 || rk_control_send(raw.socket, &message, NULL, 0) != 0) return 1;
    if (!raw_expect(&raw, RK_REFUSED)) return 2;
    bool explained = strstr(raw.in.text.text, "only the supervisor's user and root may reload it");
    return raw.in.text.reason == RK_REFUSED_PERMISSION && explained ? 0 : 3;
}

/** What rask stats does: the supervisor's descriptors. 0: the kernel refuses them. */
static int try_pages(pid_t supervisor)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd/0", (int)supervisor);
    if (open(path, O_RDONLY | O_CLOEXEC) >= 0) return 1;
    return errno == EACCES || errno == EPERM ? 0 : 2;
}

static void test_strangers_give_no_commands_and_open_no_pages(void **state)
{
    (void)state;
    NEEDS_ROOT();
    kit_start(&server, "--plugin", "echo", STRANGERS, NULL);
    pid_t pid = fork_as(STRANGER, STRANGER);
    if (pid == 0) _exit(try_reload(server.socket));
    assert_int_equal(kit_wait(pid, 10000), 0);
    pid = fork_as(STRANGER, STRANGER);
    if (pid == 0) _exit(try_pages(server.pid));
    assert_int_equal(kit_wait(pid, 10000), 0);
    assert_int_equal(try_connect(STRANGER, STRANGER, ""), 0); /* what it may do is as before */
    const struct kit_result *stats = kit_rask("stats", "--json", "--socket", server.socket, NULL);
    assert_int_equal(stats->code, 0);
    assert_non_null(strstr(stats->out, "\"sessions_refused\":1")); /* the reload */
    assert_int_equal(kit_rask("reload", "--socket", server.socket, NULL)->code, 0);
    kit_stop(&server);
}

/* Whoever is turned away unheard is counted, too. */
static void test_refusals_are_counted(void **state)
{
    (void)state;
    NEEDS_ROOT();
    kit_start(&server, "--plugin", "echo", "--allow-uid", "65534", NULL);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(try_connect(SECOND_STRANGER, 1, "--allow-uid"), EACCES);
    const struct kit_result *stats = kit_rask("stats", "--json", "--socket", server.socket, NULL);
    assert_int_equal(stats->code, 0);
    assert_non_null(strstr(stats->out, "\"sessions_refused\":3"));
    kit_stop(&server);
}

static void test_unknown_users_and_groups_are_bad_usage(void **state)
{
    (void)state;
    const struct kit_result *result = kit_rask("run", "--plugin", "echo", "--allow-uid", "no-such-user", NULL);
    assert_int_equal(result->code, 64);
    assert_non_null(strstr(result->err, "no-such-user"));
    result = kit_rask("run", "--plugin", "echo", "--allow-gid", "no-such-group", NULL);
    assert_int_equal(result->code, 64);
    result = kit_rask("run", "--plugin", "echo", "--allow-uid", "4294967295", NULL);
    assert_int_equal(result->code, 64);
}

/* ---- the default socket ------------------------------------------------------------------------------------------ */

/** As a user whose default socket lies in a folder below `runtime`. Returns the errno of connecting. */
static int try_default(uid_t uid, const char *runtime)
{
    pid_t pid = fork_as(uid, uid);
    if (pid == 0) {
        struct rask *s = NULL;
        setenv("XDG_RUNTIME_DIR", runtime, 1);
        int error = rask_connect(&s, NULL, NULL);
        rask_close(s);
        _exit(-error);
    }
    return kit_wait(pid, 10000);
}

/** A trap: somebody else's supervisor, which even lets the victim in, where the victim's own is expected. */
static void test_default_socket_of_somebody_else_is_refused(void **state)
{
    (void)state;
    NEEDS_ROOT();
    char runtime[] = "/tmp/rask-test-XXXXXX", socket[96], folder[64];
    assert_non_null(mkdtemp(runtime));
    snprintf(folder, sizeof(folder), "%s/rask", runtime);
    snprintf(socket, sizeof(socket), "%s/default.sock", folder);
    assert_int_equal(mkdir(folder, 0711), 0);
    assert_int_equal(chmod(runtime, 0711), 0);
    kit_prepare(&server);
    const char *const run[] = {getenv("RASK_BIN"), "run",   "--plugin", "echo", "--socket", socket,
                               "--allow-uid",      "65534", NULL};
    char keep[sizeof(server.socket)];
    memcpy(keep, server.socket, sizeof(keep));
    memcpy(server.socket, socket, sizeof(server.socket));
    kit_start_prepared(&server, run);
    kit_wait_ready(&server);
    assert_int_equal(try_default(STRANGER, runtime), EPERM);
    assert_int_equal(chown(folder, STRANGER, STRANGER), 0);
    assert_int_equal(try_default(STRANGER, runtime), 0); /* the check is about the folder, and about nothing else */
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(try_default(STRANGER, runtime), EPERM);
    kit_stop(&server);
    rmdir(folder);
    rmdir(runtime);
}

/* ---- snapshots --------------------------------------------------------------------------------------------------- */

/** One request that its sender changes while the handler looks at it. The handler's code. */
static int32_t scribbled_call(uint32_t bytes)
{
    struct rask *s = NULL;
    struct rask_request request;
    struct rask_completion completion;
    if (rask_connect(&s, server.socket, NULL) != 0) return 80;
    int method = rask_method(s, "witness");
    if (method < 0 || rask_call(s, (uint32_t)method, NULL, 0, 5 * KIT_S, &completion) != 0)
        return 84; /* a lane is open */
    if (rask_reserve(s, bytes, &request) != 0) return 81;
    volatile uint8_t *data = request.data;
    memset(request.data, 1, bytes);
    if (rask_submit(s, &request, (uint32_t)method, bytes, NULL) != 0) return 82;
    uint64_t end_ns = rask_now_ns() + 40 * KIT_MS;
    for (uint32_t i = 0; rask_now_ns() < end_ns; i++) data[i * 7919u % bytes]++;
    if (rask_wait(s, request.ticket, rask_now_ns() + 5 * KIT_S, &completion) != 0) return 83;
    int32_t code = completion.status == RASK_OK ? 0 : completion.code;
    rask_release(s, &completion);
    rask_close(s);
    return code;
}

static void test_bytes_of_a_stranger_do_not_change_under_the_handler(void **state)
{
    (void)state;
    NEEDS_ROOT();
    kit_start(&server, "--plugin", kit_plugin("witness"), STRANGERS, NULL);
    /* The same user shares its memory, and so this test can fail. */
    pid_t pid = kit_fork();
    if (pid == 0) _exit((int)scribbled_call(4000));
    assert_int_equal(kit_wait(pid, 10000), 7);
    static const uint32_t sizes[] = {33, 4000, 300000};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if ((pid = fork_as(STRANGER, STRANGER)) == 0) _exit((int)scribbled_call(sizes[i]));
        assert_int_equal(kit_wait(pid, 10000), 0);
    }
    kit_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_only_the_named_get_in),
        KIT_TEST(test_nobody_else_gets_in_by_default),
        KIT_TEST(test_folder_is_searchable_while_others_may_connect),
        KIT_TEST(test_refusal_on_the_command_line),
        KIT_TEST(test_strangers_give_no_commands_and_open_no_pages),
        KIT_TEST(test_refusals_are_counted),
        KIT_TEST(test_unknown_users_and_groups_are_bad_usage),
        KIT_TEST(test_default_socket_of_somebody_else_is_refused),
        KIT_TEST(test_bytes_of_a_stranger_do_not_change_under_the_handler),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
