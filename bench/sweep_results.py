#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sweep_results.py JSON [--commit ID] [--plot PATH] [--into FILE]: the section on everything that can be turned, from what
`rask bench sweep --json JSON` wrote (see section.py).

  rask bench sweep --json sweep.json --plot docs/sweep.svg
  bench/sweep_results.py sweep.json --commit $(git rev-parse --short HEAD) --plot sweep.svg --into docs/results.md"""
import sys

from section import machine, parts, percent, picture, rate, siblings, spread, table, time, write


def latency(of, *names):
    return tuple(time(of[name]) for name in names)


def sizes(part):
    print("One at a time, both sides spin; the floor is a bare exchange of the same bytes between two processes. Percentiles have a\n"
          "clock read in each sample.\n")
    table(("", "p50", "p99", "p99.9", "floor p50", "floor p99", "ratio of p50"),
          [(row["name"], spread(row["p50_ns"], time), *latency(row["latency_ns"], "p99", "p99.9"),
            spread(row["floor_p50_ns"], time), *latency(row["floor_latency_ns"], "p99"), spread(row["ratio"]))
           for row in part["rows"]])


def inflight(part):
    print("32 bytes, both sides spin, beside a bare ring each way. Latency of one call in 61, from sent to taken.\n")
    table(("in flight", "calls/s", "bare ring, calls/s", "ratio", "p50", "p99"),
          [(row["in_flight"], spread(row["calls_per_s"], rate), spread(row["floor_calls_per_s"], rate), spread(row["ratio"]),
            *latency(row["latency_ns"], "p50", "p99")) for row in part["rows"]])


def workers(part):
    print(f"One client, echo of 32 bytes, {part['in_flight_each']} in flight, hybrid, not pinned.\n")
    table(("workers", "calls/s"), [(row["workers"], spread(row["calls_per_s"], rate)) for row in part["rows"]])


def clients(part):
    print(f"Two workers, echo of 32 bytes, {part['in_flight_each']} in flight for each client, hybrid, not pinned. A client is a session "
          "and a thread.\nFairness is Jain's index of what each got: 1 all the same, 1/n one has everything.\n")
    table(("clients", "calls/s", "fairness"),
          [(row["clients"], spread(row["calls_per_s"], rate), spread(row["fairness"])) for row in part["rows"]])


def handlers(part):
    print(f"One at a time, spinning and pinned: what a call adds to what its handler takes by its own clock. In a pipeline over "
          f"{part['workers']}\nworkers, hybrid, not pinned: the part of all processors that did the work itself.\n")
    table(("cost", "p50", "handler p50", "added p50", "added p99", "pipeline, calls/s", "processors"),
          [(row["name"], spread(row["p50_ns"], time), *latency(row["service_ns"], "p50"),
            *latency(row["overhead_ns"], "p50", "p99"), spread(row["calls_per_s"], rate), percent(row["busy"], 0))
           for row in part["rows"]])


def payload(part):
    print("Time per call. By reference: reserved and sent, and nobody writes or reads a byte. Touched: copied in once, summed in\n"
          "place by the worker. One process: it copies and sums the same bytes. Ratios are of throughput, to one process.\n")
    table(("", "by reference", "touched", "touched, 4 in flight", "one process", "ratio", "ratio, 4 in flight"),
          [(row["name"], *(spread(row[key], time) for key in ("reference_ns", "touched_ns", "pipelined_ns", "alone_ns")),
            spread(row["ratio"]), spread(row["ratio_pipelined"])) for row in part["rows"]])


def load(part):
    if "capacity_per_s" not in part:
        return
    print("32 bytes, one client and one worker, both spin. Calls come by chance (Poisson); latency from when each was meant to be\n"
          f"sent. 100 % is what the same loop was served when it asked for more than can be: {rate(part['capacity_per_s'])} calls/s.\n")
    table(("load", "calls/s asked for", "served", "p50", "p90", "p99", "p99.9", "p99.99", "not sent"),
          [(row["name"], rate(row["rate"]), rate(row["served_per_s"]),
            *latency(row["latency_ns"], "p50", "p90", "p99", "p99.9", "p99.99"), percent(row["unsent"]))
           for row in part["rows"]])


def mixture(part):
    print(f"Requests come by chance; 99 % burn {time(part['fast_ns'])} of a processor, 1 % sleep for {time(part['slow_ns'])}. "
          f"{part['workers']} workers, hybrid, on {part['processors']:.0f}\nprocessor(s); the sender, which never sleeps, has one of "
          "its own. Load: processor time of the fast ones as a part of the workers'\nprocessors. Ideal: one queue, first come first "
          "served, the same arrivals, the service times that the handlers measured, no time lost.\nIn time: a fast one within 10 x, a "
          "slow one within 2 x its cost. Fairness: Jain's index of the clients' mean latency. Before,\nhandler, after: p99 of the parts "
          "of a fast one's latency.\n")
    rows = []
    for row in part["rows"]:
        ratio = "-" if row["p99_to_ideal"] is None else f"{row['p99_to_ideal']:.2f}"
        fairness = "-" if row["fairness"] is None else f"{row['fairness']['p50']:.3f}"
        rows.append((row["name"], f"{row['rate']:.0f}", *latency(row["fast_ns"], "p50", "p99"),
                     *latency(row["fast_ideal_ns"], "p50", "p99"), ratio, *latency(row["before_ns"], "p99"),
                     *latency(row["service_ns"], "p99"), *latency(row["after_ns"], "p99"), f"{row['goodput_per_s']:.0f}",
                     percent(row["in_time"]), percent(row["in_time_ideal"]), fairness))
    table(("load", "requests/s", "p50", "p99", "ideal p50", "ideal p99", "p99 to ideal", "before", "handler", "after",
           "goodput/s", "in time", "ideal", "fairness"), rows)


def flow(part):
    names = {"calls": "calls of 32 B, 128 in flight", "items": "items of a stream, 32 B, no answers",
             "call": "call of 32 B, one at a time", "ask": "the same with an upcall inside", "block": "call of 1 KiB",
             "keep": "the same, leased and released", "bulk": "items of a stream, 1 MiB, summed in place",
             "alone": "1 MiB copied and summed by one process"}
    print("One worker, both sides spin, pinned. Ratios are of neighbouring slices: items to calls "
          f"{spread(part['items_ratio'])}; what an upcall\nadds to a call, to a call {spread(part['upcall_ratio'])}; items of "
          f"1 MiB to one process {spread(part['bulk_ratio'])} (throughput).\n")
    table(("", "time per call or item", "system calls"),
          [(names[row["name"]], spread(row["ns"], time), "-" if row["system_calls"] is None else f"{row['system_calls']:.4f}")
           for row in part["rows"]])


PARTS = {"sizes": sizes, "inflight": inflight, "workers": workers, "clients": clients, "handlers": handlers,
         "payload": payload, "load": load, "mixture": mixture, "flow": flow}


def section(whole, at):
    here = whole["conditions"]
    print("`rask bench sweep`; this section is written by `bench/sweep_results.py` from its JSON.\n")
    machine(here, at.commit)
    print(f"- Client on processor {here['client_cpu']}, worker on {here['worker_cpu']}: {here['cpu_relation']}{siblings(here)}, "
          "unless a part says otherwise.")
    print("- Full round trips between processes of their own, which take turns in short slices; ratios are medians of the ratios\n"
          "  of neighbouring slices, in brackets the 10th to the 90th percentile. A percentile of latency needs 100 samples\n"
          f"  beyond it.{' The run was INTERRUPTED.' if whole['interrupted'] else ''}\n")
    picture(at.plot, "latency against payload size and against load, throughput against depth, workers and clients")
    parts(whole, PARTS)


if __name__ == "__main__":
    sys.exit(write(__file__, __doc__, "sweep", "Sweep", section))
