/* SPDX-License-Identifier: MIT */
/* rask replay: a captured request again, in a fresh worker, in this process, or under gdb; or just shown. */
#include "call.h"
#include "clock.h"
#include "commands.h"
#include "crash_file.h"
#include "exit_codes.h"
#include "input.h"
#include "replay.h"
#include <errno.h>
#include <fcntl.h>
#include <rask/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file that was just announced may take this long to appear. */
#define PATIENCE_NS 500000000u
#define STEP_NS 5000000u
#define SHOWN_BYTES_MAX 256u
#define GDB_ARGUMENTS_MAX (32u + 2u * RK_SETTINGS_MAX)

static const char about[] =
    "Runs a request again that a worker crashed on, in a fresh worker of a private supervisor, and says how it ended,\n"
    "like rask call. FILE is what a supervisor has saved: rask call names it when the worker crashes, rask crashes\n"
    "lists all. With --gdb the handler runs in a single process under gdb, and the line of the crash is shown.\n";
static const char more[] =
    "Without --plugin the file says which plugin it was; settings (--set) are not in it. Compile the plugin with -g "
    "to\n"
    "see lines. When standard output is not a terminal, gdb prints the backtrace and ends; otherwise it stays for "
    "you.\n"
    "\n"
    "exit codes: those of rask call (125: it crashes again), and with --gdb that of gdb; 66 FILE cannot be read,\n"
    "65 FILE does not have the whole request (see --crash-payload of rask run), 69 gdb is not installed\n"
    "\n"
    "examples:\n"
    "  rask replay FILE --gdb\n"
    "  rask replay FILE --plugin ./repaired.so\n"
    "  rask replay FILE --show\n"
    "  rask replay FILE --payload | od -c\n";

struct replay {
    struct rk_call_options call;
    const char *path;
    bool show, payload, gdb, in_process;
    struct rk_crash_file file;
};

static int parse(struct replay *replay, int argc, char **argv)
{
    const struct rk_option options[] = {
        {.name = "plugin",
         .value = "PLUGIN",
         .help = "run it with this plugin (default: the one in the file)",
         .text = &replay->call.target.plugin},
        RK_OPTION_SET(&replay->call.target),
        {.name = "gdb", .help = "run the handler under gdb and show where it crashes", .flag = &replay->gdb},
        {.name = "in-process",
         .help = "call the handler in this process, for other debuggers and tools",
         .flag = &replay->in_process},
        {.name = "show", .help = "print what the file says, and run nothing", .flag = &replay->show},
        {.name = "payload", .help = "write the bytes of the request to standard output", .flag = &replay->payload},
        RK_OPTION_TIMEOUT(&replay->call),
        RK_OPTION_MAX_PAYLOAD(&replay->call),
        RK_OPTION_JSON(&replay->call),
        {.name = NULL},
    };
    const struct rk_command command = {.name = "replay",
                                       .usage = "FILE",
                                       .about = about,
                                       .more = more,
                                       .options = options,
                                       .arguments_min = 1,
                                       .arguments_max = 1};
    struct rk_arguments arguments;
    int code = rk_options_parse(&command, argc, argv, &arguments);
    if (code != RK_GO_ON) return code;
    replay->path = arguments.value[0];
    if (replay->show + replay->payload + replay->gdb + replay->in_process > 1)
        return rk_usage_error("--gdb, --in-process, --show and --payload exclude each other");
    return RK_GO_ON;
}

static int open_file(struct replay *replay)
{
    uint64_t deadline_ns = rk_deadline_after(PATIENCE_NS);
    const struct timespec step = rk_timespec(STEP_NS);
    int error;
    while ((error = rk_crash_file_open(&replay->file, replay->path)) == -ENOENT && rask_now_ns() < deadline_ns)
        nanosleep(&step, NULL);
    if (error == 0) return RK_GO_ON;
    rk_complain("%s", rk_errno_text(error));
    return RK_EXIT_NO_INPUT;
}

/* The stored bytes, or NULL after a message. The caller frees them. */
static void *read_payload(const struct replay *replay)
{
    uint64_t bytes = replay->file.payload_bytes, done = 0;
    uint8_t *data = malloc(bytes + 1);
    while (data && done < bytes) {
        ssize_t more_bytes =
            pread(replay->file.fd, data + done, bytes - done, (off_t)(replay->file.payload_offset + done));
        if (more_bytes <= 0) break;
        done += (uint64_t)more_bytes;
    }
    if (data && done == bytes) return data;
    rk_complain("%s: cannot read its %llu bytes of payload", replay->path, (unsigned long long)bytes);
    free(data);
    return NULL;
}

static int write_payload(const struct replay *replay)
{
    void *data = read_payload(replay);
    if (!data) return RK_EXIT_NO_INPUT;
    int error = rk_output_write(STDOUT_FILENO, data, replay->file.payload_bytes);
    free(data);
    if (error < 0) rk_complain("standard output: %s", strerror(-error));
    return error < 0 ? RK_EXIT_IO : RK_EXIT_OK;
}

static void print_row(const uint8_t *data, uint64_t offset, uint64_t bytes)
{
    printf("  %06llx ", (unsigned long long)offset);
    for (uint64_t i = 0; i < 16; i++)
        if (offset + i < bytes)
            printf(" %02x", data[offset + i]);
        else
            printf("   ");
    printf("  ");
    for (uint64_t i = offset; i < offset + 16 && i < bytes; i++)
        putchar(data[i] >= ' ' && data[i] < 127 ? data[i] : '.');
    putchar('\n');
}

static int show(const struct replay *replay)
{
    uint8_t *data = read_payload(replay);
    if (!data) return RK_EXIT_NO_INPUT;
    uint64_t bytes = replay->file.payload_bytes;
    fputs(replay->file.head, stdout);
    for (uint64_t i = 0; i < bytes && i < SHOWN_BYTES_MAX; i += 16) print_row(data, i, bytes);
    if (bytes > SHOWN_BYTES_MAX) printf("  ... (all of it: rask replay %s --payload)\n", replay->path);
    free(data);
    return RK_EXIT_OK;
}

/* Can this file be run at all? */
static int check_request(struct replay *replay)
{
    const struct rk_crash_file *file = &replay->file;
    if (file->method[0] == '\0') {
        rk_complain("%s: the worker crashed outside of a handler, there is no request to run; see --show",
                    replay->path);
        return RK_EXIT_TOO_LARGE;
    }
    if (file->payload_bytes != file->request_bytes) {
        rk_complain("%s has %llu of the %llu bytes of the request: it cannot be run; see --crash-payload of rask run",
                    replay->path, (unsigned long long)file->payload_bytes, (unsigned long long)file->request_bytes);
        return RK_EXIT_TOO_LARGE;
    }
    if (!replay->call.target.plugin) replay->call.target.plugin = file->plugin_path;
    return RK_GO_ON;
}

static int run_here(const struct replay *replay)
{
    void *data = read_payload(replay);
    if (!data) return RK_EXIT_NO_INPUT;
    const struct rk_replay here = {
        .plugin = replay->call.target.plugin,
        .settings = replay->call.target.settings.list,
        .method = replay->file.method,
        .request = data,
        .request_bytes = replay->file.payload_bytes,
    };
    int code = rk_replay_here(&here);
    free(data);
    return code;
}

/* The payload is the end of the file, so the file is the standard input of a call. */
static int run_in_worker(struct replay *replay)
{
    struct rk_call_options *call = &replay->call;
    if (lseek(replay->file.fd, (off_t)replay->file.payload_offset, SEEK_SET) < 0 ||
        dup2(replay->file.fd, STDIN_FILENO) < 0) {
        rk_complain("%s: %s", replay->path, strerror(errno));
        return RK_EXIT_IO;
    }
    setenv("RASK_CRASH_DIR", "none", 1); /* this crash is saved already */
    call->method = replay->file.method;
    call->data = "-";
    if (call->payload_bytes_max < replay->file.payload_bytes) call->payload_bytes_max = replay->file.payload_bytes;
    return rk_call(call);
}

static int run_gdb(const struct replay *replay)
{
    const char *arguments[GDB_ARGUMENTS_MAX + 1];
    char program[PATH_MAX];
    unsigned count = 0;
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[length > 0 ? length : 0] = '\0';
    arguments[count++] = "gdb";
    arguments[count++] = "-q";
    if (!isatty(STDOUT_FILENO)) {
        arguments[count++] = "-nx";
        arguments[count++] = "-batch";
    }
    /* A handler that leaves the process gets no signal at which gdb would stop. */
    const char *const before[] = {"set debuginfod enabled off", "set startup-with-shell off",
                                  replay->file.exited ? "catch syscall exit_group" : NULL, "run", "bt"};
    for (unsigned i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        if (!before[i]) continue;
        arguments[count++] = "-ex";
        arguments[count++] = before[i];
    }
    const char *const own[] = {
        "--args", program, "replay", replay->path, "--in-process", "--plugin", replay->call.target.plugin};
    for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++) arguments[count++] = own[i];
    for (unsigned i = 0; i < replay->call.target.settings.count; i++) {
        arguments[count++] = "--set";
        arguments[count++] = replay->call.target.settings.list[i];
    }
    arguments[count] = NULL;
    execvp("gdb", (char *const *)(uintptr_t)arguments);
    rk_complain("gdb: %s; install it (Debian package gdb), or debug \"rask replay %s --in-process\" with another",
                strerror(errno), replay->path);
    return RK_EXIT_UNAVAILABLE;
}

static int run(struct replay *replay)
{
    if (replay->show) return show(replay);
    if (replay->payload) return write_payload(replay);
    int code = check_request(replay);
    if (code != RK_GO_ON) return code;
    if (replay->in_process) return run_here(replay);
    return replay->gdb ? run_gdb(replay) : run_in_worker(replay);
}

int cmd_replay(int argc, char **argv)
{
    struct replay replay = {.call = RK_CALL_OPTIONS_INIT};
    int code = parse(&replay, argc, argv);
    if (code == RK_GO_ON) code = open_file(&replay);
    if (code != RK_GO_ON) return code;
    code = run(&replay);
    rk_crash_file_close(&replay.file);
    return code;
}
