/* SPDX-License-Identifier: MIT */
/* rask check: does a plugin load? Everything happens in a throw-away child, which reports each step before and after it,
 * so that a crash or a hang has a name, too. What the child says is checked: plugin code runs in it. */
#include "commands.h"
#include "exit_codes.h"
#include "host.h"
#include "json.h"
#include "loader.h"
#include "options.h"
#include "trial.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_NS_DEFAULT 10000000000u

static const char about[] =
    "Says whether a plugin loads, step by step, without starting a supervisor: the file is looked into, loaded, and\n"
    "its open(), drain() and close() are called in a throw-away child.\n";
static const char more[] =
    "PLUGIN is a path, or a name that is looked for beside the rask binary and in the plugin folder.\n"
    "\n"
    "exit codes: 0 it loads, 78 it does not\n"
    "\n"
    "examples:\n"
    "  rask check echo\n"
    "  rask check ./handler.so --set greeting=hello --timeout 2s\n";

/* The loader's checks up to open(), then one of our own. */
enum { STEP_CLOSE = RK_LOAD_OPEN + 1, STEP_COUNT };
static_assert(RK_LOAD_FIND == 1 && RK_LOAD_OPEN == RK_LOAD_SETTINGS + 1,
              "steps are the loader's checks in their order");

enum step_state { STEP_NOT_REACHED = 0, STEP_RUNNING, STEP_PASSED, STEP_FAILED };

/* What the child reports. PASSED stands for all steps before it, too. */
struct step_record {
    uint32_t step;
    uint32_t state; /* enum step_state */
    char text[sizeof(((struct rk_load_error *)NULL)->text)];
};
static_assert(sizeof(struct step_record) <= RK_TRIAL_RECORD_BYTES, "fits a record");

struct check {
    const char *plugin;
    struct rk_settings settings;
    uint64_t timeout_ns;
    bool json;
    struct step_record step[STEP_COUNT]; /* by step; row 0 is not used */
};

static const char *step_name(uint32_t step)
{
    return step == STEP_CLOSE ? "close" : rk_load_check_name(step);
}

__attribute__((format(printf, 4, 5))) static void tell(int socket, uint32_t step, enum step_state state,
                                                       const char *format, ...)
{
    struct step_record record = {.step = step, .state = (uint32_t)state};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(record.text, sizeof(record.text), format, arguments);
    va_end(arguments);
    rk_trial_send(socket, &record, sizeof(record));
}

/* A check that the loader named; what it cannot name belongs to dlopen(). */
static void tell_failure(int socket, const struct rk_load_error *error)
{
    uint32_t step = error->check >= RK_LOAD_FIND && error->check <= RK_LOAD_OPEN ? error->check : RK_LOAD_DLOPEN;
    tell(socket, step, STEP_FAILED, "%s", error->text);
}

static const struct rask_plugin *load(int socket, const struct check *check)
{
    struct rk_load_error error = {0};
    const struct rask_plugin *plugin = NULL;
    char path[4096];
    tell(socket, RK_LOAD_FIND, STEP_RUNNING, "%s", "");
    int result = rk_plugin_find(check->plugin, path, sizeof(path), &error);
    if (result == 0) {
        tell(socket, RK_LOAD_FIND, STEP_PASSED, "%s", path);
        tell(socket, RK_LOAD_ELF, STEP_RUNNING, "%s", "");
        result = rk_plugin_inspect(path, &error);
    }
    if (result == 0) {
        tell(socket, RK_LOAD_ABI, STEP_PASSED, "%s", "");
        tell(socket, RK_LOAD_DLOPEN, STEP_RUNNING, "%s", "");
        result = rk_plugin_load(path, check->settings.list, &plugin, &error);
    }
    if (result == 0) return plugin;
    tell_failure(socket, &error);
    return NULL;
}

static void try_plugin(int socket, void *user)
{
    const struct check *check = user;
    struct rk_host host;
    void *state = NULL;
    const struct rask_plugin *plugin = load(socket, check);
    if (!plugin) return;
    tell(socket, RK_LOAD_TABLE, STEP_PASSED, "%s %s, %u method%s", plugin->name, plugin->version, plugin->method_count,
         plugin->method_count == 1 ? "" : "s");
    tell(socket, RK_LOAD_SETTINGS, STEP_PASSED, "%u given", check->settings.count);
    tell(socket, RK_LOAD_OPEN, STEP_RUNNING, "%s", "");
    rk_host_init(&host, "rask check", check->settings.list);
    int code = plugin->open ? plugin->open(&host.table, &state) : 0;
    if (code != 0) {
        tell(socket, RK_LOAD_OPEN, STEP_FAILED, "open() of %s returned %d: its log lines above say why, if it has any",
             plugin->name, code);
        return;
    }
    tell(socket, RK_LOAD_OPEN, STEP_PASSED, "%s", plugin->open ? "" : "it has none");
    tell(socket, STEP_CLOSE, STEP_RUNNING, "%s", "");
    if (plugin->drain) plugin->drain(state);
    if (plugin->close) plugin->close(state);
    tell(socket, STEP_CLOSE, STEP_PASSED, "%s", plugin->close || plugin->drain ? "" : "it has none");
}

static void take_record(void *user, const void *data, size_t bytes)
{
    struct check *check = user;
    struct step_record record;
    if (bytes != sizeof(record)) return;
    memcpy(&record, data, sizeof(record));
    record.text[sizeof(record.text) - 1] = '\0';
    if (record.step < RK_LOAD_FIND || record.step >= STEP_COUNT || record.state > STEP_FAILED) return;
    for (uint32_t step = RK_LOAD_FIND; step < record.step; step++) {
        if (check->step[step].state != STEP_FAILED) check->step[step].state = STEP_PASSED;
    }
    check->step[record.step] = record;
}

/* The first step that is not fine, or NULL. */
static struct step_record *first_fault(struct check *check)
{
    for (uint32_t step = RK_LOAD_FIND; step < STEP_COUNT; step++) {
        if (check->step[step].state != STEP_PASSED) return &check->step[step];
    }
    return NULL;
}

/* The child is gone and said nothing of why: put that on the step it was in. */
static void blame(struct check *check, const struct rk_trial_result *result)
{
    static const char *const doing[STEP_COUNT] = {
        [RK_LOAD_DLOPEN] = "while it was being loaded (a constructor of the plugin, or one of a library it needs)",
        [RK_LOAD_OPEN] = "in open()",
        [STEP_CLOSE] = "in drain() or close()",
    };
    struct step_record *fault = first_fault(check);
    char what[128], time[32];
    if (!fault || fault->state == STEP_FAILED) return;
    uint32_t step = (uint32_t)(fault - check->step);
    const char *where = doing[step] ? doing[step] : "while the file was read";
    fault->state = STEP_FAILED;
    if (result->end == RK_TRIAL_HUNG) {
        snprintf(fault->text, sizeof(fault->text), "hung %s: not done after %s; fix it, or give it more with --timeout",
                 where, rk_duration_text(check->timeout_ns, time, sizeof(time)));
    } else {
        snprintf(fault->text, sizeof(fault->text), "%s %s: run it under a debugger",
                 rk_trial_text(result, what, sizeof(what)), where);
    }
}

static const char *state_word(uint32_t state)
{
    return state == STEP_PASSED ? "ok" : state == STEP_FAILED ? "failed" : "not reached";
}

static void print_lines(const struct check *check)
{
    for (uint32_t step = RK_LOAD_FIND; step < STEP_COUNT; step++) {
        const struct step_record *row = &check->step[step];
        printf("%-9s  %s%s%s\n", step_name(step), state_word(row->state), row->text[0] ? ": " : "", row->text);
    }
}

static int print_json(const struct check *check, const struct step_record *fault)
{
    json_t *steps = json_array();
    for (uint32_t step = RK_LOAD_FIND; step < STEP_COUNT; step++) {
        const struct step_record *row = &check->step[step];
        json_array_append_new(steps, json_pack("{s:s, s:s, s:o}", "check", step_name(step), "result",
                                               state_word(row->state), "text", rk_json_text(row->text)));
    }
    json_t *object =
        json_pack("{s:o, s:b, s:o}", "plugin", rk_json_text(check->plugin), "ok", fault == NULL, "checks", steps);
    if (object && fault) json_object_set_new(object, "error", rk_json_text(fault->text));
    return rk_json_print(object);
}

static int parse(struct check *check, int argc, char **argv)
{
    const struct rk_option options[] = {
        {.name = "set",
         .value = "KEY=VALUE",
         .help = "configure the plugin; may be repeated",
         .settings = &check->settings},
        {.name = "timeout",
         .value = "DURATION",
         .help = "kill the child after this long (default 10s)",
         .duration_ns = &check->timeout_ns,
         .min = 1},
        {.name = "json", .help = "one JSON object instead of lines", .flag = &check->json},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "check",
                                       .usage = "PLUGIN",
                                       .about = about,
                                       .more = more,
                                       .options = options,
                                       .arguments_min = 1,
                                       .arguments_max = 1};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) check->plugin = arguments.value[0];
    return code;
}

int cmd_check(int argc, char **argv)
{
    struct check check = {.timeout_ns = TIMEOUT_NS_DEFAULT};
    struct rk_trial_result result;
    int code = parse(&check, argc, argv);
    if (code != RK_GO_ON) return code;
    int error = rk_trial_run(try_plugin, take_record, &check, check.timeout_ns, &result);
    if (error < 0) {
        rk_complain("cannot start a child to load the plugin in: %s", strerror(-error));
        return RK_EXIT_UNAVAILABLE;
    }
    blame(&check, &result);
    const struct step_record *fault = first_fault(&check);
    code = RK_EXIT_OK;
    if (check.json) {
        code = print_json(&check, fault);
    } else {
        print_lines(&check);
    }
    if (!fault || code != RK_EXIT_OK) return code;
    rk_complain("%s: check \"%s\" failed: %s", check.plugin, step_name((uint32_t)(fault - check.step)), fault->text);
    return RK_EXIT_CONFIG;
}
