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
#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <rask/client.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char about[] =
    "Starts workers that run the plugin's handlers, and the socket where clients find them. Runs in the foreground\n"
    "and prints `ready PATH` on standard output once the first worker serves; messages go to standard error. A worker\n"
    "that dies is replaced at once; one that dies too often (--restart-limit) waits before each start, 0.1 s doubling\n"
    "to 30 s, and while all of them wait requests end as UNAVAILABLE. SIGHUP reads the plugin's file again (see rask\n"
    "reload). SIGTERM and SIGINT let the workers finish the request they are in, then end; a second one ends at\n"
    "once.\n";
static const char more[] =
    "PLUGIN is a path, or a name that is looked for beside the rask binary and in the plugin folder. The default "
    "socket\n"
    "is /run/rask/default.sock for root, else default.sock in $XDG_RUNTIME_DIR/rask or /tmp/rask-UID. A duration is a\n"
    "number with ns, us, ms or s; a bare number means ms. A size takes K, M and G.\n"
    "\n"
    "The user who runs it, and root, may connect. --allow-uid and --allow-gid let others in, who can then hurt nobody "
    "but\n"
    "themselves; their requests are copied before a handler sees them. The socket's folder becomes searchable for "
    "them, "
    "if\n"
    "it is yours; they name the socket with --socket. A limit that is given holds for every user, its default for "
    "other\n"
    "users only.\n"
    "\n"
    "A request that a worker dies of is saved, with the signal, the backtrace and its bytes (see rask replay), in\n"
    "/var/lib/rask/crashes for root, else in $XDG_STATE_HOME/rask/crashes or ~/.local/state/rask/crashes.\n"
    "\n"
    "A handler past its deadline, past --request-timeout or cancelled is asked to stop, and killed with its worker "
    "after\n"
    "--kill-grace; no other request is. A request that killed two workers is refused (see rask poison).\n"
    "\n"
    "environment: RASK_WAIT, RASK_ENGINE, RASK_CRASH_DIR, RASK_LOG_LEVEL and RASK_LOG_FORMAT give defaults for the\n"
    "options of that name\n"
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
    "  rask run --plugin echo --socket /run/models/echo.sock --allow-gid models --uid-sessions 8\n"
    "  rask run --plugin ./handler.so --workers 4 --set model=/srv/model.bin --socket /tmp/models.sock\n";

struct run {
    const char *plugin;
    const char *socket;
    const char *engine;
    const char *log_level;
    const char *log_format;
    const char *restart_limit;
    const char *canary;
    const char *user;
    struct rk_texts writable;
    uint64_t workers;
    uint64_t private_fd;
    const char *crash_dir;
    struct rk_settings settings;
    struct rk_cpu_list cpus;
    struct rk_texts allow_uids;
    struct rk_texts allow_gids;
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

/* One that was named has to be fit for use; the default one is looked at when the first worker crashes. */
static int choose_crash_dir(const struct run *run, struct rk_supervisor_config *config, char *dir, size_t bytes)
{
    if (run->crash_dir)
        rk_crash_dir_absolute(run->crash_dir, dir, bytes);
    else
        rk_crash_dir_default(dir, bytes);
    if (strcmp(dir, "none") == 0) return RK_GO_ON;
    config->crash.dir = dir;
    if (!run->crash_dir) return RK_GO_ON;
    int fd = rk_crash_dir_open(dir, true);
    if (fd < 0) {
        rk_complain("--crash-dir %s; name another, or none", rask_last_error());
        return RK_EXIT_CONFIG;
    }
    close(fd);
    return RK_GO_ON;
}

/* "5/10": five deaths in ten seconds; "0": no limit. */
static int parse_restart_limit(const char *text, struct rk_restart_limit *limit)
{
    char copy[32];
    uint64_t deaths, seconds = 10;
    if (!text) return RK_GO_ON;
    size_t length = strcspn(text, "/");
    snprintf(copy, sizeof(copy), "%.*s", length < sizeof(copy) ? (int)length : 0, text);
    bool fits = rk_parse_count(copy, &deaths) == 0 && deaths <= RK_DEATHS_MAX_LIMIT &&
                (text[length] == '\0' ? deaths == 0 : rk_parse_count(text + length + 1, &seconds) == 0) &&
                seconds > 0 && seconds <= 86400;
    if (!fits)
        return rk_usage_error("--restart-limit: \"%s\" is not N/SECONDS: use 0 for no limit, or 1 to %u deaths in 1 to "
                              "86400 seconds, as in 5/10",
                              text, RK_DEATHS_MAX_LIMIT);
    *limit = (struct rk_restart_limit){.deaths_max = (uint32_t)deaths, .window_ns = seconds * 1000000000u};
    return RK_GO_ON;
}

/* Looked up now: workers must not need the user database. */
static int find_user(const char *name, struct rk_identity *identity)
{
    if (!name) return RK_GO_ON;
    uint64_t number;
    bool is_number = rk_parse_count(name, &number) == 0 && number < UINT32_MAX;
    const struct passwd *user = is_number ? getpwuid((uid_t)number) : getpwnam(name);
    if (!user && !is_number) return rk_usage_error("--user %s: there is no such user", name);
    *identity = (struct rk_identity){.given = true, .uid = user ? user->pw_uid : (uid_t)number};
    identity->gid = user ? user->pw_gid : (gid_t)number;
    identity->group_count = sizeof(identity->groups) / sizeof(identity->groups[0]);
    if (!user) identity->group_count = 0;
    if (user && getgrouplist(user->pw_name, user->pw_gid, identity->groups, &identity->group_count) < 0)
        return rk_usage_error("--user %s: is in more than %zu groups", name,
                              sizeof(identity->groups) / sizeof(identity->groups[0]));
    if (geteuid() == 0) return RK_GO_ON;
    if (identity->uid != geteuid())
        return rk_usage_error("--user %s: only root can run workers as another user; this is user %u", name, geteuid());
    identity->given = false; /* it is so already */
    return RK_GO_ON;
}

static int take_writable(const struct rk_texts *writable, struct rk_worker_limits *limits)
{
    static_assert(RK_TEXTS_MAX <= RK_SANDBOX_PATHS_MAX, "all fit");
    if (writable->count > 0 && !limits->sandbox)
        return rk_usage_error("--sandbox-write needs --sandbox: without it every file may be written");
    for (unsigned i = 0; i < writable->count; i++) {
        if (access(writable->list[i], F_OK) < 0)
            return rk_usage_error("--sandbox-write %s: %s", writable->list[i], strerror(errno));
        limits->writable[limits->writable_count++] = writable->list[i];
    }
    return RK_GO_ON;
}

/* Names are looked up now: the running supervisor never needs the user database. */
static int check_access(const struct run *run, struct rk_access *access)
{
    static_assert(RK_TEXTS_MAX <= RK_ACCESS_MAX, "all fit");
    if (run->private_fd != UINT64_MAX && run->allow_uids.count + run->allow_gids.count > 0)
        return rk_usage_error("--private-fd excludes --allow-uid and --allow-gid: it has one client");
    for (unsigned i = 0; i < run->allow_uids.count; i++)
        if (rk_access_add_uid(access, run->allow_uids.list[i]) < 0) return rk_usage_error("%s", rask_last_error());
    for (unsigned i = 0; i < run->allow_gids.count; i++)
        if (rk_access_add_gid(access, run->allow_gids.list[i]) < 0) return rk_usage_error("%s", rask_last_error());
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
    config->log_level = rk_log_level_parse(run->log_level);
    if (config->log_level < 0)
        return rk_usage_error("--log-level %s: use error, warning, info or debug", run->log_level);
    int format = rk_log_format_parse(run->log_format);
    if (format < 0) return rk_usage_error("--log-format %s: use text or json", run->log_format);
    config->log_format = (enum rk_log_format)format;
    int mode = rk_wait_mode_resolve(config->wait_mode);
    if (mode < 0) return rk_usage_error("%s", rask_last_error());
    config->wait_mode = (uint32_t)mode;
    int code = parse_restart_limit(run->restart_limit, &config->restart_limit);
    if (code == RK_GO_ON) code = find_user(run->user, &config->limits.identity);
    if (code == RK_GO_ON) code = take_writable(&run->writable, &config->limits);
    if (code == RK_GO_ON) code = check_access(run, &config->access);
    if (code == RK_GO_ON && run->canary) code = rk_canary_parse(&config->canary, run->canary);
    return code == RK_GO_ON ? check_cpus(&run->cpus) : code;
}

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static int start(const struct run *run, struct rk_supervisor_config *config)
{
    char path[PATH_MAX], crash_dir[PATH_MAX];
    struct rk_load_error error;
    int code = choose_crash_dir(run, config, crash_dir, sizeof(crash_dir));
    if (code != RK_GO_ON) return code;
    if (rk_plugin_find(run->plugin, path, sizeof(path), &error) < 0) config->plugin_error = &error;
    config->plugin_path = path;
    config->settings = run->settings.list;
    config->socket_path = run->socket;
    config->workers = (uint32_t)run->workers;
    config->cpus = run->cpus.cpu;
    config->cpu_count = run->cpus.count;
    if (run->private_fd != UINT64_MAX) config->private_fd = (int)run->private_fd;
    return rk_supervisor_run(config);
}

static struct run run = {.engine = "auto", .workers = 1, .private_fd = UINT64_MAX};
static struct rk_supervisor_config config = {
    .private_fd = -1,
    .start_timeout_ns = RK_START_TIMEOUT_NS_DEFAULT,
    .drain_timeout_ns = RK_DRAIN_TIMEOUT_NS_DEFAULT,
    .kill_grace_ns = RK_KILL_GRACE_NS_DEFAULT,
    .caller_timeout_ns = RASK_CALLER_TIMEOUT_NS_DEFAULT,
    .poison_ttl_ns = RK_POISON_TTL_NS_DEFAULT,
    .crash = RK_CRASH_CONFIG_INIT,
    .restart_limit = {RK_DEATHS_MAX_DEFAULT, RK_DEATHS_WINDOW_NS_DEFAULT},
    .quota = RK_QUOTA_CONFIG_INIT,
};

static const struct rk_option options[] = {
    {.name = "plugin", .value = "PLUGIN", .help = "handlers to run (required)", .text = &run.plugin},
    {.name = "workers",
     .value = "N",
     .help = "worker processes, 1 to 256 (default 1)",
     .count = &run.workers,
     .min = 1,
     .max = RASK_WORKERS_MAX},
    {.name = "socket", .value = "PATH", .help = "where to listen (default: see below)", .text = &run.socket},
    {.name = "wait", .value = "MODE", .help = "spin, hybrid (default) or park", .wait_mode = &config.wait_mode},
    {.name = "set", .value = "KEY=VALUE", .help = "setting for the plugin; may be repeated", .settings = &run.settings},
    {.name = "pin", .value = "CPU,...", .help = "processor of each worker, in turn", .cpus = &run.cpus},
    {.name = "engine", .value = "ENGINE", .help = "auto (default), uring or classic", .text = &run.engine},
    {.name = "start-timeout",
     .value = "DURATION",
     .help = "time for a worker to get ready (default 10s)",
     .duration_ns = &config.start_timeout_ns,
     .min = 1},
    {.name = "canary",
     .value = "METHOD[=DATA]",
     .help = "request that a new file must handle before it serves; =@FILE",
     .text = &run.canary},
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
    {.name = "caller-timeout",
     .value = "DURATION",
     .help = "how long a handler waits for its caller: upcalls, answers of streams (default 5s)",
     .duration_ns = &config.caller_timeout_ns,
     .min = 1},
    {.name = "poison-ttl",
     .value = "DURATION",
     .help = "how long a request that killed two workers is refused (default 600s, 0: never)",
     .duration_ns = &config.poison_ttl_ns},
    {.name = "restart-limit",
     .value = "N/SECONDS",
     .help = "deaths of one worker before its starts wait (default 5/10; 0: no limit)",
     .text = &run.restart_limit},
    {.name = "max-requests",
     .value = "N",
     .help = "replace a worker after N requests, up to a tenth earlier",
     .count = &config.limits.requests_max},
    {.name = "max-rss",
     .value = "SIZE",
     .help = "replace a worker that has more memory of its own",
     .bytes = &config.limits.rss_bytes_max},
    {.name = "max-age",
     .value = "DURATION",
     .help = "replace a worker that is older",
     .duration_ns = &config.limits.age_ns_max},
    {.name = "limit-as",
     .value = "SIZE",
     .help = "address space of a worker; replaced at three quarters",
     .bytes = &config.limits.as_bytes},
    {.name = "limit-nofile",
     .value = "N",
     .help = "descriptors of a worker; replaced at three quarters",
     .count = &config.limits.files},
    {.name = "limit-cpu",
     .value = "SECONDS",
     .help = "processor time of a worker; replaced at three quarters",
     .count = &config.limits.cpu_s,
     .max = UINT32_MAX},
    {.name = "user", .value = "NAME", .help = "run workers as this user (needs root)", .text = &run.user},
    {.name = "sandbox",
     .help = "no programs, sockets, tracing or writing to files in workers",
     .flag = &config.limits.sandbox},
    {.name = "sandbox-write",
     .value = "PATH",
     .help = "file or folder that may be written; may be repeated",
     .texts = &run.writable},
    {.name = "log-level", .value = "LEVEL", .help = "error, warning, info (default) or debug", .text = &run.log_level},
    {.name = "log-format", .value = "FORMAT", .help = "text (default) or json, a line each", .text = &run.log_format},
    {.name = "crash-dir",
     .value = "DIR",
     .help = "where crashes are saved, or none (default: see below)",
     .text = &run.crash_dir},
    {.name = "crash-files",
     .value = "N",
     .help = "keep at most so many, the newest (default 32)",
     .count = &config.crash.files_max,
     .min = 1},
    {.name = "crash-bytes",
     .value = "SIZE",
     .help = "of at most this size together (default 64M)",
     .bytes = &config.crash.bytes_max,
     .min = RK_CRASH_BYTES_MIN},
    {.name = "crash-payload",
     .value = "SIZE",
     .help = "save so much of the request, 0: nothing of it (default 1M)",
     .bytes = &config.crash.payload_bytes_max},
    {.name = "allow-uid",
     .value = "UID|NAME",
     .help = "let this user connect, too; may be repeated",
     .texts = &run.allow_uids},
    {.name = "allow-gid",
     .value = "GID|NAME",
     .help = "let members of this group connect, too; may be repeated",
     .texts = &run.allow_gids},
    {.name = "uid-bytes",
     .value = "SIZE",
     .help = "shared memory of one user (default for other users 1G; 0: no limit)",
     .bytes = &config.quota.uid_bytes},
    {.name = "uid-sessions",
     .value = "N",
     .help = "sessions of one user (default for other users 64; 0: no limit)",
     .count = &config.quota.uid_sessions,
     .max = RASK_SESSIONS_MAX},
    {.name = "session-bytes",
     .value = "SIZE",
     .help = "shared memory of one session (default for other users 64M; 0: no limit)",
     .bytes = &config.quota.session_bytes},
    {.name = "sessions",
     .value = "N",
     .help = "sessions of all users, 1 to 1024 (default 1024)",
     .count = &config.quota.sessions,
     .min = 1,
     .max = RASK_SESSIONS_MAX},
    {.name = "handshake-timeout",
     .value = "DURATION",
     .help = "time for each step of attaching (default 10s)",
     .duration_ns = &config.quota.handshake_ns,
     .min = 1000000u},
    {.name = "private-fd",
     .value = "FD",
     .help = "serve only the client on this socket, end with it",
     .count = &run.private_fd,
     .min = 3,
     .max = INT_MAX},
    {.name = NULL},
};

int cmd_run(int argc, char **argv)
{
    const struct rk_command command = {.name = "run", .about = about, .more = more, .options = options};
    struct rk_arguments arguments;
    run.log_level = environment("RASK_LOG_LEVEL", "info");
    run.log_format = environment("RASK_LOG_FORMAT", "text");
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) code = check(&run, &config);
    if (code == RK_GO_ON) code = start(&run, &config);
    rk_canary_finish(&config.canary);
    return code;
}
