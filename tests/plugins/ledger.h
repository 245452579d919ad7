/* SPDX-License-Identifier: MIT */
/* The ledger: what the handlers of ledger.so write down, outside of everything that rask shares. One counter per request
 * number, added to before the handler does anything else; the test maps the same file and compares. */
#ifndef RK_TEST_LEDGER_H
#define RK_TEST_LEDGER_H

#include <stdint.h>

#define LEDGER_NUMBERS (1u << 20)
#define LEDGER_KEYS 64u

/** The file named by --set ledger=PATH. */
struct ledger {
    uint32_t started[LEDGER_NUMBERS];  /* handler entered */
    uint32_t finished[LEDGER_NUMBERS]; /* handler about to return */
    uint32_t worker[LEDGER_NUMBERS];   /* pid of the worker that entered it last */
    uint32_t last[LEDGER_KEYS];        /* ordered: number of the last one with this argument */
};

/** Every request starts with this; what follows is payload. The response of `ok`, `slow` and `stoppable` is as long as the
 * request: the number, then every other byte inverted. */
struct ledger_request {
    uint32_t number;
    uint32_t argument; /* slow, stoppable: milliseconds; large: bytes of the response; ordered: key; else any */
};

#endif
