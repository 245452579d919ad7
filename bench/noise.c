/* SPDX-License-Identifier: MIT */
/* See noise.h. */
#include "noise.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#define LOOK_MS 250
#define BUSY_MAX 0.15
#define STOLEN_MAX 0.01

struct ticks {
    uint64_t total, idle, steal;
};

static struct ticks read_ticks(void)
{
    uint64_t field[8] = {0};
    struct ticks ticks = {.total = 0};
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) return ticks;
    int count =
        fscanf(file, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &field[0], &field[1], &field[2], &field[3], &field[4], &field[5], &field[6], &field[7]);
    fclose(file);
    for (int i = 0; i < count; i++) ticks.total += field[i];
    ticks.idle = field[3] + field[4];
    ticks.steal = field[7];
    return ticks;
}

static double part(uint64_t of, uint64_t total)
{
    return total > 0 ? (double)of / (double)total : 0;
}

static double read_load(void)
{
    double load = -1;
    FILE *file = fopen("/proc/loadavg", "re");
    if (file == NULL) return -1;
    if (fscanf(file, "%lf", &load) != 1) load = -1;
    fclose(file);
    return load;
}

void rk_noise_begin(struct rk_noise *noise)
{
    struct ticks before = read_ticks();
    poll(NULL, 0, LOOK_MS);
    struct ticks after = read_ticks();
    *noise = (struct rk_noise){.busy_before = 1 - part(after.idle - before.idle, after.total - before.total),
                               .load = read_load(),
                               .total = after.total,
                               .steal = after.steal};
}

void rk_noise_end(struct rk_noise *noise)
{
    struct ticks now = read_ticks();
    noise->stolen = part(now.steal - noise->steal, now.total - noise->total);
    noise->noisy = noise->busy_before > BUSY_MAX || noise->stolen > STOLEN_MAX;
}
