/* SPDX-License-Identifier: MIT */
/* The loader on good, bad and mangled files. Files are built from the test plugins, whose folder RASK_TEST_PLUGINS names;
 * no code of a plugin runs here but that of the constructors of plugins that load. */
#include "loader.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/rask-test-loader-XXXXXX";
static char scratch[PATH_MAX];
static struct rk_load_error error;

static const char *test_plugin(const char *name)
{
    static char path[PATH_MAX];
    const char *plugins = getenv("RASK_TEST_PLUGINS");
    assert_non_null(plugins);
    snprintf(path, sizeof(path), "%s/%s.so", plugins, name);
    return path;
}

static uint8_t *read_plugin(const char *name, size_t *bytes)
{
    FILE *file = fopen(test_plugin(name), "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *content = malloc(*bytes);
    assert_non_null(content);
    assert_int_equal(fread(content, 1, *bytes, file), *bytes);
    fclose(file);
    return content;
}

static const char *write_scratch(const void *content, size_t bytes)
{
    FILE *file = fopen(scratch, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, bytes, file), bytes);
    fclose(file);
    return scratch;
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(scratch, sizeof(scratch), "%s/scratch.so", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(scratch);
    return rmdir(folder);
}

static void refused(int result, enum rk_load_check check, const char *says)
{
    if (result != -ENOEXEC || error.check != (uint32_t)check || !strstr(error.text, says))
        print_message("check %s, \"%s\"\n", rk_load_check_name(error.check), error.text);
    assert_int_equal(result, -ENOEXEC);
    assert_int_equal(error.check, check);
    assert_non_null(strstr(error.text, says));
}

static int load(const char *name, const char *const *settings)
{
    const struct rask_plugin *plugin = (void *)1;
    int result = rk_plugin_load(test_plugin(name), settings, &plugin, &error);
    assert_true((result == 0) == (plugin != NULL));
    return result;
}

static void test_good_plugin_is_loaded(void **state)
{
    const struct rask_plugin *plugin = NULL;
    (void)state;
    assert_int_equal(rk_plugin_inspect(test_plugin("handler_crashes"), &error), 0);
    assert_int_equal(rk_plugin_load(test_plugin("handler_crashes"), NULL, &plugin, &error), 0);
    assert_string_equal(plugin->name, "handler_crashes");
    assert_string_equal(plugin->methods[0].name, "segv");
}

static void test_missing_file_is_refused_with_its_path(void **state)
{
    (void)state;
    refused(rk_plugin_inspect("/nowhere/at-all.so", &error), RK_LOAD_FIND, "/nowhere/at-all.so");
}

static void test_folder_and_pipe_are_refused(void **state)
{
    (void)state;
    refused(rk_plugin_inspect(folder, &error), RK_LOAD_FIND, "not a regular file");
    assert_int_equal(mkfifo(scratch, 0600), 0);
    refused(rk_plugin_inspect(scratch, &error), RK_LOAD_FIND, "not a regular file");
    unlink(scratch);
}

static void test_other_files_are_not_elf(void **state)
{
    (void)state;
    refused(rk_plugin_inspect(write_scratch("", 0), &error), RK_LOAD_ELF, "no ELF header");
    refused(rk_plugin_inspect(write_scratch("#!/bin/sh\n", 10), &error), RK_LOAD_ELF, "no ELF header");
    refused(rk_plugin_inspect(write_scratch("\177ELF", 4), &error), RK_LOAD_ELF, "");
}

static void test_other_machine_and_kind_are_refused(void **state)
{
    size_t bytes;
    (void)state;
    uint8_t *content = read_plugin("settings", &bytes);
    Elf64_Ehdr *head = (void *)content;
    Elf64_Half machine = head->e_machine;
    head->e_machine = EM_SPARCV9;
    refused(rk_plugin_inspect(write_scratch(content, bytes), &error), RK_LOAD_ELF, "another machine");
    head->e_machine = machine;
    head->e_type = ET_REL;
    refused(rk_plugin_inspect(write_scratch(content, bytes), &error), RK_LOAD_ELF, "another kind");
    free(content);
}

/* Whatever is cut off: a named refusal, or a load that works; never a SIGBUS, which would end this test. */
static void test_every_shortened_file_is_refused(void **state)
{
    size_t bytes;
    (void)state;
    uint8_t *content = read_plugin("settings", &bytes);
    for (size_t left = 0; left < bytes; left += left < 1024 ? 37 : 509) {
        assert_int_equal(rk_plugin_inspect(write_scratch(content, left), &error), -ENOEXEC);
        assert_true(error.check == RK_LOAD_ELF || error.check == RK_LOAD_SYMBOL);
        assert_non_null(strstr(error.text, scratch));
    }
    refused(rk_plugin_inspect(write_scratch(content, bytes / 2), &error), RK_LOAD_ELF, "cut short");
    free(content);
}

/* Bytes of the headers and tables replaced at random: inspection must always come to an end and to an answer. */
static void test_mangled_files_never_crash_the_inspection(void **state)
{
    size_t bytes;
    (void)state;
    const char *given = getenv("RASK_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
    print_message("RASK_TEST_SEED=%u\n", seed);
    uint8_t *good = read_plugin("settings", &bytes), *content = malloc(bytes);
    assert_non_null(content);
    for (int round = 0; round < 400; round++) {
        memcpy(content, good, bytes);
        for (int i = 0; i < 1 + round % 8; i++) {
            size_t area = i % 2 == 0 ? 1024 : bytes;
            content[(size_t)rand_r(&seed) % area] = (uint8_t)rand_r(&seed);
        }
        int result = rk_plugin_inspect(write_scratch(content, bytes), &error);
        assert_true(result == 0 || (result == -ENOEXEC && error.text[0] != '\0'));
    }
    free(content);
    free(good);
}

static void test_missing_symbol_is_named(void **state)
{
    (void)state;
    refused(rk_plugin_inspect(test_plugin("no_symbol"), &error), RK_LOAD_SYMBOL, "rask_plugin");
}

static void test_wrong_abi_is_refused_before_its_code_runs(void **state)
{
    (void)state;
    refused(load("wrong_abi", NULL), RK_LOAD_ABI, "ABI 2, this rask has 1"); /* its constructor aborts */
}

static void test_plugin_without_methods_is_refused(void **state)
{
    (void)state;
    refused(load("no_methods", NULL), RK_LOAD_TABLE, "no methods");
}

static void test_bad_method_name_is_refused(void **state)
{
    (void)state;
    refused(load("bad_name", NULL), RK_LOAD_TABLE, "\"not a name\"");
}

static void test_unresolved_symbols_carry_the_linkers_words(void **state)
{
    size_t bytes;
    (void)state;
    uint8_t *content = read_plugin("settings", &bytes);
    char *name = memmem(content, bytes, "memcpy", 7);
    assert_non_null(name);
    memcpy(name, "memxxx", 6);
    const struct rask_plugin *plugin = NULL;
    refused(rk_plugin_load(write_scratch(content, bytes), NULL, &plugin, &error), RK_LOAD_DLOPEN, "memxxx");
    free(content);
}

static void test_settings_are_checked_against_the_declared_keys(void **state)
{
    static const char *const good[] = {"greeting=hello", "colour=", NULL};
    static const char *const unknown[] = {"greeting=hello", "color=red", NULL};
    static const char *const prefix[] = {"greet=x", NULL};
    static const char *const no_value[] = {"greeting", NULL};
    static const char *const no_key[] = {"=x", NULL};
    (void)state;
    assert_int_equal(load("settings", good), 0);
    refused(load("settings", unknown), RK_LOAD_SETTINGS, "greeting, colour");
    assert_non_null(strstr(error.text, "--set color:"));
    refused(load("settings", prefix), RK_LOAD_SETTINGS, "--set greet:");
    refused(load("settings", no_value), RK_LOAD_SETTINGS, "KEY=VALUE");
    refused(load("settings", no_key), RK_LOAD_SETTINGS, "KEY=VALUE");
    refused(load("handler_crashes", good), RK_LOAD_SETTINGS, "it knows: none");
}

static void test_plugin_in_the_current_folder_needs_no_slash(void **state)
{
    const struct rask_plugin *plugin = NULL;
    size_t bytes;
    (void)state;
    uint8_t *content = read_plugin("settings", &bytes);
    write_scratch(content, bytes);
    free(content);
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(folder), 0);
    int result = rk_plugin_load("scratch.so", NULL, &plugin, &error);
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(result, 0);
}

static void test_find_takes_paths_as_they_are(void **state)
{
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(rk_plugin_find(test_plugin("settings"), path, sizeof(path), &error), 0);
    assert_string_equal(path, test_plugin("settings"));
    assert_int_equal(rk_plugin_find("./no-such-file.so", path, sizeof(path), &error), -ENOENT);
    assert_int_equal(error.check, RK_LOAD_FIND);
    assert_int_equal(rk_plugin_find(test_plugin("settings"), path, 8, &error), -ENOENT);
}

/* The folder `plugins` beside this program is where a build tree has them. */
static void test_find_looks_beside_the_binary(void **state)
{
    char path[PATH_MAX], own[PATH_MAX], place[PATH_MAX + 32];
    (void)state;
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    assert_true(length > 0);
    own[length] = '\0';
    *strrchr(own, '/') = '\0';
    snprintf(place, sizeof(place), "%s/rask-test-found.so", own);
    FILE *file = fopen(place, "wb");
    assert_non_null(file);
    fclose(file);
    int by_name = rk_plugin_find("rask-test-found", path, sizeof(path), &error);
    assert_string_equal(path, place);
    int by_file = rk_plugin_find("rask-test-found.so", path, sizeof(path), &error);
    unlink(place);
    assert_int_equal(by_name, 0);
    assert_int_equal(by_file, 0);
}

static void test_find_lists_the_places_it_looked_in(void **state)
{
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(rk_plugin_find("no-such-plugin", path, sizeof(path), &error), -ENOENT);
    assert_non_null(strstr(error.text, "no-such-plugin"));
    assert_non_null(strstr(error.text, "/plugins"));
    assert_int_equal(rk_plugin_find("", path, sizeof(path), &error), -ENOENT);
}

static void test_every_check_has_a_name(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < RK_LOAD_CHECK_COUNT; i++) {
        assert_true(strlen(rk_load_check_name(i)) > 0);
        assert_string_not_equal(rk_load_check_name(i), "unknown");
    }
    assert_string_equal(rk_load_check_name(RK_LOAD_CHECK_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_plugin_is_loaded),
        cmocka_unit_test(test_missing_file_is_refused_with_its_path),
        cmocka_unit_test(test_folder_and_pipe_are_refused),
        cmocka_unit_test(test_other_files_are_not_elf),
        cmocka_unit_test(test_other_machine_and_kind_are_refused),
        cmocka_unit_test(test_every_shortened_file_is_refused),
        cmocka_unit_test(test_mangled_files_never_crash_the_inspection),
        cmocka_unit_test(test_missing_symbol_is_named),
        cmocka_unit_test(test_wrong_abi_is_refused_before_its_code_runs),
        cmocka_unit_test(test_plugin_without_methods_is_refused),
        cmocka_unit_test(test_bad_method_name_is_refused),
        cmocka_unit_test(test_unresolved_symbols_carry_the_linkers_words),
        cmocka_unit_test(test_settings_are_checked_against_the_declared_keys),
        cmocka_unit_test(test_plugin_in_the_current_folder_needs_no_slash),
        cmocka_unit_test(test_find_takes_paths_as_they_are),
        cmocka_unit_test(test_find_looks_beside_the_binary),
        cmocka_unit_test(test_find_lists_the_places_it_looked_in),
        cmocka_unit_test(test_every_check_has_a_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder) != 0;
}
