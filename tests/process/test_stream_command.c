/* SPDX-License-Identifier: MIT */
/* `rask stream` as a user meets it: bytes in and out, the backlog that it shows, its limits, and every way to end. */
#include "kit.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEN "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
#define CONSUME "stream", "consume", "--plugin", "consumer"

static void expect(const struct kit_result *result, int code, const char *said)
{
    if (result->code != code) fail_msg("exit code %d instead of %d: %s", result->code, code, result->err);
    if (said && !strstr(result->err, said)) fail_msg("\"%s\" is not in: %s", said, result->err);
}

static void expect_out(const struct kit_result *result, int code, const char *said, const void *bytes, size_t count)
{
    expect(result, code, said);
    if (!said) assert_string_equal(result->err, "");
    assert_int_equal(result->out_bytes, count);
    assert_memory_equal(result->out, bytes, count);
}

/* ---- the four scenarios ---------------------------------------------------------------------------------------- */

/** What --backlog wrote: a line of figures for each change. */
struct curve {
    uint64_t most, last;
    unsigned lines, most_at; /* which line had the most */
};

static struct curve read_curve(const char *text)
{
    struct curve curve = {0};
    double seconds, before = -1;
    unsigned long long items;
    for (const char *line = text; (line = strstr(line, "backlog ")); line++) {
        if (sscanf(line, "backlog %lf s %llu", &seconds, &items) != 2) continue;
        if (seconds < before) fail_msg("times go back: %s", text);
        if (items > curve.most) curve.most_at = curve.lines;
        if (items > curve.most) curve.most = items;
        curve.last = items;
        before = seconds;
        curve.lines++;
    }
    return curve;
}

/** Ten lines through: all of them come back in order, and in the end nothing is left. */
static struct curve run_scenario(const char *delay, const char *interval, uint64_t least_ms)
{
    kit_input(TEN, strlen(TEN));
    const struct kit_result *result = kit_rask(CONSUME, "--set", delay, "--item-interval", interval, "--backlog", NULL);
    expect_out(result, 0, "10 items, 10 answers", TEN, strlen(TEN));
    struct curve curve = read_curve(result->err);
    assert_int_equal(curve.last, 0);
    assert_true(result->took_ns >= least_ms * KIT_MS);
    return curve;
}

static void test_no_delay_at_all(void **state)
{
    (void)state;
    assert_in_range(run_scenario("delay=0", "0", 0).most, 1, 10);
}

/** The classic one: it rises to about five and falls again. (On a busy machine each side may be held up for a while.) */
static void test_fast_producer_and_slow_consumer_make_a_sawtooth(void **state)
{
    (void)state;
    struct curve curve = run_scenario("delay=100ms", "50ms", 1000);
    assert_in_range(curve.most, 3, 8);
    assert_in_range(curve.lines, curve.most + 2, 25);
    assert_in_range(curve.most_at, 2, curve.lines - 3);
}

static void test_slow_producer_and_fast_consumer_have_no_backlog(void **state)
{
    (void)state;
    assert_in_range(run_scenario("delay=5ms", "60ms", 540).most, 1, 4);
}

static void test_equal_ones_have_hardly_any(void **state)
{
    (void)state;
    assert_in_range(run_scenario("delay=60ms", "60ms", 600).most, 1, 4);
}

static void test_plot_is_a_picture_that_appears_when_it_is_complete(void **state)
{
    (void)state;
    char folder[] = "/tmp/rask-test-XXXXXX", path[64], text[8192] = "";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/b.svg", folder);
    kit_input(TEN, strlen(TEN));
    expect_out(kit_rask(CONSUME, "--set", "delay=5ms", "--plot", path, NULL), 0, NULL, TEN, strlen(TEN));
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 500);
    fclose(file);
    assert_int_equal(strncmp(text, "<svg ", 5), 0);
    assert_non_null(strstr(text, "backlog of consume"));
    assert_non_null(strstr(text, "</svg>\n"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else is in there */
    expect(kit_rask(CONSUME, "--plot", path, NULL), 74, path);
}

static void test_bars_on_a_terminal_are_one_line(void **state)
{
    (void)state;
    char text[16384] = "";
    size_t used = 0;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    assert_int_equal(grantpt(terminal) | unlockpt(terminal), 0);
    int other = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(other >= 0);
    const char *const arguments[] = {
        "/bin/sh", "-c", "seq 0 9 | $RASK_BIN stream consume --plugin consumer --set delay=40ms --backlog", NULL};
    assert_int_equal(kit_wait(kit_launch(arguments, -1, other), 10000), 0);
    close(other);
    for (ssize_t n; (n = read(terminal, text + used, sizeof(text) - 1 - used)) > 0;) used += (size_t)n;
    close(terminal);
    assert_non_null(strstr(text, "\r\033[Kbacklog ")); /* drawn anew in its place */
    assert_non_null(strstr(text, "(most 10)"));
    const char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_non_null(strstr(end, "10 items, 10 answers, backlog at most 10"));
    assert_null(strstr(end, "\033[K"));
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

#define AT_ONCE CONSUME, "--set", "delay=0"

static void test_lines_may_be_empty_binary_and_without_an_end(void **state)
{
    (void)state;
    kit_input("\n\na\0b\r\n\xff\xfe\nlast", 14);
    expect_out(kit_rask(AT_ONCE, NULL), 0, NULL, "\n\na\0b\r\n\xff\xfe\nlast\n", 15);
    kit_input("\n", 1);
    expect_out(kit_rask(AT_ONCE, NULL), 0, NULL, "\n", 1);
    expect_out(kit_rask(AT_ONCE, NULL), 0, NULL, "", 0);
}

static void test_frames_are_byte_exact(void **state)
{
    (void)state;
    static char frames[4 + 11 + 4 + 4 + 0x12345] = "\13\0\0\0a line\nand\0";
    memcpy(frames + 15, "\0\0\0\0\x45\x23\1\0", 8);
    for (size_t i = 23; i < sizeof(frames); i++) frames[i] = (char)(i * 31 / 7);
    kit_input(frames, sizeof(frames));
    expect_out(kit_rask(AT_ONCE, "--framed", NULL), 0, NULL, frames, sizeof(frames));
    kit_input(frames, 17);
    expect_out(kit_rask(AT_ONCE, "--framed", NULL), 65, "within item 2", frames, 15);
}

static void test_lines_up_to_the_limit_come_through_and_no_longer_ones(void **state)
{
    (void)state;
    enum { LIMIT = 70000 };
    static char text[3 + LIMIT + 2];
    memset(text, 'x', sizeof(text));
    memcpy(text, "ok\n", 3);
    text[3 + LIMIT] = '\n';
    kit_input(text, 3 + LIMIT + 1);
    expect_out(kit_rask(AT_ONCE, "--max-payload", "70000", NULL), 0, NULL, text, 3 + LIMIT + 1);
    text[3 + LIMIT] = 'x';
    kit_input(text, 3 + LIMIT + 1);
    expect_out(kit_rask(AT_ONCE, "--max-payload", "70000", NULL), 65, "--max-payload", text, 3); /* the one before */
    kit_input(text, 3 + LIMIT);
    expect_out(kit_rask(AT_ONCE, "--queue-bytes-max", "64K", NULL), 65, "--queue-bytes-max", text, 3);
}

/** More than every queue, buffer and ring takes at once. */
static void test_many_lines_come_in_order_whatever_the_limits(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    static char text[LINES * 7];
    size_t used = 0;
    for (unsigned i = 0; i < LINES; i++) used += (size_t)sprintf(text + used, "%u\n", i);
    static const char *const limits[] = {"1", "7", "300", "9000"};
    for (unsigned i = 0; i < 4; i++) {
        kit_input(text, used);
        expect_out(kit_rask(AT_ONCE, "--queue-max", limits[i], NULL), 0, NULL, text, used);
    }
}

/* ---- limits of the backlog ------------------------------------------------------------------------------------- */

static const struct kit_result *run_policy(const char *policy)
{
    kit_input(TEN, strlen(TEN));
    return kit_rask(CONSUME, "--set", "delay=50ms", "--queue-max", "3", "--policy", policy, NULL);
}

static void test_policies_at_the_limit(void **state)
{
    (void)state;
    expect_out(run_policy("block"), 0, NULL, TEN, strlen(TEN));
    expect_out(run_policy("fail"), 75, "item 4 finds the backlog at its limit", "0\n1\n2\n", 6);
    expect_out(run_policy("drop-newest"), 0, "7 of 10 items were dropped", "0\n1\n2\n", 6);
    const struct kit_result *result = run_policy("drop-oldest");
    expect(result, 0, "7 of 10 items were dropped");
    assert_int_equal(result->out_bytes, 6);
    assert_string_equal(result->out + 2, "8\n9\n"); /* before them the one that had begun */
}

/* ---- bad usage and bad luck ------------------------------------------------------------------------------------ */

static void test_bad_usage_is_told(void **state)
{
    (void)state;
    expect(kit_rask("stream", NULL), 64, "METHOD");
    expect(kit_rask("stream", "consume", "more", "--plugin", "consumer", NULL), 64, "more");
    expect(kit_rask(CONSUME, "--policy", "often", NULL), 64, "drop-oldest");
    expect(kit_rask(CONSUME, "--queue-max", "0", NULL), 64, "queue-max");
    expect(kit_rask(CONSUME, "--item-interval", "5x", NULL), 64, "5x");
    expect(kit_rask(CONSUME, "--plot", "-", NULL), 64, "standard output");
    expect(kit_rask("stream", "nothing", "--plugin", "consumer", NULL), 64, "it has consume");
    expect(kit_rask(CONSUME, "--socket", "/nowhere", NULL), 64, "exclude");
    expect(kit_rask("stream", "consume", "--socket", "/nowhere/s", NULL), 69, "/nowhere/s");
    expect(kit_rask(CONSUME, "--set", "delay=soon", NULL), 78, "delay=soon");
    const struct kit_result *help = kit_rask("stream", "--help", NULL);
    expect(help, 0, NULL);
    assert_non_null(strstr(help->out, "seq 0 9 | rask stream consume --plugin consumer --item-interval 50ms"));
}

static const struct kit_result *run_in_shell(const char *redirection)
{
    char command[128];
    snprintf(command, sizeof(command), "exec \"$RASK_BIN\" stream consume --plugin consumer --set delay=0 %s",
             redirection);
    const char *const arguments[] = {"/bin/sh", "-c", command, NULL};
    kit_input(TEN, strlen(TEN));
    return kit_program(arguments, NULL);
}

static void test_input_and_output_that_fail_are_74(void **state)
{
    (void)state;
    expect(run_in_shell("<&-"), 74, "standard input: Bad file descriptor");
    expect(run_in_shell(">&-"), 74, "standard output: Bad file descriptor");
    expect(run_in_shell("</"), 74, "standard input: Is a directory");
    expect(run_in_shell(">/dev/full"), 74, "standard output: No space left on device");
}

static void test_failed_items_are_named_and_the_stream_goes_on(void **state)
{
    (void)state;
    kit_input(TEN, strlen(TEN));
    const struct kit_result *result = kit_rask("stream", "fail", "--plugin", kit_plugin("handler_crashes"), NULL);
    expect(result, 1, "item 1: the handler returned error code 42");
    expect(result, 1, "item 8: ");
    assert_null(strstr(result->err, "item 9: "));
    expect(result, 1, "10 of 10 items failed");
    assert_int_equal(result->out_bytes, 0);
}

static void test_crash_is_125_with_the_signal_and_what_is_certain(void **state)
{
    (void)state;
    kit_input("a\nb\n", 4);
    const struct kit_result *result = kit_rask("stream", "segv", "--plugin", kit_plugin("handler_crashes"), NULL);
    expect(result, 125, "SIGSEGV");
    expect(result, 125, "0 of ");
    expect(result, 125, "items were certainly processed");
}

static void test_time_out_is_124(void **state)
{
    (void)state;
    struct kit_server server;
    kit_start(&server, "--plugin", "consumer", NULL);
    kit_input(TEN, strlen(TEN));
    const struct kit_result *result =
        kit_rask("stream", "consume", "--socket", server.socket, "--timeout", "350ms", NULL);
    expect(result, 124, "--timeout");
    expect(result, 124, "items were certainly processed");
    assert_true(result->out_bytes < strlen(TEN));
    assert_memory_equal(result->out, TEN, result->out_bytes); /* what was answered was printed */
    kit_stop(&server);
}

static void test_stream_to_a_running_supervisor(void **state)
{
    (void)state;
    struct kit_server server;
    kit_start(&server, "--plugin", "consumer", "--set", "delay=0", "--workers", "2", NULL);
    for (unsigned i = 0; i < 3; i++) {
        kit_input(TEN, strlen(TEN));
        expect_out(kit_rask("stream", "consume", "--socket", server.socket, NULL), 0, NULL, TEN, strlen(TEN));
    }
    kit_stop(&server);
}

/* ---- while it runs --------------------------------------------------------------------------------------------- */

struct live {
    pid_t pid;
    int in, out; /* its standard input and output */
};

static struct live start_live(const char *delay)
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    struct live live = {.pid = kit_fork(), .in = in[1], .out = out[0]};
    if (live.pid == 0) {
        alarm(0);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl(getenv("RASK_BIN"), "rask", CONSUME, "--set", delay, (char *)NULL);
        _exit(99);
    }
    close(in[0]);
    close(out[1]);
    return live;
}

static void close_live(struct live *live)
{
    if (live->in >= 0) close(live->in);
    if (live->out >= 0) close(live->out);
}

static int end_live(struct live *live)
{
    if (live->in >= 0) close(live->in);
    live->in = -1;
    int code = kit_wait(live->pid, 8000);
    close_live(live);
    return code;
}

static void expect_line(const struct live *live, const char *wanted)
{
    char line[64] = "";
    size_t used = 0;
    while (used < strlen(wanted)) {
        ssize_t n = read(live->out, line + used, strlen(wanted) - used);
        if (n <= 0) fail_msg("it ended after \"%s\"", line);
        used += (size_t)n;
    }
    assert_string_equal(line, wanted);
}

static void test_answers_come_while_input_is_open(void **state)
{
    (void)state;
    struct live live = start_live("delay=0");
    for (unsigned i = 0; i < 20; i++) {
        char line[16];
        snprintf(line, sizeof(line), "%u\n", i);
        assert_true(write(live.in, line, strlen(line)) > 0);
        expect_line(&live, line);
    }
    assert_int_equal(end_live(&live), 0);
}

static void test_closed_output_ends_it_with_74(void **state)
{
    (void)state;
    struct live live = start_live("delay=0");
    assert_int_equal(write(live.in, "a\n", 2), 2);
    expect_line(&live, "a\n");
    close(live.out); /* nothing is sent: it sees this by itself */
    live.out = -1;
    assert_int_equal(kit_wait(live.pid, 4000), 74);
    close_live(&live);
}

static void test_signals_cancel_it_with_130(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (unsigned i = 0; i < 2; i++) {
        struct live live = start_live("delay=300ms");
        assert_int_equal(write(live.in, "a\nb\nc\n", 6), 6);
        expect_line(&live, "a\n");
        uint64_t start_ns = rask_now_ns();
        kill(live.pid, signals[i]); /* with its input and output open */
        assert_int_equal(kit_wait(live.pid, 3000), 130);
        assert_true(rask_now_ns() - start_ns < 2 * KIT_S);
        close_live(&live);
        kit_reap_orphans(3000);
    }
}

/** Nobody reads the answers: input is not taken any more after a while, and nothing is lost when somebody does. */
static void test_memory_is_bounded_when_nobody_reads(void **state)
{
    (void)state;
    enum { BOUND = 8 << 20, LINE = 1000 };
    static char line[LINE], back[1 << 16];
    struct live live = start_live("delay=0");
    struct pollfd room = {.fd = live.in, .events = POLLOUT};
    memset(line, 'x', LINE - 1);
    line[LINE - 1] = '\n';
    assert_int_equal(write(live.in, "a\n", 2), 2);
    expect_line(&live, "a\n"); /* it runs */
    size_t sent = 0, got = 0;
    while (sent < BOUND && poll(&room, 1, 2000) == 1) {
        assert_int_equal(write(live.in, line, LINE), LINE);
        sent += LINE;
    }
    assert_in_range(sent, 256 * LINE, BOUND - LINE);
    close(live.in);
    live.in = -1;
    for (ssize_t n; (n = read(live.out, back, sizeof(back))) > 0; got += (size_t)n) {
        for (ssize_t i = 0; i < n; i++) assert_int_equal(back[i], line[(got + (size_t)i) % LINE]);
    }
    assert_int_equal(got, sent);
    assert_int_equal(end_live(&live), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_no_delay_at_all),
        KIT_TEST(test_fast_producer_and_slow_consumer_make_a_sawtooth),
        KIT_TEST(test_slow_producer_and_fast_consumer_have_no_backlog),
        KIT_TEST(test_equal_ones_have_hardly_any),
        KIT_TEST(test_plot_is_a_picture_that_appears_when_it_is_complete),
        KIT_TEST(test_bars_on_a_terminal_are_one_line),
        KIT_TEST(test_lines_may_be_empty_binary_and_without_an_end),
        KIT_TEST(test_frames_are_byte_exact),
        KIT_TEST(test_lines_up_to_the_limit_come_through_and_no_longer_ones),
        KIT_TEST(test_many_lines_come_in_order_whatever_the_limits),
        KIT_TEST(test_policies_at_the_limit),
        KIT_TEST(test_bad_usage_is_told),
        KIT_TEST(test_input_and_output_that_fail_are_74),
        KIT_TEST(test_failed_items_are_named_and_the_stream_goes_on),
        KIT_TEST(test_crash_is_125_with_the_signal_and_what_is_certain),
        KIT_TEST(test_time_out_is_124),
        KIT_TEST(test_stream_to_a_running_supervisor),
        KIT_TEST(test_answers_come_while_input_is_open),
        KIT_TEST(test_closed_output_ends_it_with_74),
        KIT_TEST(test_signals_cancel_it_with_130),
        KIT_TEST(test_memory_is_bounded_when_nobody_reads),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
