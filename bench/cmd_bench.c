/* SPDX-License-Identifier: MIT */
/* `rask bench`: the command line, the checks, the order of events. Measuring is in measure.c, the result in bench_result.c and
 * report*.c.
 *
 * Order matters: the floor's peer is forked first, while this process has one thread and no session; the session is opened
 * before this process pins itself, so that neither the supervisor nor its workers inherit the client's processor. */
#include "cmd_bench.h"
#include "bench.h"
#include "commands.h"
#include "exit_codes.h"
#include "options.h"
#include "plot.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull
#define DEFAULT_PLUGIN "echo"

static int parse(struct rk_busy_command *bench, int argc, char **argv)
{
    const struct rk_option options[] = {
        RK_OPTION_PLUGIN(&bench->target),
        RK_OPTION_SOCKET(&bench->target),
        RK_OPTION_SET(&bench->target),
        {.name = "method",
         .value = "NAME",
         .help = "method to call (default echo, or the plugin's first)",
         .text = &bench->method_name},
        {.name = "size", .value = "BYTES", .help = "request size (default 32)", .bytes = &bench->size},
        {.name = "inflight",
         .value = "N",
         .help = "requests in flight (default 1)",
         .count = &bench->in_flight,
         .min = 1,
         .max = RASK_QUEUE_MAX_LIMIT},
        RK_OPTION_WORKERS(&bench->target),
        {.name = "duration",
         .value = "DURATION",
         .help = "how long to measure (default 2s)",
         .duration_ns = &bench->duration_ns,
         .min = 1000000,
         .max = 24 * 3600 * SECOND_NS},
        {.name = "count",
         .value = "N",
         .help = "measure exactly N calls instead",
         .count = &bench->count,
         .min = 1,
         .max = 1000000000000ull},
        RK_OPTION_WAIT(&bench->target),
        {.name = "barrier",
         .value = "KIND",
         .help = "light (default); fence: as where membarrier is missing; fence-only: a full fence per message",
         .text = &bench->barrier},
        {.name = "pin", .value = "CLIENT,WORKER...", .help = "processors to use", .cpus = &bench->pin},
        {.name = "json", .help = "one line of JSON", .flag = &bench->json},
        {.name = "hgrm", .value = "FILE", .help = "the distribution as HdrHistogram has it", .text = &bench->hgrm},
        {.name = "csv", .value = "FILE", .help = "the same as comma-separated values", .text = &bench->csv},
        {.name = "plot", .value = "FILE.svg", .help = "the same as a picture (needs gnuplot)", .text = &bench->plot},
        {.name = NULL},
    };
    const struct rk_command command = {
        .name = "bench",
        .about =
            "Measure round trips to a handler, beside the floor of this machine: the best of several hand-written\n"
            "ping-pongs between two processes over bare shared cache lines, in the same run, slice by slice.\n",
        .more = "\"rask bench --rate N\" measures an open loop: calls at a rate of their own (--rate 1 --help);\n"
                "\"rask bench wake\" measures waiting instead: sleeping and waking, beside their floors;\n"
                "\"rask bench sweep\" measures sizes, depths, workers, clients, handlers, load, a mixture;\n"
                "\"rask bench peers\" measures pipes, sockets, queues and other libraries beside rask;\n"
                "\"rask bench compare A.json B.json\" says what changed between two results (see their --help).\n"
                "Without --plugin and --socket a private supervisor with the echo plugin is measured.\n"
                "Ctrl-C ends the run early with the figures so far.\n\n"
                "  rask bench --wait spin --pin 0,1\n"
                "  rask bench --wait spin --pin 0,1 --inflight 128\n"
                "  rask bench --size 1K --json\n",
        .options = options,
    };
    struct rk_arguments arguments;
    return rk_options_parse(&command, argc, argv, &arguments);
}

static int check_pinning(struct rk_busy_command *bench)
{
    struct rk_environment environment;
    bench->client_cpu = -1;
    bench->worker_cpu = -1;
    for (unsigned i = 0; i < bench->pin.count; i++) {
        if (rk_cpu_is_usable(bench->pin.cpu[i])) continue;
        rk_environment_read(&environment, -1, -1);
        return rk_usage_error("--pin: processor %u cannot be used here; usable: %s", bench->pin.cpu[i],
                              environment.usable);
    }
    snprintf(bench->pinning, sizeof bench->pinning, "none, neither of rask nor of the floor");
    if (bench->pin.count == 0) return RK_GO_ON;
    bench->client_cpu = (int)bench->pin.cpu[0];
    snprintf(bench->pinning, sizeof bench->pinning, "client on %d, workers not", bench->client_cpu);
    if (bench->pin.count == 1) return RK_GO_ON;
    bench->worker_cpu = (int)bench->pin.cpu[1];
    if (rk_cpus_text(&bench->pin, 1, bench->pin_workers, sizeof bench->pin_workers) != 0)
        return rk_usage_error("--pin: too many processors");
    if (bench->target.plugin != NULL) bench->target.pin_workers = bench->pin_workers;
    snprintf(bench->pinning, sizeof bench->pinning, "client on %d, %s on %.100s", bench->client_cpu,
             bench->target.plugin != NULL ? "workers" : "the floor's peer (workers not)", bench->pin_workers);
    return RK_GO_ON;
}

/** Read by librask once per process, and by a private supervisor that inherits it: so before either begins. */
static int check_barrier(const struct rk_busy_command *bench)
{
    if (bench->barrier == NULL) return RK_GO_ON;
    bool fence = strcmp(bench->barrier, "fence") == 0 || strcmp(bench->barrier, "fence-only") == 0;
    if (!fence && strcmp(bench->barrier, "light") != 0)
        return rk_usage_error("--barrier: \"%s\" is none: use light, fence or fence-only", bench->barrier);
    if (fence)
        setenv("RASK_BARRIER", bench->barrier, 1);
    else
        unsetenv("RASK_BARRIER");
    return RK_GO_ON;
}

static int check(struct rk_busy_command *bench)
{
    if (bench->duration_ns != 0 && bench->count != 0)
        return rk_usage_error("--duration and --count exclude each other");
    if (bench->duration_ns == 0) bench->duration_ns = 2 * SECOND_NS;
    if (bench->target.plugin == NULL && bench->target.socket == NULL) bench->target.plugin = DEFAULT_PLUGIN;
    int code = rk_target_check(&bench->target);
    if (code != RK_GO_ON) return code;
    if (bench->size > RASK_PAYLOAD_BYTES_MAX_LIMIT) {
        rk_complain("--size %llu is over the largest payload there can be, %u bytes", (unsigned long long)bench->size,
                    RASK_PAYLOAD_BYTES_MAX_LIMIT);
        return RK_EXIT_TOO_LARGE;
    }
    code = check_barrier(bench);
    if (code == RK_GO_ON) code = check_pinning(bench);
    return code == RK_GO_ON && bench->plot != NULL ? rk_plot_check("--plot") : code;
}

/** Limits that what was asked for fits into; otherwise the defaults, which are what people will use. */
static struct rask_options session_options(const struct rk_busy_command *bench)
{
    struct rask_options options = RASK_OPTIONS_INIT;
    if (bench->size > RASK_PAYLOAD_BYTES_MAX_DEFAULT) options.payload_bytes_max = (uint32_t)bench->size;
    if (bench->in_flight >= RASK_QUEUE_MAX_DEFAULT) options.queue_max = (uint32_t)bench->in_flight;
    /* A block is up to four times its payload. */
    uint64_t slab_bytes = (bench->in_flight + 1) * 4 * bench->size;
    if (slab_bytes > RASK_SLAB_BYTES_MAX_LIMIT) slab_bytes = RASK_SLAB_BYTES_MAX_LIMIT;
    if (slab_bytes > RASK_SLAB_BYTES_MAX_DEFAULT) options.slab_bytes_max = slab_bytes;
    return options;
}

/** Id of the method to measure, or a negative exit code after a message. */
static int choose_method(struct rk_busy_command *bench)
{
    char known[2048];
    size_t used = 0;
    const char *name = bench->method_name != NULL ? bench->method_name : DEFAULT_PLUGIN;
    int method = rask_method(bench->session, name);
    if (method < 0 && bench->method_name == NULL && rask_method_name(bench->session, 0) != NULL) method = 0;
    if (method >= 0) {
        bench->report.method = rask_method_name(bench->session, (uint32_t)method);
        bench->report.echoes = strcmp(bench->report.method, "echo") == 0;
        return method;
    }
    known[0] = '\0';
    for (uint32_t id = 0; used < sizeof known - 1 && (name = rask_method_name(bench->session, id)) != NULL; id++) {
        int wrote = snprintf(known + used, sizeof known - used, " %s", name);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    rk_complain("no method \"%s\"; there is:%s", bench->method_name != NULL ? bench->method_name : DEFAULT_PLUGIN,
                known);
    return -RK_EXIT_USAGE;
}

static int pin_client(const struct rk_busy_command *bench)
{
    cpu_set_t set;
    if (bench->client_cpu < 0) return 0;
    CPU_ZERO(&set);
    CPU_SET((size_t)bench->client_cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0) return 0;
    rk_complain("cannot run on processor %d: %s", bench->client_cpu, strerror(errno));
    return RK_EXIT_USAGE;
}

/** Say what went wrong. Returns the exit code. */
static int explain(const struct rk_busy_command *bench, int error)
{
    const struct rk_trouble *trouble = rk_calls_trouble(bench->calls);
    char text[64];
    unsigned long long done = bench->figures.rask.calls;
    if (trouble->wrong_answer) {
        rk_complain("after %llu measured calls the answer of method echo was not what had been sent", done);
        return RK_EXIT_PROTOCOL;
    }
    if (trouble->status != RASK_OK) {
        const char *detail = trouble->status == RASK_CRASHED ? rk_signal_text(trouble->code, text, sizeof text) : "";
        if (trouble->status == RASK_HANDLER_ERROR) snprintf(text, sizeof text, "code %d", trouble->code), detail = text;
        rk_complain("after %llu measured calls a call ended with %s%s%s: %s", done, rask_status_name(trouble->status),
                    *detail != '\0' ? " " : "", detail, rask_status_text(trouble->status));
        return rk_exit_from_status(trouble->status);
    }
    if (trouble->error != 0) return rk_fail(trouble->error);
    rk_complain("the floor's peer process ended, or could not run on its processor: %s", strerror(-error));
    return RK_EXIT_UNAVAILABLE;
}

static int open_floor(struct rk_busy_command *bench)
{
    struct rk_floor_options options = {.size = bench->size, .peer_cpu = bench->worker_cpu};
    options.shared_cpu =
        bench->report.environment.cpus_usable < 2 || (bench->client_cpu >= 0 && bench->client_cpu == bench->worker_cpu);
    int error = rk_floor_create(&bench->floor, &options);
    if (error == 0) return RK_EXIT_OK;
    rk_complain("cannot set up the floor for %llu bytes: %s", (unsigned long long)bench->size, strerror(-error));
    return RK_EXIT_UNAVAILABLE;
}

static int open_session(struct rk_busy_command *bench)
{
    const struct rask_options options = session_options(bench);
    int error = rk_target_open(&bench->session, &bench->target, &options);
    if (error != 0) return rk_fail(error);
    int method = choose_method(bench);
    if (method < 0) return -method;
    error = rk_calls_create(&bench->calls, bench->session, (uint32_t)method, bench->size, (uint32_t)bench->in_flight,
                            bench->report.echoes);
    return error != 0 ? rk_fail(error) : pin_client(bench);
}

/** Workers that spin, and are ours alone. */
static void find_spinners(struct rk_busy_command *bench)
{
    struct rask_info info = {.size = sizeof info};
    bool ours = bench->target.plugin != NULL;
    if (rask_info(bench->session, &info) != 0 || info.worker_wait_mode != RASK_WAIT_SPIN) ours = false;
    rk_standstill_init(&bench->standstill, ours ? (pid_t)info.supervisor_pid : 0);
}

static int measure(struct rk_busy_command *bench)
{
    find_spinners(bench);
    const struct rk_measure_options options = {
        .duration_ns = bench->duration_ns,
        .count = bench->count,
        .in_flight = (uint32_t)bench->in_flight,
        .standstill = &bench->standstill,
        .show_progress = isatty(STDERR_FILENO) && (bench->count != 0 || bench->duration_ns > 2 * SECOND_NS)};
    int error = rk_measure_run(&bench->figures, bench->calls, bench->floor, &options);
    rk_noise_end(&bench->report.noise);
    /* Ctrl-C reaches the private supervisor too: a call that it ends is the end, not a failure. */
    if (error != 0 && !rk_bench_interrupted) return explain(bench, error);
    if (bench->figures.rask.calls > 0) return RK_EXIT_OK;
    rk_complain("interrupted before anything was measured");
    return RK_EXIT_CANCELLED;
}

static int run(struct rk_busy_command *bench)
{
    rk_environment_read(&bench->report.environment, bench->client_cpu, bench->worker_cpu);
    if (rk_figures_init(&bench->figures) != 0) return rk_fail(-ENOMEM);
    rk_noise_begin(&bench->report.noise); /* nothing of ours runs yet */
    int code = open_floor(bench);
    if (code == RK_EXIT_OK) code = open_session(bench);
    if (code == RK_EXIT_OK) code = measure(bench);
    if (code == RK_EXIT_OK) code = rk_busy_command_print(bench);
    return code;
}

/** The open loop has options of its own. */
static bool has_rate(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--rate") == 0 || strncmp(argv[i], "--rate=", 7) == 0) return true;
    return false;
}

static const struct {
    const char *word;
    int (*run)(int argc, char **argv);
} subcommands[] = {
    {"wake", cmd_bench_wake},
    {"sweep", cmd_bench_sweep},
    {"peers", cmd_bench_peers},
    {"compare", cmd_bench_compare},
};

int cmd_bench(int argc, char **argv)
{
    if (has_rate(argc, argv)) return cmd_bench_rate(argc, argv);
    for (size_t i = 0; argc > 1 && i < sizeof subcommands / sizeof subcommands[0]; i++)
        if (strcmp(argv[1], subcommands[i].word) == 0) return subcommands[i].run(argc - 1, argv + 1);
    static struct rk_busy_command bench; /* large: notes, lists */
    bench = (struct rk_busy_command){.size = RASK_INLINE_BYTES, .in_flight = 1};
    int code = parse(&bench, argc, argv);
    if (code == RK_GO_ON) code = check(&bench);
    if (code != RK_GO_ON) return code;
    rk_bench_catch_interrupt();
    code = run(&bench);
    rk_calls_destroy(bench.calls);
    rask_close(bench.session);
    rk_floor_destroy(bench.floor);
    rk_figures_finish(&bench.figures);
    return code;
}
