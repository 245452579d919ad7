/* SPDX-License-Identifier: MIT */
/* See environment_json.h. */
#include "environment_json.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

json_t *rk_environment_json(const struct rk_environment *at, int client_cpu, int worker_cpu)
{
    char date[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *out = json_object();
    json_object_set_new(out, "date", rk_json_text(date));
    json_object_set_new(out, "cpu", rk_json_text(at->cpu));
    json_object_set_new(out, "architecture", rk_json_text(at->architecture));
    json_object_set_new(out, "cpus_online", json_integer(at->cpus_online));
    json_object_set_new(out, "cpus_usable", json_integer(at->cpus_usable));
    json_object_set_new(out, "virtual", json_boolean(at->is_virtual));
    json_object_set_new(out, "kernel", rk_json_text(at->kernel));
    json_object_set_new(out, "clock_source", rk_json_text(at->clock_source));
    json_object_set_new(out, "clock_read_ns", json_real(at->clock_read_ns));
    json_object_set_new(out, "build", rk_json_text(at->build));
    json_object_set_new(out, "load", json_real(at->load));
    json_object_set_new(out, "client_cpu", json_integer(client_cpu));
    json_object_set_new(out, "worker_cpu", json_integer(worker_cpu));
    json_object_set_new(out, "cpu_relation", rk_json_text(at->relation));
    json_object_set_new(out, "smt_siblings", json_boolean(at->smt_siblings));
    return out;
}

int rk_json_check_file(const char *path)
{
    if (path == NULL || strcmp(path, "-") == 0) return RK_GO_ON;
    FILE *file = fopen(path, "we");
    if (file != NULL && fclose(file) == 0) return RK_GO_ON;
    rk_complain("--json: cannot write \"%s\": %s", path, strerror(errno));
    return RK_EXIT_IO;
}

int rk_json_write_file(const char *path, json_t *out)
{
    if (strcmp(path, "-") == 0) return rk_json_print(out);
    int failed = json_dump_file(out, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(out);
    if (failed == 0) return RK_EXIT_OK;
    rk_complain("--json: cannot write \"%s\": %s", path, strerror(errno));
    return RK_EXIT_IO;
}
