/* SPDX-License-Identifier: MIT */
/* rask methods: what a supervisor or a plugin offers, one name and summary per line. */
#include "commands.h"
#include "exit_codes.h"
#include "json.h"
#include "options.h"
#include "target.h"
#include <rask/rask.h>
#include <stdio.h>
#include <string.h>

static const char about[] = "Lists the methods of a running supervisor (the default socket if nothing is named) or of\n"
                            "a plugin: name and summary, one per line.\n";
static const char more[] = "exit codes: as those of rask call\n"
                           "\n"
                           "examples:\n"
                           "  rask methods --plugin echo\n"
                           "  rask methods --socket /run/rask/default.sock --json\n";

static const char *summary_of(const struct rask *session, uint32_t id)
{
    const char *summary = rask_method_summary(session, id);
    return summary ? summary : "";
}

static int print_lines(const struct rask *session)
{
    size_t width = 0;
    const char *name;
    for (uint32_t id = 0; (name = rask_method_name(session, id)); id++) {
        if (strlen(name) > width) width = strlen(name);
    }
    for (uint32_t id = 0; (name = rask_method_name(session, id)); id++) {
        const char *summary = summary_of(session, id);
        printf("%-*s%s%s\n", *summary ? (int)width : 0, name, *summary ? "  " : "", summary);
    }
    return RK_EXIT_OK;
}

static int print_json(const struct rask *session)
{
    struct rask_info info = {.size = sizeof(info)};
    json_t *methods = json_array();
    const char *name;
    rask_info(session, &info);
    for (uint32_t id = 0; (name = rask_method_name(session, id)); id++) {
        json_array_append_new(methods, json_pack("{s:o, s:o}", "name", rk_json_text(name), "summary",
                                                 rk_json_text(summary_of(session, id))));
    }
    return rk_json_print(json_pack("{s:o, s:o, s:o}", "plugin", rk_json_text(info.plugin), "version",
                                   rk_json_text(info.plugin_version), "methods", methods));
}

int cmd_methods(int argc, char **argv)
{
    struct rk_target target = {0};
    bool json = false;
    uint64_t timeout_ns = RASK_CONNECT_TIMEOUT_NS_DEFAULT;
    const struct rk_option options[] = {
        RK_OPTION_SOCKET(&target),
        RK_OPTION_PLUGIN(&target),
        RK_OPTION_SET(&target),
        {.name = "timeout",
         .value = "DURATION",
         .help = "wait this long for a worker (default 5s)",
         .duration_ns = &timeout_ns,
         .min = 1},
        {.name = "json", .help = "one JSON object instead of lines", .flag = &json},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "methods", .about = about, .more = more, .options = options};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code == RK_GO_ON) code = rk_target_check(&target);
    if (code != RK_GO_ON) return code;

    struct rask_options session_options = RASK_OPTIONS_INIT;
    struct rask *session;
    session_options.connect_timeout_ns = timeout_ns;
    int error = rk_target_open(&session, &target, &session_options);
    if (error < 0) return rk_fail(error);
    code = json ? print_json(session) : print_lines(session);
    rask_close(session);
    return code;
}
