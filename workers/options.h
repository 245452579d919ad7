/* SPDX-License-Identifier: MIT */
/* Command lines of all subcommands: one table of options per command, from which parsing, checks, messages and --help
 * follow. A bad value is one line on standard error and exit code 64; --help goes to standard output.
 *
 *   uint64_t timeout_ns = 10000000000u;
 *   const struct rk_option options[] = {
 *       {.name = "timeout", .value = "DURATION", .help = "give up after this long", .duration_ns = &timeout_ns, .min = 1},
 *       {.name = NULL},
 *   };
 *   const struct rk_command command = {.name = "call", .usage = "METHOD [DATA | -]", .about = "...", .options = options,
 *                                      .arguments_min = 1, .arguments_max = 2};
 *   struct rk_arguments arguments;
 *   int code = rk_options_parse(&command, argc, argv, &arguments);
 *   if (code != RK_GO_ON) return code; */
#ifndef RK_OPTIONS_H
#define RK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RK_SETTINGS_MAX 64u
#define RK_CPUS_MAX 1024u
#define RK_OPTIONS_MAX 64u

/** Values of --set, in the order given; `list` is NULL-terminated and fits rask_spawn_options.settings. */
struct rk_settings {
    unsigned count;
    const char *list[RK_SETTINGS_MAX + 1];
};

/** Values of an option that may be repeated. */
#define RK_TEXTS_MAX 32u
struct rk_texts {
    unsigned count;
    const char *list[RK_TEXTS_MAX];
};

/** Processors in the order given: position has a meaning (client first, then workers). */
struct rk_cpu_list {
    unsigned count;
    uint32_t cpu[RK_CPUS_MAX];
};

/** One option. Exactly one of the pointers says what kind of value it has and where that goes; an option that is not
 * on the command line leaves it alone, so it holds the default. */
struct rk_option {
    const char *name;  /* long name without dashes; NULL ends the table */
    char letter;       /* short name; 0: none */
    const char *value; /* what --help calls the value; NULL for a flag */
    const char *help;  /* one line; NULL: not shown */
    uint64_t min;      /* of duration_ns, bytes, count */
    uint64_t max;      /* 0: no bound */

    bool *flag;
    const char **text; /* not empty */
    uint64_t *duration_ns;
    uint64_t *bytes;
    uint64_t *count;
    uint32_t *wait_mode; /* enum rask_wait_mode */
    struct rk_cpu_list *cpus;
    struct rk_settings *settings; /* may be repeated */
    struct rk_texts *texts;       /* may be repeated; not empty */
};

struct rk_command {
    const char *name;
    const char *usage; /* arguments, as --help shows them; NULL: none */
    const char *about; /* what the command does; ends with a newline */
    const char *more;  /* behind the options: exit codes, examples; ends with a newline; or NULL */
    const struct rk_option *options;
    int arguments_min;
    int arguments_max;
    bool is_program; /* a program of its own, not a command of rask: messages name it alone */
};

/** Arguments that are not options, in order. They point into argv. */
struct rk_arguments {
    int count;
    char **value;
};

#define RK_GO_ON (-1)

/** Parse a command line. RK_GO_ON, or the exit code when there is nothing more to do: 0 after --help, 64 after a message. */
int rk_options_parse(const struct rk_command *command, int argc, char **argv, struct rk_arguments *arguments);

/** One line on standard error: `rask COMMAND: ...` (`PROGRAM: ...` for a program of its own), with the command of the last rk_options_parse(). */
__attribute__((format(printf, 1, 2))) void rk_complain(const char *format, ...);

/** Before every such line `clear` is called, so that a progress line can be taken away; NULL: nothing is. */
void rk_complain_first(void (*clear)(void));

/** The same, then `see "rask COMMAND --help"`. Returns RK_EXIT_USAGE, for faults only the command can see. */
__attribute__((format(printf, 1, 2))) int rk_usage_error(const char *format, ...);

/** "500ns", "20us", "1.5ms", "3s", "250" (ms) -> ns. Fractions of a nanosecond are cut off. -EINVAL not a duration,
 * -ERANGE over UINT64_MAX ns. */
int rk_parse_duration(const char *text, uint64_t *ns);

/** "4096", "64K", "64KiB", "1.5M", "2G" -> bytes: K, M and G are powers of 1024, with or without iB; B alone is allowed.
 * -EINVAL, -ERANGE. */
int rk_parse_bytes(const char *text, uint64_t *bytes);

/** Decimal digits only. -EINVAL, -ERANGE. */
int rk_parse_count(const char *text, uint64_t *count);

/** "0,1,5" -> list. -EINVAL, -ERANGE more than RK_CPUS_MAX entries or a number over RK_CPUS_MAX - 1. */
int rk_parse_cpus(const char *text, struct rk_cpu_list *list);

/** The way back: in the largest unit that divides it, "50ms", "16MiB". Returns `text`. */
const char *rk_duration_text(uint64_t ns, char *text, size_t bytes);
const char *rk_bytes_text(uint64_t value, char *text, size_t bytes);

/** Text of the entries from `first` on, "2,3"; the form rask_spawn_options.pin_workers takes. 0, -ENAMETOOLONG. */
int rk_cpus_text(const struct rk_cpu_list *list, unsigned first, char *text, size_t bytes);

#endif
