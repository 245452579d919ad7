/* SPDX-License-Identifier: MIT */
/* local_lat, remote_lat, local_thr and remote_thr: libzmq's command lines and lines of output, to the letter. */
#include "kit.h"
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char socket_path[64];

static int set_up(void **state)
{
    snprintf(socket_path, sizeof socket_path, "/tmp/rask-contract-%d.sock", (int)getpid());
    return kit_set_up(state);
}

#define CONTRACT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, kit_tear_down)

/** What a shell command printed, run where the programs are, with the endpoint in $S; its exit code in *code. */
static const char *shell(const char *command, int *code)
{
    static char text[4096];
    char line[2048] = "cd \"$RASK_TEST_CONTRACT\" && S=";
    snprintf(line + strlen(line), sizeof line - strlen(line), "ipc://%s && %s", socket_path, command);
    FILE *from = popen(line, "r");
    assert_non_null(from);
    size_t used = fread(text, 1, sizeof text - 1, from);
    text[used] = '\0';
    int status = pclose(from);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return text;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0) fail_msg("not \"%s\": \"%s\"", pattern, text);
    regfree(&regex);
}

static void test_contract_latency_prints_the_lines_of_libzmq(void **state)
{
    (void)state;
    int code;
    const char *text = shell("{ ./local_lat $S 100 500 & ./remote_lat $S 100 500 && wait $!; }", &code);
    assert_int_equal(code, 0);
    assert_matches(text,
                   "^message size: 100 \\[B\\]\nroundtrip count: 500\naverage latency: [0-9]+\\.[0-9]{3} \\[us\\]\n$");
    assert_int_not_equal(access(socket_path, F_OK), 0);
}

static void test_contract_throughput_prints_the_lines_of_libzmq(void **state)
{
    (void)state;
    int code;
    unsigned long long rate;
    double megabits;
    const char *text =
        shell("{ ./remote_thr $S 2K 5 2>&1; ./remote_thr $S 2000 3000 & ./local_thr $S 2000 3000 && wait $!; }", &code);
    assert_int_equal(code, 0);
    assert_matches(text, "^remote_thr: message size \"2K\": [^\n]*\nmessage size: 2000 \\[B\\]\nmessage count: 3000\n"
                         "mean throughput: [0-9]+ \\[msg/s\\]\nmean throughput: [0-9]+\\.[0-9]{3} \\[Mb/s\\]\n$");
    const char *at = strstr(text, "mean throughput: ");
    assert_int_equal(sscanf(at, "mean throughput: %llu [msg/s]\nmean throughput: %lf [Mb/s]", &rate, &megabits), 2);
    /* The same figure twice: messages of 16000 bits. */
    assert_true(megabits >= (double)rate * 0.016 - 0.001 && megabits <= (double)(rate + 1) * 0.016 + 0.001);
}

static void test_contract_works_with_no_bytes_and_with_many(void **state)
{
    (void)state;
    int code;
    const char *text = shell("{ ./local_lat $S 0 10 & ./remote_lat $S 0 10 && wait $! && "
                             "{ ./local_lat $S 3000000 3 & ./remote_lat $S 3000000 3 && wait $!; }; }",
                             &code);
    assert_int_equal(code, 0);
    assert_matches(text, "^message size: 0 \\[B\\]\nroundtrip count: 10\n[^\n]*\nmessage size: 3000000 \\[B\\]\n");
}

static void test_contract_a_message_of_another_size_ends_both(void **state)
{
    (void)state;
    int code;
    const char *text =
        shell("{ ./local_lat $S 30 5 & ./remote_lat $S 31 5 2>/dev/null; echo remote $?; wait $!; }", &code);
    assert_int_equal(code, 1);
    assert_non_null(strstr(text, "remote 1\n"));
    assert_non_null(strstr(text, "message of incorrect size received\n"));
}

static void test_contract_usage_and_refusals(void **state)
{
    (void)state;
    int code;
    static const char *const programs[] = {"local_lat <bind-to> <message-size> <roundtrip-count>",
                                           "remote_lat <connect-to> <message-size> <roundtrip-count>",
                                           "local_thr <bind-to> <message-size> <message-count>",
                                           "remote_thr <connect-to> <message-size> <message-count>"};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        char command[128], usage[128], name[16];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(programs[i], " "), programs[i]);
        snprintf(command, sizeof command, "./%s $S 1", name);
        snprintf(usage, sizeof usage, "usage: %s\n", programs[i]);
        assert_string_equal(shell(command, &code), usage);
        assert_int_equal(code, 1);
        snprintf(command, sizeof command, "./%s tcp://localhost:5555 1 1 2>&1", name);
        assert_non_null(strstr(shell(command, &code), "ipc://PATH"));
        assert_int_equal(code, 1);
        snprintf(command, sizeof command, "./%s $S 1 0 2>&1", name);
        assert_non_null(strstr(shell(command, &code), "\"0\""));
        assert_int_equal(code, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TEST(test_contract_latency_prints_the_lines_of_libzmq),
        CONTRACT_TEST(test_contract_throughput_prints_the_lines_of_libzmq),
        CONTRACT_TEST(test_contract_works_with_no_bytes_and_with_many),
        CONTRACT_TEST(test_contract_a_message_of_another_size_ends_both),
        CONTRACT_TEST(test_contract_usage_and_refusals),
    };
    kit_init();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
