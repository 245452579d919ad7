/* SPDX-License-Identifier: MIT */
/* `rask bench peers`: what its files share. A contest is a group of contenders that are measured in turns, slice by slice,
 * A B C A B C: one size of message and one way to wait (or the Hello World task), at every depth asked for. A ratio is taken
 * between a contender's slice and rask's slice of the same round, so drift cancels; the figure is the median of them. */
#ifndef RK_CONTEST_H
#define RK_CONTEST_H

#include "environment.h"
#include "histogram.h"
#include "json.h"
#include "noise.h"
#include "runner.h"
#include "series.h"
#include <stdbool.h>
#include <stdint.h>

#define RK_CONTENDERS_MAX 16u
#define RK_DEPTHS_MAX 8u /* a series of a runner each */
#define RK_SIZES_MAX 8u
#define RK_CONTESTS_MAX (2 * RK_SIZES_MAX + 1)

/* ---- who there is: peer_list.c --------------------------------------------------------------------------------------- */

enum rk_peer_role {
    RK_PEER_RASK,
    RK_PEER_FLOOR, /* a reference: nothing that people could use instead */
    RK_PEER_OTHER
};

enum rk_contest_kind { RK_CONTEST_SPIN, RK_CONTEST_PARK, RK_CONTEST_HELLO, RK_CONTEST_KINDS };

struct rk_peer {
    const char *name;
    const char *word; /* for --only */
    enum rk_peer_role role;
    uint32_t kinds; /* a bit per enum rk_contest_kind it takes part in */
    uint32_t wait_mode[RK_CONTEST_KINDS];
    const struct rk_runner_kind *kind;
    const struct rk_wire *wire; /* NULL: of another program */
    const char *program;        /* file name, or NULL */
    const char *package;        /* what to install, or NULL */
    uint64_t bytes_min;         /* takes part with messages of so many bytes and more */
    bool one_depth;             /* cannot have several in flight */
    bool scripts;               /* needs node and the scripts' folder */
};

extern const struct rk_peer rk_peers[];
extern const uint32_t rk_peers_count;

/** "pipe,zeromq" -> a bit per entry of rk_peers; rask and floors are always among them. -EINVAL with the word in `bad`. */
int rk_peers_parse(const char *text, uint32_t *selected, char *bad, size_t bytes);
/** The words, for a message. Returns `text`. */
const char *rk_peers_words(char *text, size_t bytes);
/** Where programs and scripts are: RASK_PEERS, or beside the build that this program is of. */
void rk_peers_folder(char *path, size_t bytes);
/** Path of a peer's program in `path`; false after saying in `why` what is missing. */
bool rk_peer_find(const struct rk_peer *peer, const char *folder, char *path, char *why, size_t bytes);

/* ---- a contest ------------------------------------------------------------------------------------------------------- */

/** One contender at one depth. */
struct rk_entry {
    struct rk_series p50_ns; /* of slices: time per round trip, or per call of a pipeline */
    struct rk_series ratio;  /* that / rask's of the same round */
    struct rk_histogram *latencies;
    uint64_t calls;
    double cpu_ns;  /* of client and servers, in all */
    uint32_t depth; /* what it could do */
};

struct rk_contestant {
    const struct rk_peer *peer;
    struct rk_runner *runner; /* NULL: not measured, or not any more */
    char configuration[240];
    char trouble[300]; /* why it was not measured */
    struct rk_entry entries[RK_DEPTHS_MAX];
};

struct rk_contest {
    enum rk_contest_kind kind;
    uint64_t size;
    uint32_t depth_count;
    uint32_t depths[RK_DEPTHS_MAX];
    uint32_t count; /* contestants; the first one is the rask that others are compared with */
    struct rk_contestant contestants[RK_CONTENDERS_MAX];
    uint32_t rounds;
    struct rk_noise noise;
};

struct rk_contests {
    uint32_t selected; /* peers */
    uint32_t size_count;
    uint64_t sizes[RK_SIZES_MAX];
    uint32_t depth_count;
    uint32_t depths[RK_DEPTHS_MAX];
    uint32_t kinds; /* a bit per enum rk_contest_kind */
    uint64_t duration_ns;
    int client_cpu, server_cpu;
    bool tables;
    const char *hgrm; /* folder for distributions, or NULL */
    char folder[512];
    struct rk_environment environment;
    json_t *verdicts;
};

const char *rk_contest_kind_name(enum rk_contest_kind kind);

/** Start the contenders, measure for about `duration_ns`, fetch the latencies, stop them. RK_EXIT_OK, or an exit code after a
 * message when rask itself cannot be measured; others only leave their trouble. Ends early after Ctrl-C. */
int rk_contest_run(struct rk_contest *contest, const struct rk_contests *all, uint64_t duration_ns);
void rk_contest_finish(struct rk_contest *contest);

/** Of entries: medians and spreads; 0 when nothing was measured. */
double rk_entry_p50_ns(struct rk_entry *entry);
double rk_entry_ratio(struct rk_entry *entry, double percent);
bool rk_entry_has(const struct rk_entry *entry, double percent);
/** The contestant of a role with the lowest ratio at this depth; NULL: none was measured. */
struct rk_contestant *rk_contest_best(struct rk_contest *contest, enum rk_peer_role role, uint32_t depth_index);

/* ---- results --------------------------------------------------------------------------------------------------------- */

/** Percentiles that tables and files have, as far as there are samples. */
extern const double rk_contest_percents[];
extern const uint32_t rk_contest_percents_count;

void rk_contest_print(struct rk_contest *contest, const struct rk_contests *all);
/** Judge: targets of rask against floors and peers; appended to all->verdicts and printed. */
void rk_contest_judge(struct rk_contest *contest, struct rk_contests *all);
json_t *rk_contest_json(struct rk_contest *contest);
/** Latencies of every contender at every depth as `folder`/KIND-SIZE-DEPTH-NAME.hgrm. RK_EXIT_OK or RK_EXIT_IO after a message. */
int rk_contest_distributions(const struct rk_contest *contest, const char *folder);

#endif
