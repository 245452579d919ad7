/* SPDX-License-Identifier: MIT */
/* The first client of the README: one call. A test compiles it as the README says. */
#include <rask/rask.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct rask *session;
    int error = rask_connect(&session, argc > 1 ? argv[1] : NULL, NULL);
    if (error) {
        fprintf(stderr, "ask: %s: %s\n", rask_strerror(error), rask_last_error());
        return 1;
    }
    struct rask_completion done = {0};
    int method = rask_method(session, "shout");
    error = method < 0 ? method : rask_call(session, (uint32_t)method, "hello", 5, 1000000000, &done);
    if (error)
        fprintf(stderr, "ask: %s (executed: %s)\n", rask_strerror(error), rask_executed_name(done.executed));
    else
        printf("%.*s\n", (int)done.length, (const char *)done.data);
    rask_release(session, &done);
    rask_close(session);
    return error ? 1 : 0;
}
