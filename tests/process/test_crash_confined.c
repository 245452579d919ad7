/* SPDX-License-Identifier: MIT */
/* What a crash leaves when the worker is confined or runs a new file. What is in a file at all: test_crash_files.c. */
#include "crash_kit.h"
#include <errno.h>

/* Confined workers leave the same: the handler needs no more than their sandbox or their user allows. */
static void crash_confined(const char *option, const char *value)
{
    struct rk_crash_file file;
    start(option, value);
    struct rask *s = kit_connect(&server, NULL);
    move_on(s, 40);
    crash(s, "segv", "confined", 8);
    open_told(s, &file);
    assert_string_equal(file.signal, "11 SIGSEGV (Segmentation fault)");
    expect_line(&file, "record: yes\n");
    expect_line(&file, "signal-code: 1\n"); /* the true death: the kernel's, at the fault */
    expect_line(&file, "fault-address: 0x0\n");
    expect_line(&file, "crasher.so+0x");
    assert_true(file.maps_bytes > 1000);
    expect_payload(&file, (const uint8_t *)"confined", 8);
    put_away(s, &file);
    crash(s, "overflow", NULL, 0);
    open_told(s, &file);
    expect_line(&file, "record: yes\n");
    put_away(s, &file);
    rask_close(s);
    stop();
}

static void test_sandboxed_worker_leaves_a_file(void **state)
{
    (void)state;
    crash_confined("--sandbox", NULL);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    assert_true(in && out);
    for (size_t got; (got = fread(bytes, 1, sizeof(bytes), in)) > 0;) assert_int_equal(fwrite(bytes, 1, got, out), got);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* The worker runs a private copy; what the file says is the name that the operator knows, whatever is there by now. */
static void test_after_a_reload_the_file_names_the_new_plugin(void **state)
{
    (void)state;
    struct rk_crash_file file;
    char plugin[96], line[128];
    start("--sandbox", NULL);
    snprintf(plugin, sizeof(plugin), "%s/new.so", folder);
    snprintf(line, sizeof(line), "plugin-path: %s\n", plugin);
    copy_file(kit_plugin("crasher"), plugin);
    struct rask *s = kit_connect(&server, NULL);
    crash(s, "segv", "old", 3);
    settle(s);
    assert_int_equal(kit_rask("reload", "--socket", server.socket, "--plugin", plugin, NULL)->code, 0);
    copy_file(kit_plugin("settings"), plugin);
    crash(s, "segv", "new", 3);
    open_told(s, &file);
    expect_line(&file, line);
    expect_line(&file, "record: yes\n");
    expect_line(&file, "new.so+0x");
    assert_string_equal(file.plugin, "crasher");
    expect_payload(&file, (const uint8_t *)"new", 3);
    put_away(s, &file);
    assert_int_equal(files(NULL, 0), 2);
    rask_close(s);
    unlink(plugin);
    stop();
}

static void test_worker_of_another_user_leaves_a_file(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root can run workers as another user\n");
        skip();
    }
    crash_confined("--user", "65534");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_sandboxed_worker_leaves_a_file),
        KIT_TEST(test_after_a_reload_the_file_names_the_new_plugin),
        KIT_TEST(test_worker_of_another_user_leaves_a_file),
    };
    kit_init();
    kit_ignore_leaks(); /* the checker traces, which the sandbox refuses */
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
