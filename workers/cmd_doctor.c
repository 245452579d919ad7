/* SPDX-License-Identifier: MIT */
/* rask doctor: tries out what rask needs on this machine, one throw-away child per probe, and says what would be used,
 * why, and what to change where something is missing. */
#include "commands.h"
#include "doctor.h"
#include "exit_codes.h"
#include "json.h"
#include "options.h"
#include "trial.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PROBE_TIMEOUT_NS 10000000000u

static const char about[] =
    "Tries out what this machine offers, says which engine, wait mode and barrier rask would use and why, and what\n"
    "to change where something is missing.\n";
static const char more[] = "Each line is `ok`, `weak` (rask works, with less) or `missing` (rask cannot work).\n"
                           "\n"
                           "exit codes: 0 rask can work here, 69 it cannot\n";

static const struct probe {
    const char *name;
    rk_probe_fn look;
} probes[] = {
    {"kernel", rk_probe_kernel},
    {"cpus", rk_probe_cpus},
    {"caches", rk_probe_caches},
    {"limits", rk_probe_limits},
    {"memory", rk_probe_memory},
    {"clock", rk_probe_clock},
    {"memfd", rk_probe_memfd},
    {"populate", rk_probe_populate},
    {"pidfd", rk_probe_pidfd},
    {"futex", rk_probe_futex},
    {"futex_waitv", rk_probe_futex_waitv},
    {"barrier", rk_probe_membarrier},
    {"io_uring", rk_probe_io_uring},
    {"io_uring_futex", rk_probe_uring_futex},
    {"engine", rk_probe_engine},
    {"wait", rk_probe_wait_mode},
    {"socket", rk_probe_socket},
    {"call", rk_probe_call},
};
#define PROBE_COUNT (sizeof(probes) / sizeof(probes[0]))

struct examination {
    const struct probe *probe;
    struct rk_finding finding;
};

void rk_found(struct rk_finding *finding, enum rk_finding_state state, const char *value, const char *format, ...)
{
    va_list arguments;
    finding->state = (uint32_t)state;
    snprintf(finding->value, sizeof(finding->value), "%s", value);
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof(finding->text), format, arguments);
    va_end(arguments);
}

void rk_advise(struct rk_finding *finding, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->advice, sizeof(finding->advice), format, arguments);
    va_end(arguments);
}

static void look(int socket, void *user)
{
    const struct examination *examination = user;
    struct rk_finding finding = {0};
    examination->probe->look(&finding);
    rk_trial_send(socket, &finding, sizeof(finding));
}

static void take_record(void *user, const void *data, size_t bytes)
{
    struct examination *examination = user;
    if (bytes == sizeof(examination->finding)) memcpy(&examination->finding, data, bytes);
}

/* A probe that did not come back is a finding, too: whatever it touched does not work. */
static void examine(struct examination *examination, const struct probe *probe)
{
    char what[128];
    struct rk_trial_result result;
    *examination = (struct examination){.probe = probe};
    int error = rk_trial_run(look, take_record, examination, PROBE_TIMEOUT_NS, &result);
    if (error < 0) {
        rk_found(&examination->finding, RK_FINDING_MISSING, "", "cannot start a child: %s", strerror(-error));
        rk_advise(&examination->finding, "allow this user more processes (ulimit -u, pids.max of the cgroup)");
    } else if (examination->finding.text[0] == '\0') {
        rk_found(&examination->finding, RK_FINDING_MISSING, "", "the probe %s",
                 rk_trial_text(&result, what, sizeof(what)));
        rk_advise(&examination->finding, "a sandbox or an unusual kernel: run rask outside of it");
    }
}

static const char *state_word(uint32_t state)
{
    return state == RK_FINDING_FINE ? "ok" : state == RK_FINDING_WEAK ? "weak" : "missing";
}

static const struct rk_finding *finding_of(const struct examination *examinations, const char *name)
{
    size_t i = 0;
    while (i < PROBE_COUNT - 1 && strcmp(probes[i].name, name) != 0) i++;
    return &examinations[i].finding;
}

static void print_lines(const struct examination *examinations, unsigned missing)
{
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        const struct rk_finding *finding = &examinations[i].finding;
        printf("%-7s  %-14s  %s\n", state_word(finding->state), probes[i].name, finding->text);
        if (finding->advice[0]) printf("%-7s  %-14s  -> %s\n", "", "", finding->advice);
    }
    if (missing > 0) {
        printf("\nrask cannot work here: %u missing, see above\n", missing);
        return;
    }
    printf("\nrask can work here: engine %s, wait mode %s, barrier %s\n", finding_of(examinations, "engine")->value,
           finding_of(examinations, "wait")->value, finding_of(examinations, "barrier")->value);
}

static int print_json(const struct examination *examinations, unsigned missing)
{
    json_t *findings = json_object();
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        const struct rk_finding *finding = &examinations[i].finding;
        json_object_set_new(findings, probes[i].name,
                            json_pack("{s:s, s:o, s:o, s:o}", "state", state_word(finding->state), "value",
                                      rk_json_text(finding->value), "text", rk_json_text(finding->text), "advice",
                                      rk_json_text(finding->advice)));
    }
    return rk_json_print(json_pack("{s:b, s:o, s:o, s:o, s:o}", "ok", missing == 0, "engine",
                                   rk_json_text(finding_of(examinations, "engine")->value), "wait",
                                   rk_json_text(finding_of(examinations, "wait")->value), "barrier",
                                   rk_json_text(finding_of(examinations, "barrier")->value), "findings", findings));
}

int cmd_doctor(int argc, char **argv)
{
    struct examination examinations[PROBE_COUNT];
    unsigned missing = 0;
    bool json = false;
    const struct rk_option options[] = {
        {.name = "json", .help = "one JSON object instead of lines", .flag = &json},
        {.name = NULL},
    };
    const struct rk_command command = {.name = "doctor", .about = about, .more = more, .options = options};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code != RK_GO_ON) return code;
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        examine(&examinations[i], &probes[i]);
        if (examinations[i].finding.state == RK_FINDING_MISSING) missing++;
    }
    code = RK_EXIT_OK;
    if (json) {
        code = print_json(examinations, missing);
    } else {
        print_lines(examinations, missing);
    }
    if (code != RK_EXIT_OK) return code;
    return missing > 0 ? RK_EXIT_UNAVAILABLE : RK_EXIT_OK;
}
