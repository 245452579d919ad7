/* SPDX-License-Identifier: MIT */
/* rask run: the command line of the supervisor. */
#include "commands.h"
#include "error.h"
#include "exit_codes.h"
#include "ladder.h"
#include "late.h"
#include "loader.h"
#include "options.h"
#include "poison_table.h"
#include "supervisor.h"
#include <limits.h>
#include <rask/client.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static const char about[] =
    "Starts workers that run the plugin's handlers, and the socket where clients find them. Runs in the foreground "
    "and\n"
    "prints `ready PATH` on standard output once the first worker serves; messages go to standard error. A worker "
    "that\n"
    "dies is replaced at once; one that dies over five times in ten seconds waits before each start, 0.1 s doubling "
    "to\n"
    "30 s. SIGTERM and SIGINT let the workers finish the request they are in, then end; a second one ends at once.\n";
static const char more[] =
    "PLUGIN is a path, or a name that is looked for beside the rask binary and in the plugin folder. The default "
    "socket\n"
    "is /run/rask/default.sock for root, else default.sock in $XDG_RUNTIME_DIR/rask or /tmp/rask-UID. A duration is a\n"
    "number with ns, us, ms or s; a bare number means ms.\n"
    "\n"
    "environment: RASK_WAIT and RASK_ENGINE give defaults for --wait and --engine\n"
    "\n"
    "exit codes:\n"
    "    0  ended as asked\n"
    "    1  ended as asked, but workers had to be killed\n"
    "   64  bad usage\n"
    "   69  the machine refused something (memory, processes)\n"
    "   78  the plugin does not load, or the socket cannot be used\n"
    "\n"
    "examples:\n"
    "  rask run --plugin echo\n"
    "  rask run --plugin ./handler.so --workers 4 --set model=/srv/model.bin --socket /tmp/models.sock\n";

struct run {
    const char *plugin;
    const char *socket;
    const char *engine;
    uint64_t workers;
    uint64_t private_fd;
    struct rk_settings settings;
    struct rk_cpu_list cpus;
};

/* A processor that this process may not use would make every worker complain. */
static int check_cpus(const struct rk_cpu_list *cpus)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0) return RK_GO_ON;
    for (unsigned i = 0; i < cpus->count; i++)
        if (cpus->cpu[i] >= CPU_SETSIZE || !CPU_ISSET(cpus->cpu[i], &allowed))
            return rk_usage_error("--pin %u: this process may not use processor %u", cpus->cpu[i], cpus->cpu[i]);
    return RK_GO_ON;
}

/* What the table of options cannot check. */
static int check(const struct run *run, struct rk_supervisor_config *config)
{
    if (!run->plugin) return rk_usage_error("--plugin is missing: name the plugin whose handlers to run");
    int engine = rk_engine_parse(run->engine);
    if (engine < 0) return rk_usage_error("--engine %s: use auto, uring or classic", run->engine);
    if (run->socket && run->private_fd != UINT64_MAX)
        return rk_usage_error("--socket and --private-fd exclude each other");
    config->engine = (enum rk_engine)engine;
    int mode = rk_wait_mode_resolve(config->wait_mode);
    if (mode < 0) return rk_usage_error("%s", rask_last_error());
    config->wait_mode = (uint32_t)mode;
    return check_cpus(&run->cpus);
}

int cmd_run(int argc, char **argv)
{
    struct run run = {.engine = "auto", .workers = 1, .private_fd = UINT64_MAX};
    struct rk_supervisor_config config = {
        .private_fd = -1,
        .start_timeout_ns = RK_START_TIMEOUT_NS_DEFAULT,
        .drain_timeout_ns = RK_DRAIN_TIMEOUT_NS_DEFAULT,
        .kill_grace_ns = RK_KILL_GRACE_NS_DEFAULT,
        .poison_ttl_ns = RK_POISON_TTL_NS_DEFAULT,
    };
    const struct rk_option options[] = {
        {.name = "plugin", .value = "PLUGIN", .help = "handlers to run (required)", .text = &run.plugin},
        {.name = "workers",
         .value = "N",
         .help = "worker processes, 1 to 256 (default 1)",
         .count = &run.workers,
         .min = 1,
         .max = RASK_WORKERS_MAX},
        {.name = "socket", .value = "PATH", .help = "where to listen (default: see below)", .text = &run.socket},
        {.name = "wait", .value = "MODE", .help = "spin, hybrid (default) or park", .wait_mode = &config.wait_mode},
        {.name = "set",
         .value = "KEY=VALUE",
         .help = "setting for the plugin; may be repeated",
         .settings = &run.settings},
        {.name = "pin", .value = "CPU,...", .help = "processor of each worker, in turn", .cpus = &run.cpus},
        {.name = "engine", .value = "ENGINE", .help = "auto (default), uring or classic", .text = &run.engine},
        {.name = "start-timeout",
         .value = "DURATION",
         .help = "time for a worker to get ready (default 10s)",
         .duration_ns = &config.start_timeout_ns,
         .min = 1},
        {.name = "drain-timeout",
         .value = "DURATION",
         .help = "time to finish when asked to end (default 5s)",
         .duration_ns = &config.drain_timeout_ns},
        {.name = "request-timeout",
         .value = "DURATION",
         .help = "longest time in a handler (default: none)",
         .duration_ns = &config.request_timeout_ns,
         .min = 1},
        {.name = "kill-grace",
         .value = "DURATION",
         .help = "from a deadline to the end of a handler that goes on (default 100ms)",
         .duration_ns = &config.kill_grace_ns},
        {.name = "poison-ttl",
         .value = "DURATION",
         .help = "how long a request that killed two workers is refused (default 600s, 0: never)",
         .duration_ns = &config.poison_ttl_ns},
        {.name = "private-fd",
         .value = "FD",
         .help = "serve only the client on this socket, end with it",
         .count = &run.private_fd,
         .min = 3,
         .max = INT_MAX},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "run", .about = about, .more = more, .options = options};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) code = check(&run, &config);
    if (code != RK_GO_ON) return code;

    char path[PATH_MAX];
    struct rk_load_error error;
    if (rk_plugin_find(run.plugin, path, sizeof(path), &error) < 0) config.plugin_error = error.text;
    config.plugin_path = path;
    config.settings = run.settings.list;
    config.socket_path = run.socket;
    config.workers = (uint32_t)run.workers;
    config.cpus = run.cpus.cpu;
    config.cpu_count = run.cpus.count;
    if (run.private_fd != UINT64_MAX) config.private_fd = (int)run.private_fd;
    return rk_supervisor_run(&config);
}
