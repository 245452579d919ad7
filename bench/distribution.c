/* SPDX-License-Identifier: MIT */
/* See distribution.h. The rows are those of HdrHistogram's percentile iterator with five ticks per half distance. */
#include "distribution.h"
#include "exit_codes.h"
#include "options.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define TICKS_PER_HALF 5.0
#define US 1e3

static void hgrm_row(FILE *to, double value_us, double part, uint64_t count)
{
    if (part < 1)
        fprintf(to, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", value_us, part, count, 1 / (1 - part));
    else
        fprintf(to, "%12.3f %2.12f %10" PRIu64 "\n", value_us, part, count);
}

static void csv_row(FILE *to, double value_us, double part, uint64_t count)
{
    if (part < 1)
        fprintf(to, "%.3f,%.12f,%" PRIu64 ",%.2f\n", value_us, part, count, 1 / (1 - part));
    else
        fprintf(to, "%.3f,%.12f,%" PRIu64 ",Infinity\n", value_us, part, count);
}

/** For a plot: the percentile axis is 1/(1-p), where the end is infinitely far. */
static void point(FILE *to, double value_us, double part, uint64_t count)
{
    (void)count;
    if (part < 1) fprintf(to, "%.6g %.6g\n", 1 / (1 - part), value_us);
}

/** The rows: for each bucket those levels that it reaches; the last one has part 1. */
static void write_rows(FILE *to, const struct rk_histogram *histogram,
                       void (*row)(FILE *to, double value_us, double part, uint64_t count))
{
    uint64_t value_ns, count, seen = 0, total = rk_histogram_count(histogram);
    uint32_t place = 0;
    double level = 0; /* percent */
    while (rk_histogram_next(histogram, &place, &value_ns, &count)) {
        seen += count;
        double reached = 100.0 * (double)seen / (double)total;
        if (seen == total) break;
        while (level <= reached + 1e-9) {
            row(to, (double)value_ns / US, level / 100, seen);
            double halvings = floor(log2(100 / (100 - level)) + 1e-9) + 1;
            level += 100 / (TICKS_PER_HALF * exp2(halvings));
        }
    }
    if (total > 0) row(to, (double)rk_histogram_max(histogram) / US, 1, total);
}

static double deviation_ns(const struct rk_histogram *histogram)
{
    uint64_t value_ns, count, total = rk_histogram_count(histogram);
    uint32_t place = 0;
    double mean_ns = rk_histogram_mean(histogram), sum = 0;
    while (rk_histogram_next(histogram, &place, &value_ns, &count))
        sum += ((double)value_ns - mean_ns) * ((double)value_ns - mean_ns) * (double)count;
    return total > 0 ? sqrt(sum / (double)total) : 0;
}

int rk_distribution_hgrm(FILE *to, const struct rk_histogram *histogram)
{
    fprintf(to, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    write_rows(to, histogram, hgrm_row);
    fprintf(to, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", rk_histogram_mean(histogram) / US,
            deviation_ns(histogram) / US);
    fprintf(to, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)rk_histogram_max(histogram) / US,
            rk_histogram_count(histogram));
    fprintf(to, "#[Buckets = %12d, SubBuckets     = %12d]\n", RK_HISTOGRAM_OCTAVES, RK_HISTOGRAM_SUB_BUCKETS);
    return fflush(to) == 0 && !ferror(to) ? 0 : -EIO;
}

int rk_distribution_csv(FILE *to, const struct rk_histogram *histogram)
{
    fprintf(to, "\"Value\",\"Percentile\",\"TotalCount\",\"1/(1-Percentile)\"\n");
    write_rows(to, histogram, csv_row);
    return fflush(to) == 0 && !ferror(to) ? 0 : -EIO;
}

void rk_distribution_points(FILE *to, const struct rk_histogram *histogram)
{
    write_rows(to, histogram, point);
}

int rk_distribution_file(const char *option, const char *path, const struct rk_histogram *histogram)
{
    size_t length = strlen(path);
    bool csv = length > 4 && strcmp(path + length - 4, ".csv") == 0;
    FILE *to = fopen(path, "we");
    int error = to == NULL ? -errno : csv ? rk_distribution_csv(to, histogram) : rk_distribution_hgrm(to, histogram);
    if (to != NULL && fclose(to) != 0) error = -errno;
    if (error == 0) return RK_EXIT_OK;
    rk_complain("%s: cannot write \"%s\": %s", option, path, strerror(-error));
    return RK_EXIT_IO;
}
