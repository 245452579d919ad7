/* SPDX-License-Identifier: MIT */
/* Command lines: durations, sizes, counts, lists, and what the option table accepts and refuses. */
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <fcntl.h>
#include <rask/client.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define UNTOUCHED 4711u

struct row {
    const char *text;
    int error;
    uint64_t value;
};

static void check_rows(const struct row *rows, size_t count, int (*parse)(const char *, uint64_t *))
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        int error = parse(rows[i].text, &value);
        uint64_t expected = rows[i].error ? UNTOUCHED : rows[i].value;
        if (error == rows[i].error && value == expected) continue;
        fail_msg("\"%s\": returned %d with %llu, expected %d with %llu", rows[i].text, error, (unsigned long long)value,
                 rows[i].error, (unsigned long long)expected);
    }
}
#define CHECK_ROWS(rows, parse) check_rows(rows, sizeof(rows) / sizeof((rows)[0]), parse)

static void test_duration_takes_every_unit(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 0},
        {"0ns", 0, 0},
        {"1ns", 0, 1},
        {"999ns", 0, 999},
        {"20us", 0, 20000},
        {"50ms", 0, 50000000},
        {"3s", 0, 3000000000u},
        {"007s", 0, 7000000000u},
        {"250", 0, 250000000},
        {"1", 0, 1000000},
        {"86400s", 0, 86400000000000u},
    };
    (void)state;
    CHECK_ROWS(rows, rk_parse_duration);
}

static void test_duration_takes_decimals_exactly(void **state)
{
    static const struct row rows[] = {
        {"1.5ms", 0, 1500000},  {"0.5us", 0, 500},       {"1.5", 0, 1500000},
        {"0.000000001s", 0, 1}, {"0.1s", 0, 100000000},  {"2.000000000000s", 0, 2000000000u},
        {"1.9999us", 0, 1999},  {"0.0000000009s", 0, 0}, {"1.0ns", 0, 1},
    };
    (void)state;
    CHECK_ROWS(rows, rk_parse_duration);
}

static void test_duration_refuses_junk(void **state)
{
    static const struct row rows[] = {
        {"", -EINVAL, 0},       {"5q", -EINVAL, 0},     {"ms", -EINVAL, 0},    {"-1ms", -EINVAL, 0},
        {"+1ms", -EINVAL, 0},   {" 1ms", -EINVAL, 0},   {"1ms ", -EINVAL, 0},  {"1 ms", -EINVAL, 0},
        {"1.ms", -EINVAL, 0},   {".5ms", -EINVAL, 0},   {"1,5ms", -EINVAL, 0}, {"1e3ms", -EINVAL, 0},
        {"0x10ms", -EINVAL, 0}, {"1.5.5s", -EINVAL, 0}, {"1MS", -EINVAL, 0},   {"1m", -EINVAL, 0},
        {"1.5ns", -EINVAL, 0},  {"inf", -EINVAL, 0},    {"1s1ms", -EINVAL, 0},
    };
    (void)state;
    CHECK_ROWS(rows, rk_parse_duration);
}

static void test_duration_refuses_overflow_at_the_exact_bound(void **state)
{
    static const struct row rows[] = {
        {"18446744073709551615ns", 0, UINT64_MAX},
        {"18446744073709551616ns", -ERANGE, 0},
        {"18446744073709551us", 0, 18446744073709551000u},
        {"18446744073709551.615us", 0, UINT64_MAX},
        {"18446744073709551.616us", -ERANGE, 0},
        {"18446744073709552us", -ERANGE, 0},
        {"18446744074s", -ERANGE, 0},
        {"99999999999999999999999999999999999999s", -ERANGE, 0},
        {"99999999999999999999999999999999999999q", -EINVAL, 0},
    };
    (void)state;
    CHECK_ROWS(rows, rk_parse_duration);
}

static void test_size_takes_powers_of_1024(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 0},
        {"4096", 0, 4096},
        {"4096B", 0, 4096},
        {"1K", 0, 1024},
        {"64KiB", 0, 65536},
        {"64kib", 0, 65536},
        {"16M", 0, 16u << 20},
        {"16MiB", 0, 16u << 20},
        {"2G", 0, 2147483648u},
        {"2GiB", 0, 2147483648u},
        {"1.5K", 0, 1536},
        {"0.5M", 0, 524288},
    };
    (void)state;
    CHECK_ROWS(rows, rk_parse_bytes);
}

static void test_size_refuses_junk_and_overflow(void **state)
{
    static const struct row rows[] = {
        {"", -EINVAL, 0},
        {"K", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"1.5", -EINVAL, 0},
        {"1KB", -EINVAL, 0},
        {"1T", -EINVAL, 0},
        {"1 K", -EINVAL, 0},
        {"1Ki", -EINVAL, 0},
        {"17179869183G", 0, 17179869183u * (1ull << 30)},
        {"17179869184G", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
    };
    (void)state;
    CHECK_ROWS(rows, rk_parse_bytes);
}

static void test_count_takes_digits_only(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 0},
        {"42", 0, 42},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"1.5", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"1K", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {" 1", -EINVAL, 0},
    };
    (void)state;
    CHECK_ROWS(rows, rk_parse_count);
}

static void test_cpu_list_keeps_order(void **state)
{
    struct rk_cpu_list list;
    char text[16];
    (void)state;
    assert_int_equal(rk_parse_cpus("3,0,3", &list), 0);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.cpu[0], 3);
    assert_int_equal(list.cpu[1], 0);
    assert_int_equal(list.cpu[2], 3);
    assert_int_equal(rk_cpus_text(&list, 1, text, sizeof(text)), 0);
    assert_string_equal(text, "0,3");
    assert_int_equal(rk_cpus_text(&list, 3, text, sizeof(text)), 0);
    assert_string_equal(text, "");
    assert_int_equal(rk_cpus_text(&list, 0, text, 5), -ENAMETOOLONG);
}

static void test_cpu_list_refuses_junk_and_leaves_the_list_alone(void **state)
{
    static const struct row rows[] = {
        {"", -EINVAL, 0},  {",", -EINVAL, 0},   {"0,", -EINVAL, 0},  {",0", -EINVAL, 0},   {"0,,1", -EINVAL, 0},
        {"a", -EINVAL, 0}, {"0-3", -EINVAL, 0}, {"0 1", -EINVAL, 0}, {"1024", -ERANGE, 0}, {"-1", -EINVAL, 0},
    };
    struct rk_cpu_list list = {.count = UNTOUCHED};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rk_parse_cpus(rows[i].text, &list), rows[i].error);
        assert_int_equal(list.count, UNTOUCHED);
    }
}

static void test_cpu_list_refuses_more_than_it_holds(void **state)
{
    char text[2 * RK_CPUS_MAX + 4];
    struct rk_cpu_list list;
    (void)state;
    for (unsigned i = 0; i <= RK_CPUS_MAX; i++) memcpy(text + 2 * i, "1,", 3);
    text[2 * RK_CPUS_MAX - 1] = '\0';
    assert_int_equal(rk_parse_cpus(text, &list), 0);
    assert_int_equal(list.count, RK_CPUS_MAX);
    text[2 * RK_CPUS_MAX - 1] = ',';
    text[2 * RK_CPUS_MAX + 1] = '\0';
    assert_int_equal(rk_parse_cpus(text, &list), -ERANGE);
}

static void test_values_are_written_as_people_write_them(void **state)
{
    char text[32];
    (void)state;
    assert_string_equal(rk_duration_text(0, text, sizeof(text)), "0ns");
    assert_string_equal(rk_duration_text(1500000, text, sizeof(text)), "1500us");
    assert_string_equal(rk_duration_text(50000000, text, sizeof(text)), "50ms");
    assert_string_equal(rk_duration_text(10000000000u, text, sizeof(text)), "10s");
    assert_string_equal(rk_duration_text(UINT64_MAX, text, sizeof(text)), "18446744073709551615ns");
    assert_string_equal(rk_bytes_text(0, text, sizeof(text)), "0");
    assert_string_equal(rk_bytes_text(1000, text, sizeof(text)), "1000");
    assert_string_equal(rk_bytes_text(16u << 20, text, sizeof(text)), "16MiB");
}

/* What a command line did: exit code, values, and both outputs. */
static struct {
    bool json;
    const char *socket;
    uint64_t timeout_ns;
    uint64_t bytes;
    uint64_t workers;
    uint32_t wait_mode;
    struct rk_cpu_list cpus;
    struct rk_settings settings;
    char *words[2 * RK_SETTINGS_MAX + 5]; /* outlives the caller's, because `arguments` points into it */
    struct rk_arguments arguments;
    int code;
    char out[4096];
    char err[1024];
} seen;

static int redirect(int fd, FILE *to)
{
    int saved = dup(fd);
    assert_true(saved >= 0 && dup2(fileno(to), fd) == fd);
    return saved;
}

static void restore(int fd, int saved, FILE *from, char *text, size_t bytes)
{
    fflush(NULL);
    assert_int_equal(dup2(saved, fd), fd);
    close(saved);
    rewind(from);
    text[fread(text, 1, bytes - 1, from)] = '\0';
    fclose(from);
}

static void parse_line(int argc, const char **words)
{
    memset(&seen, 0, sizeof(seen));
    memcpy(seen.words, words, (size_t)argc * sizeof(seen.words[0]));
    seen.timeout_ns = UNTOUCHED;
    const struct rk_option options[] = {
        {.name = "json", .help = "as JSON", .flag = &seen.json},
        {.name = "socket", .value = "PATH", .help = "where", .text = &seen.socket},
        {.name = "timeout", .value = "D", .help = "how long", .duration_ns = &seen.timeout_ns, .min = 1},
        {.name = "size", .value = "S", .help = "how much", .bytes = &seen.bytes, .min = 256, .max = 1u << 20},
        {.name = "workers", .value = "N", .help = "how many", .count = &seen.workers, .min = 1, .max = 256},
        {.name = "wait", .value = "MODE", .help = "how", .wait_mode = &seen.wait_mode},
        {.name = "pin", .value = "CPUS", .help = "where", .cpus = &seen.cpus},
        {.name = "set", .value = "K=V", .help = "what", .settings = &seen.settings},
        {.name = "secret", .value = "N", .count = &seen.workers},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "call",
                                       .usage = "METHOD [DATA]",
                                       .about = "About.\n",
                                       .more = "More.\n",
                                       .options = options,
                                       .arguments_min = 1,
                                       .arguments_max = 2};
    FILE *out = tmpfile(), *err = tmpfile();
    assert_non_null(out);
    assert_non_null(err);
    fflush(NULL);
    int saved_out = redirect(STDOUT_FILENO, out), saved_err = redirect(STDERR_FILENO, err);
    seen.code = rk_options_parse(&command, argc, seen.words, &seen.arguments);
    restore(STDERR_FILENO, saved_err, err, seen.err, sizeof(seen.err));
    restore(STDOUT_FILENO, saved_out, out, seen.out, sizeof(seen.out));
}
#define PARSE(...)                                                      \
    do {                                                                \
        const char *words[] = {"call", __VA_ARGS__, NULL};              \
        parse_line((int)(sizeof(words) / sizeof(words[0])) - 1, words); \
    } while (0)

static void test_line_fills_every_kind_of_option(void **state)
{
    (void)state;
    PARSE("echo", "--json", "--socket", "/a", "--timeout=50ms", "--size", "1K", "--workers", "2", "--wait", "spin",
          "--pin", "0,1", "--set", "a=1", "--set", "b=", "data");
    assert_int_equal(seen.code, RK_GO_ON);
    assert_string_equal(seen.err, "");
    assert_true(seen.json);
    assert_string_equal(seen.socket, "/a");
    assert_int_equal(seen.timeout_ns, 50000000);
    assert_int_equal(seen.bytes, 1024);
    assert_int_equal(seen.workers, 2);
    assert_int_equal(seen.wait_mode, RASK_WAIT_SPIN);
    assert_int_equal(seen.cpus.count, 2);
    assert_int_equal(seen.settings.count, 2);
    assert_string_equal(seen.settings.list[1], "b=");
    assert_null(seen.settings.list[2]);
    assert_int_equal(seen.arguments.count, 2);
    assert_string_equal(seen.arguments.value[0], "echo");
    assert_string_equal(seen.arguments.value[1], "data");
}

static void test_line_leaves_defaults_alone(void **state)
{
    (void)state;
    PARSE("echo", "-");
    assert_int_equal(seen.code, RK_GO_ON);
    assert_int_equal(seen.timeout_ns, UNTOUCHED);
    assert_string_equal(seen.arguments.value[1], "-");
}

static void test_line_takes_dashes_behind_a_double_dash(void **state)
{
    (void)state;
    PARSE("--json", "--", "echo", "--timeout");
    assert_int_equal(seen.code, RK_GO_ON);
    assert_string_equal(seen.arguments.value[1], "--timeout");
}

static void expect_refusal(const char *message)
{
    assert_int_equal(seen.code, RK_EXIT_USAGE);
    assert_string_equal(seen.out, "");
    assert_string_equal(seen.err, message);
}

static void test_line_names_the_bad_value_and_the_remedy(void **state)
{
    (void)state;
    PARSE("echo", "--timeout", "5q");
    expect_refusal("rask call: --timeout: \"5q\" is not a duration: use a number with ns, us, ms or s (a bare number "
                   "means ms)\n");
    PARSE("echo", "--timeout", "99999999999s");
    expect_refusal("rask call: --timeout: \"99999999999s\" is too large to count\n");
    PARSE("echo", "--timeout", "0");
    expect_refusal("rask call: --timeout: \"0\" is too small: use at least 1ns\n");
    PARSE("echo", "--size", "2M");
    expect_refusal("rask call: --size: \"2M\" is out of range: use 256 to 1MiB\n");
    PARSE("echo", "--workers", "257");
    expect_refusal("rask call: --workers: \"257\" is out of range: use 1 to 256\n");
    PARSE("echo", "--workers", "two");
    expect_refusal("rask call: --workers: \"two\" is not a number: use decimal digits\n");
    PARSE("echo", "--wait", "nap");
    expect_refusal("rask call: --wait: \"nap\" is not a wait mode: use spin, hybrid or park\n");
    PARSE("echo", "--set", "nokey");
    expect_refusal("rask call: --set: \"nokey\" is not KEY=VALUE: put a key, an equals sign and a value\n");
    PARSE("echo", "--set", "=v");
    expect_refusal("rask call: --set: \"=v\" is not KEY=VALUE: put a key, an equals sign and a value\n");
    PARSE("echo", "--pin", "0-1");
    expect_refusal("rask call: --pin: \"0-1\" is not a list of processors: use numbers and commas, as in 0,1\n");
    PARSE("echo", "--socket", "");
    expect_refusal("rask call: --socket: \"\" is empty: give a value\n");
}

static void test_line_points_to_help_when_it_does_not_understand(void **state)
{
    (void)state;
    PARSE("echo", "--bogus");
    expect_refusal("rask call: unknown or ambiguous option --bogus (see \"rask call --help\")\n");
    PARSE("echo", "data", "--bogus=1");
    expect_refusal("rask call: unknown or ambiguous option --bogus=1 (see \"rask call --help\")\n");
    PARSE("echo", "-5");
    expect_refusal("rask call: unknown option -5; put -- before an argument that starts with a dash (see \"rask call "
                   "--help\")\n");
    PARSE("echo", "--timeout");
    expect_refusal("rask call: --timeout needs a value (see \"rask call --help\")\n");
    PARSE("echo", "--json=1");
    expect_refusal("rask call: --json takes no value (see \"rask call --help\")\n");
    PARSE("--json");
    expect_refusal("rask call: an argument is missing: it takes METHOD [DATA] (see \"rask call --help\")\n");
    PARSE("echo", "a", "b");
    expect_refusal("rask call: \"b\" is one argument too many: it takes METHOD [DATA] (see \"rask call --help\")\n");
}

static void test_line_refuses_more_settings_than_it_holds(void **state)
{
    const char *words[2 * RK_SETTINGS_MAX + 5] = {"call", "echo"};
    int argc = 2;
    (void)state;
    for (unsigned i = 0; i < RK_SETTINGS_MAX; i++) {
        words[argc++] = "--set";
        words[argc++] = "k=v";
    }
    parse_line(argc, words);
    assert_int_equal(seen.code, RK_GO_ON);
    assert_int_equal(seen.settings.count, RK_SETTINGS_MAX);
    words[argc++] = "--set";
    words[argc++] = "one=more";
    parse_line(argc, words);
    expect_refusal("rask call: --set: \"one=more\" is one too many: at most 64 settings\n");
}

static void test_help_goes_to_standard_output_and_hides_what_has_no_text(void **state)
{
    (void)state;
    PARSE("--help");
    assert_int_equal(seen.code, RK_EXIT_OK);
    assert_string_equal(seen.err, "");
    assert_non_null(strstr(seen.out, "usage: rask call METHOD [DATA] [OPTION]...\n\nAbout.\n"));
    assert_non_null(strstr(seen.out, "  --timeout D           how long\n"));
    assert_non_null(strstr(seen.out, "\nMore.\n"));
    assert_null(strstr(seen.out, "secret"));
}

static void test_every_status_and_known_errno_has_an_exit_code(void **state)
{
    (void)state;
    assert_int_equal(rk_exit_from_status(RASK_OK), RK_EXIT_OK);
    assert_int_equal(rk_exit_from_status(RASK_CRASHED), RK_EXIT_CRASHED);
    assert_int_equal(rk_exit_from_status(RASK_EXPIRED), RK_EXIT_TIMEOUT);
    assert_int_equal(rk_exit_from_status(RASK_STATUS_COUNT), RK_EXIT_PROTOCOL);
    for (uint32_t status = RASK_OK + 1; status < RASK_STATUS_COUNT; status++) {
        assert_int_not_equal(rk_exit_from_status(status), RK_EXIT_OK);
    }
    assert_int_equal(rk_exit_from_errno(-ENOENT), RK_EXIT_UNAVAILABLE);
    assert_int_equal(rk_exit_from_errno(-ENOEXEC), RK_EXIT_CONFIG);
    assert_int_equal(rk_exit_from_errno(-EPROTO), RK_EXIT_PROTOCOL);
    assert_int_equal(rk_exit_from_errno(-ENOMEM), RK_EXIT_UNAVAILABLE);
    assert_string_equal(rk_errno_word(-ENOEXEC), "BAD_PLUGIN");
}

static void test_signals_are_named(void **state)
{
    char text[64];
    (void)state;
    assert_string_equal(rk_signal_text(11, text, sizeof(text)), "SIGSEGV (Segmentation fault)");
    assert_string_equal(rk_signal_text(4000, text, sizeof(text)), "signal 4000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_takes_every_unit),
        cmocka_unit_test(test_duration_takes_decimals_exactly),
        cmocka_unit_test(test_duration_refuses_junk),
        cmocka_unit_test(test_duration_refuses_overflow_at_the_exact_bound),
        cmocka_unit_test(test_size_takes_powers_of_1024),
        cmocka_unit_test(test_size_refuses_junk_and_overflow),
        cmocka_unit_test(test_count_takes_digits_only),
        cmocka_unit_test(test_cpu_list_keeps_order),
        cmocka_unit_test(test_cpu_list_refuses_junk_and_leaves_the_list_alone),
        cmocka_unit_test(test_cpu_list_refuses_more_than_it_holds),
        cmocka_unit_test(test_values_are_written_as_people_write_them),
        cmocka_unit_test(test_line_fills_every_kind_of_option),
        cmocka_unit_test(test_line_leaves_defaults_alone),
        cmocka_unit_test(test_line_takes_dashes_behind_a_double_dash),
        cmocka_unit_test(test_line_names_the_bad_value_and_the_remedy),
        cmocka_unit_test(test_line_points_to_help_when_it_does_not_understand),
        cmocka_unit_test(test_line_refuses_more_settings_than_it_holds),
        cmocka_unit_test(test_help_goes_to_standard_output_and_hides_what_has_no_text),
        cmocka_unit_test(test_every_status_and_known_errno_has_an_exit_code),
        cmocka_unit_test(test_signals_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
