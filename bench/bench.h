/* SPDX-License-Identifier: MIT */
/* What the subcommands of `rask bench` share. */
#ifndef RK_BENCH_H
#define RK_BENCH_H

/** `rask bench wake`: argv[0] is "wake". */
int cmd_bench_wake(int argc, char **argv);
/** `rask bench peers`: argv[0] is "peers". */
int cmd_bench_peers(int argc, char **argv);
/** `rask bench --rate N ...`, the open loop. */
int cmd_bench_rate(int argc, char **argv);
/** `rask bench sweep`: argv[0] is "sweep". */
int cmd_bench_sweep(int argc, char **argv);
/** `rask bench compare`: argv[0] is "compare". */
int cmd_bench_compare(int argc, char **argv);

/** The first Ctrl-C sets rk_bench_interrupted, which ends the run with the figures so far; the second ends the program. */
void rk_bench_catch_interrupt(void);

#endif
