// SPDX-License-Identifier: MIT
// The options of every kind, as a C++ program writes them; compiled only.
#include <rask/rask.h>

static const rask_options for_all = RASK_OPTIONS_INIT;

int open_and_send(struct rask **session, rask_stream **stream)
{
    rask_options options = RASK_OPTIONS_INIT;
    rask_spawn_options spawn = RASK_SPAWN_OPTIONS_INIT;
    rask_request_options wishes = RASK_REQUEST_OPTIONS_INIT;
    rask_stream_options limits = RASK_STREAM_OPTIONS_INIT;
    struct rask_request request = {}; // there is a function of that name, too
    options.wait_mode = RASK_WAIT_PARK;
    spawn.plugin = "echo";
    if (rask_spawn(session, &spawn, &options) != 0 && rask_connect(session, nullptr, &for_all) != 0) return 1;
    if (rask_reserve(*session, 1, &request) == 0) rask_submit(*session, &request, 0, 1, &wishes);
    return rask_stream_open(*session, 0, &limits, stream);
}

uint32_t names_are_the_users(uint32_t value)
{
    rask_options options = RASK_OPTIONS_INIT;
    return value + options.size;
}
