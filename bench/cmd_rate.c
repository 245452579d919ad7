/* SPDX-License-Identifier: MIT */
/* `rask bench --rate N`: the open loop. Calls are sent at a rate of their own and not when the last one was answered, as
 * people's requests come; latency is from when a call was meant to be sent, and beside it from when it was. No floor: there is
 * none of a queue. See open_loop.h. */
#include "bench.h"
#include "calls.h"
#include "distribution.h"
#include "environment_json.h"
#include "exit_codes.h"
#include "ladder.h"
#include "noise.h"
#include "open_loop.h"
#include "options.h"
#include "plot.h"
#include "runner.h"
#include "slice.h"
#include "suite.h"
#include "target.h"
#include <errno.h>
#include <rask/status.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS 1000000000ull
#define RATE_MAX 100000000ull
#define WARM_UP_NS 100000000u
#define BEYOND_MIN 100u
/* Fewer than this part of the calls sent by the end: the queue grows for as long as it runs. */
#define KEPT_UP 0.99

static const double percents[] = {50, 90, 99, 99.9, 99.99, 99.999};
#define PERCENTS (sizeof percents / sizeof percents[0])

struct rate {
    struct rk_target target;
    const char *method, *arrivals, *hgrm, *csv, *plot;
    uint64_t rate, size, in_flight, duration_ns;
    struct rk_cpu_list pin;
    bool json;
    char worker_cpus[4096];
    int client_cpu, worker_cpu;
    struct rask *session;
    struct rk_calls *calls;
    struct rk_open_loop loop;
    struct rk_environment environment;
    struct rk_noise noise;
    struct rask_info info;
};

static int parse(struct rate *rate, int argc, char **argv)
{
    const struct rk_option options[] = {
        {.name = "rate", .value = "N", .help = "calls per second", .count = &rate->rate, .min = 1, .max = RATE_MAX},
        {.name = "arrivals",
         .value = "KIND",
         .help = "even (default), or poisson: by chance, as many people's requests come",
         .text = &rate->arrivals},
        RK_OPTION_PLUGIN(&rate->target),
        RK_OPTION_SOCKET(&rate->target),
        RK_OPTION_SET(&rate->target),
        {.name = "method", .value = "NAME", .help = "method to call (default echo)", .text = &rate->method},
        {.name = "size", .value = "BYTES", .help = "request size (default 32)", .bytes = &rate->size},
        {.name = "inflight",
         .value = "N",
         .help = "at most so many in flight (default 1000); more wait, and that counts",
         .count = &rate->in_flight,
         .min = 1,
         .max = RASK_QUEUE_MAX_DEFAULT - 1},
        RK_OPTION_WORKERS(&rate->target),
        {.name = "duration",
         .value = "DURATION",
         .help = "how long to send (default 2s)",
         .duration_ns = &rate->duration_ns,
         .min = 1000000,
         .max = 24 * 3600 * SECOND_NS},
        RK_OPTION_WAIT(&rate->target),
        {.name = "pin", .value = "CLIENT,WORKER...", .help = "processors to use", .cpus = &rate->pin},
        {.name = "json", .help = "one line of JSON", .flag = &rate->json},
        {.name = "hgrm", .value = "FILE", .help = "the distribution as HdrHistogram has it", .text = &rate->hgrm},
        {.name = "csv", .value = "FILE", .help = "the same as comma-separated values", .text = &rate->csv},
        {.name = "plot", .value = "FILE.svg", .help = "the same as a picture (needs gnuplot)", .text = &rate->plot},
        {.name = NULL},
    };
    const struct rk_command command = {
        .name = "bench",
        .about = "Measure an open loop: calls are sent at a rate of their own, whether or not answers keep up. Latency "
                 "is from\n"
                 "when a call was meant to be sent, so that waiting behind late ones counts; beside it, uncorrected, "
                 "from when\n"
                 "it was sent. The sender looks at the clock all the time and takes a processor.\n",
        .more = "  rask bench --rate 200000 --pin 0,1\n"
                "  rask bench --rate 1000 --wait park --duration 30s --hgrm open.hgrm\n",
        .options = options,
    };
    struct rk_arguments arguments;
    return rk_options_parse(&command, argc, argv, &arguments);
}

static int check(struct rate *rate)
{
    rate->client_cpu = rate->worker_cpu = -1;
    if (rate->target.plugin == NULL && rate->target.socket == NULL) rate->target.plugin = "echo";
    if (rate->size > RASK_PAYLOAD_BYTES_MAX_DEFAULT)
        return rk_usage_error("--size: an open loop has at most %u bytes a request", RASK_PAYLOAD_BYTES_MAX_DEFAULT);
    for (unsigned i = 0; i < rate->pin.count; i++) {
        if (rk_cpu_is_usable(rate->pin.cpu[i])) continue;
        rk_environment_read(&rate->environment, -1, -1);
        return rk_usage_error("--pin: processor %u cannot be used here; usable: %s", rate->pin.cpu[i],
                              rate->environment.usable);
    }
    if (rate->pin.count > 0) rate->client_cpu = (int)rate->pin.cpu[0];
    if (rate->pin.count > 1) {
        rate->worker_cpu = (int)rate->pin.cpu[1];
        if (rk_cpus_text(&rate->pin, 1, rate->worker_cpus, sizeof rate->worker_cpus) != 0)
            return rk_usage_error("--pin: too many processors");
        if (rate->target.plugin != NULL) rate->target.pin_workers = rate->worker_cpus;
    }
    if (rate->arrivals != NULL && strcmp(rate->arrivals, "even") != 0 && strcmp(rate->arrivals, "poisson") != 0)
        return rk_usage_error("--arrivals: \"%s\" is none: use even or poisson", rate->arrivals);
    int code = rate->plot != NULL ? rk_plot_check("--plot") : RK_GO_ON;
    return code == RK_GO_ON ? rk_target_check(&rate->target) : code;
}

static int open_session(struct rate *rate)
{
    const struct rask_options options = RASK_OPTIONS_INIT;
    const char *name = rate->method != NULL ? rate->method : "echo";
    double mean_ns;
    int error = rk_target_open(&rate->session, &rate->target, &options);
    if (error != 0) return rk_fail(error);
    int method = rask_method(rate->session, name);
    if (method < 0) return rk_usage_error("--method: the plugin has no method \"%s\"; see rask methods", name);
    error = rk_calls_create(&rate->calls, rate->session, (uint32_t)method, rate->size, (uint32_t)rate->in_flight,
                            strcmp(name, "echo") == 0);
    if (error == 0) error = rk_open_loop_init(&rate->loop, rate->rate, rate->duration_ns);
    if (error != 0) return rk_fail(error);
    rate->loop.poisson = rate->arrivals != NULL && strcmp(rate->arrivals, "poisson") == 0;
    rate->loop.seed = 1;
    rk_runner_pin(rate->client_cpu);
    error = rk_calls_warm_up(rate->calls, WARM_UP_NS, &mean_ns);
    return error == 0 ? RK_EXIT_OK : rk_fail(error);
}

static int measure(struct rate *rate)
{
    int error = rk_calls_open_loop(rate->calls, &rate->loop);
    const struct rk_trouble *trouble = rk_calls_trouble(rate->calls);
    if (error != 0 && !rk_bench_interrupted) {
        rk_complain("after %llu calls: %s", (unsigned long long)rate->loop.calls,
                    trouble->wrong_answer        ? "an answer was not what had been sent"
                    : trouble->status != RASK_OK ? rask_status_text(trouble->status)
                                                 : rask_strerror(error));
        return trouble->status != RASK_OK ? rk_exit_from_status(trouble->status) : RK_EXIT_UNAVAILABLE;
    }
    if (rate->loop.calls > 0) return RK_EXIT_OK;
    rk_complain("interrupted before anything was measured");
    return RK_EXIT_CANCELLED;
}

/* ---- results --------------------------------------------------------------------------------------------------------- */

static double served(const struct rk_open_loop *loop)
{
    return loop->took_ns > 0 && loop->calls > 1 ? (double)(loop->calls - 1) * 1e9 / (double)loop->took_ns : 0;
}

static bool kept_up(const struct rk_open_loop *loop)
{
    return (double)loop->unsent <= (1 - KEPT_UP) * (double)(loop->calls + loop->unsent);
}

static void print_row(const char *name, const struct rk_histogram *histogram)
{
    char text[32];
    printf("  %-15s", name);
    for (size_t i = 0; i < PERCENTS; i++) {
        bool enough = rk_histogram_beyond(histogram, percents[i]) >= BEYOND_MIN;
        double value_ns = enough ? (double)rk_histogram_percentile(histogram, percents[i]) : 0;
        printf(" %10s", rk_suite_time(value_ns, text, sizeof text));
    }
    printf(" %10s\n", rk_suite_time((double)rk_histogram_max(histogram), text, sizeof text));
}

static void print_text(const struct rate *rate)
{
    const struct rk_open_loop *loop = &rate->loop;
    const struct rk_environment *at = &rate->environment;
    printf("rask bench: open loop, %llu calls/s %s, plugin %s, %llu bytes, %u worker%s\n",
           (unsigned long long)rate->rate, rate->loop.poisson ? "by chance" : "evenly spaced", rate->info.plugin,
           (unsigned long long)rate->size, rate->info.workers, rate->info.workers == 1 ? "" : "s");
    printf("  machine   %s, %u processors%s; %s; load %.2f\n  build     %s\n", at->cpu, at->cpus_online,
           at->is_virtual ? " (virtual)" : "", at->kernel, at->load, at->build);
    printf("  waiting   client spins, workers %s; engine %s\n", rk_wait_mode_name(rate->info.worker_wait_mode),
           rate->info.engine);
    if (at->relation[0] != '\0')
        printf("  pinning   client on %d, worker on %d: %s\n", rate->client_cpu, rate->worker_cpu, at->relation);
    printf("\n  %-15s %10s %10s %10s %10s %10s %10s %10s\n", "latency", "p50", "p90", "p99", "p99.9", "p99.99",
           "p99.999", "max");
    print_row("from intended", loop->from_intended);
    print_row("from sent", loop->from_sent);
    printf("\n  %llu calls answered, %.0f calls/s; %llu were sent over 1 us late. Percentiles where at least %u "
           "samples lie\n"
           "  beyond them. \"from sent\" is uncorrected: it leaves out how long a call waited to be sent.\n",
           (unsigned long long)loop->calls, served(loop), (unsigned long long)loop->late, BEYOND_MIN);
    if (!kept_up(loop))
        printf("  note: the rate is more than was served: %llu calls were due and not sent at the end; latency grew "
               "for as long\n"
               "        as it ran, and theirs is not among these\n",
               (unsigned long long)loop->unsent);
    if (at->smt_siblings) printf("  note: client and worker run on two threads of one core\n");
    if (rate->noise.noisy)
        printf("  NOISY: others used %.0f %% of the processors just before, %.1f %% was stolen, load %.2f\n",
               rate->noise.busy_before * 100, rate->noise.stolen * 100, rate->noise.load);
}

static json_t *latencies(const struct rk_histogram *histogram)
{
    json_t *out = json_object();
    for (size_t i = 0; i < PERCENTS; i++) {
        char key[32];
        bool enough = rk_histogram_beyond(histogram, percents[i]) >= BEYOND_MIN;
        snprintf(key, sizeof key, "p%g_ns", percents[i]);
        json_object_set_new(
            out, key, enough ? json_integer((json_int_t)rk_histogram_percentile(histogram, percents[i])) : json_null());
    }
    json_object_set_new(out, "max_ns", json_integer((json_int_t)rk_histogram_max(histogram)));
    json_object_set_new(out, "mean_ns", json_real(rk_histogram_mean(histogram)));
    return out;
}

static int print_json(const struct rate *rate)
{
    const struct rk_open_loop *loop = &rate->loop;
    json_t *out = json_object();
    json_object_set_new(out, "conditions", rk_environment_json(&rate->environment, rate->client_cpu, rate->worker_cpu));
    json_object_set_new(out, "rate", json_integer((json_int_t)rate->rate));
    json_object_set_new(out, "arrivals", rk_json_text(rate->loop.poisson ? "poisson" : "even"));
    json_object_set_new(out, "served_per_s", json_real(served(loop)));
    json_object_set_new(out, "kept_up", json_boolean(kept_up(loop)));
    json_object_set_new(out, "calls", json_integer((json_int_t)loop->calls));
    json_object_set_new(out, "unsent", json_integer((json_int_t)loop->unsent));
    json_object_set_new(out, "late", json_integer((json_int_t)loop->late));
    json_object_set_new(out, "size", json_integer((json_int_t)rate->size));
    json_object_set_new(out, "inflight_max", json_integer((json_int_t)rate->in_flight));
    json_object_set_new(out, "plugin", rk_json_text(rate->info.plugin));
    json_object_set_new(out, "workers", json_integer(rate->info.workers));
    json_object_set_new(out, "worker_wait", rk_json_text(rk_wait_mode_name(rate->info.worker_wait_mode)));
    json_object_set_new(out, "engine", rk_json_text(rate->info.engine));
    json_object_set_new(out, "from_intended", latencies(loop->from_intended));
    json_object_set_new(out, "from_sent", latencies(loop->from_sent));
    json_object_set_new(out, "noisy", json_boolean(rate->noise.noisy));
    json_object_set_new(out, "interrupted", json_boolean(rk_bench_interrupted));
    return rk_json_print(out);
}

static int draw(const struct rate *rate)
{
    char title[160];
    const struct rk_plot_curve curves[] = {{"from intended", rate->loop.from_intended},
                                           {"from sent (uncorrected)", rate->loop.from_sent}};
    snprintf(title, sizeof title, "open loop, %llu calls/s, %llu bytes", (unsigned long long)rate->rate,
             (unsigned long long)rate->size);
    return rk_plot_distribution(rate->plot, title, curves, 2);
}

static int print(struct rate *rate)
{
    rate->info.size = sizeof rate->info;
    rask_info(rate->session, &rate->info);
    int code = RK_EXIT_OK;
    if (rate->json)
        code = print_json(rate);
    else
        print_text(rate);
    if (code == RK_EXIT_OK && rate->hgrm != NULL)
        code = rk_distribution_file("--hgrm", rate->hgrm, rate->loop.from_intended);
    if (code == RK_EXIT_OK && rate->csv != NULL)
        code = rk_distribution_file("--csv", rate->csv, rate->loop.from_intended);
    return code == RK_EXIT_OK && rate->plot != NULL ? draw(rate) : code;
}

int cmd_bench_rate(int argc, char **argv)
{
    static struct rate rate;
    rate = (struct rate){.size = RASK_INLINE_BYTES, .in_flight = 1000, .duration_ns = 2 * SECOND_NS};
    int code = parse(&rate, argc, argv);
    if (code == RK_GO_ON) code = check(&rate);
    if (code != RK_GO_ON) return code;
    rk_bench_catch_interrupt();
    rk_environment_read(&rate.environment, rate.client_cpu, rate.worker_cpu);
    rk_noise_begin(&rate.noise);
    code = open_session(&rate);
    if (code == RK_EXIT_OK) code = measure(&rate);
    rk_noise_end(&rate.noise);
    if (code == RK_EXIT_OK) code = print(&rate);
    rk_open_loop_finish(&rate.loop);
    rk_calls_destroy(rate.calls);
    rask_close(rate.session);
    return code;
}
