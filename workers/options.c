/* SPDX-License-Identifier: MIT */
/* Command lines from a table: getopt_long underneath, one line per mistake, --help made from the same table. Runs once
 * at the start of a command, in its only thread. */
#include "options.h"
#include "check.h"
#include "exit_codes.h"
#include "ladder.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What getopt_long returns for row i of the table; over every character. */
#define ROW_BASE 1000
#define HELP_COLUMN 24
#define NAME_BYTES_MAX 64

static const char *command_name = "";
static const char *family = "rask"; /* empty for a program of its own */

/* "rask call", "rask", or the name of a program of its own. */
static const char *full_name(char *text, size_t bytes)
{
    snprintf(text, bytes, "%s%s%s", family, *family && *command_name ? " " : "", command_name);
    return text;
}

static void (*clear_first)(void);

void rk_complain_first(void (*clear)(void))
{
    clear_first = clear;
}

__attribute__((format(printf, 1, 0))) static void complain(const char *format, va_list arguments)
{
    char name[NAME_BYTES_MAX];
    if (clear_first) clear_first();
    fprintf(stderr, "%s: ", full_name(name, sizeof(name)));
    vfprintf(stderr, format, arguments);
}

void rk_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int rk_usage_error(const char *format, ...)
{
    char name[NAME_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    fprintf(stderr, " (see \"%s --help\")\n", full_name(name, sizeof(name)));
    return RK_EXIT_USAGE;
}

/* One option's value is bad: the shape every such message has. */
__attribute__((format(printf, 3, 4))) static int bad_value(const struct rk_option *option, const char *value,
                                                           const char *format, ...)
{
    char name[NAME_BYTES_MAX];
    va_list arguments;
    fprintf(stderr, "%s: --%s: \"%s\" ", full_name(name, sizeof(name)), option->name, value);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return -EINVAL;
}

static const char *bound_text(const struct rk_option *option, uint64_t value, char *text, size_t bytes)
{
    if (option->duration_ns) return rk_duration_text(value, text, bytes);
    if (option->bytes) return rk_bytes_text(value, text, bytes);
    snprintf(text, bytes, "%" PRIu64, value);
    return text;
}

static int check_bounds(const struct rk_option *option, const char *value, uint64_t number)
{
    char low[32], high[32];
    if (number >= option->min && (option->max == 0 || number <= option->max)) return 0;
    bound_text(option, option->min, low, sizeof(low));
    if (option->max == 0) return bad_value(option, value, "is too small: use at least %s", low);
    bound_text(option, option->max, high, sizeof(high));
    return bad_value(option, value, "is out of range: use %s to %s", low, high);
}

static int put_number(const struct rk_option *option, const char *value)
{
    uint64_t number = 0;
    const char *what;
    int error;
    if (option->duration_ns) {
        what = "a duration: use a number with ns, us, ms or s (a bare number means ms)";
        error = rk_parse_duration(value, &number);
    } else if (option->bytes) {
        what = "a size: use a number of bytes, or one with K, M or G (powers of 1024)";
        error = rk_parse_bytes(value, &number);
    } else {
        what = "a number: use decimal digits";
        error = rk_parse_count(value, &number);
    }
    if (error == -EINVAL) return bad_value(option, value, "is not %s", what);
    if (error < 0) return bad_value(option, value, "is too large to count");
    if (check_bounds(option, value, number) < 0) return -EINVAL;
    *(option->duration_ns ? option->duration_ns : option->bytes ? option->bytes : option->count) = number;
    return 0;
}

static int put_setting(const struct rk_option *option, const char *value)
{
    struct rk_settings *settings = option->settings;
    if (value[0] == '=' || !strchr(value, '=')) {
        return bad_value(option, value, "is not KEY=VALUE: put a key, an equals sign and a value");
    }
    if (settings->count == RK_SETTINGS_MAX) {
        return bad_value(option, value, "is one too many: at most %u settings", RK_SETTINGS_MAX);
    }
    settings->list[settings->count++] = value;
    settings->list[settings->count] = NULL;
    return 0;
}

static int put_cpus(const struct rk_option *option, const char *value)
{
    int error = rk_parse_cpus(value, option->cpus);
    if (error == -ERANGE) return bad_value(option, value, "names a processor over %u", RK_CPUS_MAX - 1);
    if (error < 0) return bad_value(option, value, "is not a list of processors: use numbers and commas, as in 0,1");
    return 0;
}

static int put_text(const struct rk_option *option, const char *value)
{
    if (*value == '\0') return bad_value(option, value, "is empty: give a value");
    *option->text = value;
    return 0;
}

static int put_one_more(const struct rk_option *option, const char *value)
{
    if (*value == '\0') return bad_value(option, value, "is empty: give a value");
    if (option->texts->count == RK_TEXTS_MAX)
        return bad_value(option, value, "is one too many: at most %u are taken", RK_TEXTS_MAX);
    option->texts->list[option->texts->count++] = value;
    return 0;
}

static int put_wait_mode(const struct rk_option *option, const char *value)
{
    int mode = rk_wait_mode_parse(value);
    if (mode < 0) return bad_value(option, value, "is not a wait mode: use spin, hybrid or park");
    *option->wait_mode = (uint32_t)mode;
    return 0;
}

static int put(const struct rk_option *option, const char *value)
{
    if (option->flag) {
        *option->flag = true;
        return 0;
    }
    if (option->text) return put_text(option, value);
    if (option->texts) return put_one_more(option, value);
    if (option->settings) return put_setting(option, value);
    if (option->cpus) return put_cpus(option, value);
    if (option->wait_mode) return put_wait_mode(option, value);
    return put_number(option, value);
}

static void show_option(char letter, const char *name, const char *value, const char *help)
{
    int width = letter ? printf("  -%c, ", letter) : printf("  ");
    width += printf("--%s%s%s", name, value ? " " : "", value ? value : "");
    if (width >= HELP_COLUMN - 1) {
        putchar('\n');
        width = 0;
    }
    printf("%*s%s\n", HELP_COLUMN - width, "", help);
}

static void show_help(const struct rk_command *command)
{
    char name[NAME_BYTES_MAX];
    printf("usage: %s%s%s [OPTION]...\n\n%s\n", full_name(name, sizeof(name)), command->usage ? " " : "",
           command->usage ? command->usage : "", command->about);
    for (const struct rk_option *option = command->options; option->name; option++) {
        if (option->help) show_option(option->letter, option->name, option->value, option->help);
    }
    show_option(0, "help", NULL, "show this text");
    if (command->more) printf("\n%s", command->more);
}

/* getopt_long refused something: say what. `word` is the argument it stopped at. */
static int refused(int result, const char *word, const struct rk_option *options)
{
    if (optopt >= ROW_BASE && result == ':') return rk_usage_error("%s needs a value", word);
    if (result == ':') return rk_usage_error("-%c needs a value", optopt);
    if (optopt >= ROW_BASE) return rk_usage_error("--%s takes no value", options[optopt - ROW_BASE].name);
    if (word[0] == '-' && word[1] == '-') return rk_usage_error("unknown or ambiguous option %s", word);
    return rk_usage_error("unknown option -%c; put -- before an argument that starts with a dash", optopt);
}

/* For getopt_long: the table of long names and, behind ":h", the letters. */
static void fill_options(const struct rk_option *options, struct option *table, char *letters)
{
    int count = 0;
    letters = stpcpy(letters, ":h");
    for (; options[count].name; count++) {
        RK_CHECK(count < (int)RK_OPTIONS_MAX);
        int kind = options[count].flag ? no_argument : required_argument;
        table[count] = (struct option){.name = options[count].name, .has_arg = kind, .val = ROW_BASE + count};
        if (!options[count].letter) continue;
        *letters++ = options[count].letter;
        if (kind == required_argument) *letters++ = ':';
    }
    *letters = '\0';
    table[count] = (struct option){.name = "help", .has_arg = no_argument, .val = 'h'};
}

/* A row's number for what getopt_long returned, which may be the row's letter; -1 for neither. */
static int row_of(const struct rk_option *options, int result)
{
    if (result >= ROW_BASE) return result - ROW_BASE;
    for (int row = 0; options[row].name; row++) {
        if (options[row].letter && options[row].letter == result) return row;
    }
    return -1;
}

static int check_arguments(const struct rk_command *command, const struct rk_arguments *arguments)
{
    const char *usage = command->usage ? command->usage : "no arguments";
    if (arguments->count < command->arguments_min) return rk_usage_error("an argument is missing: it takes %s", usage);
    if (arguments->count <= command->arguments_max) return RK_GO_ON;
    return rk_usage_error("\"%s\" is one argument too many: it takes %s", arguments->value[command->arguments_max],
                          usage);
}

int rk_options_parse(const struct rk_command *command, int argc, char **argv, struct rk_arguments *arguments)
{
    struct option table[RK_OPTIONS_MAX + 2] = {0};
    char letters[2 * RK_OPTIONS_MAX + 3];
    int result;
    command_name = command->name;
    family = command->is_program ? "" : "rask";
    fill_options(command->options, table, letters);
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (;;) {
        int before = optind == 0 ? 1 : optind;
        result = getopt_long(argc, argv, letters, table, NULL);
        if (result == -1) break;
        if (result == 'h') {
            show_help(command);
            return RK_EXIT_OK;
        }
        int row = row_of(command->options, result);
        if (row < 0) return refused(result, argv[optind > before ? optind - 1 : before], command->options);
        if (put(&command->options[row], optarg) < 0) return RK_EXIT_USAGE;
    }
    *arguments = (struct rk_arguments){.count = argc - optind, .value = argv + optind};
    return check_arguments(command, arguments);
}
