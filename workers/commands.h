/* SPDX-License-Identifier: MIT */
/* The subcommands of the rask binary. Each takes its own argument vector (argv[0] is the command's name) and returns
 * the exit code of the process. */
#ifndef RK_COMMANDS_H
#define RK_COMMANDS_H

int cmd_reload(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_call(int argc, char **argv);
int cmd_stream(int argc, char **argv);
int cmd_methods(int argc, char **argv);
int cmd_poison(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_crashes(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

#endif
