/* SPDX-License-Identifier: MIT */
/* iceoryx, its request/response, with its daemon RoUDi: messages are loaned from shared memory, written in place and read in
 * place. Spinning: take again and again. Parked: a wait set, after a first look. RoUDi runs with its own default memory and
 * without monitoring, which takes processor time and would declare a server that stands still dead. A client may have 16
 * responses waiting, which limits the depth. */
#include "runner_wire.h"
#include "wire_loops.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <rask/client.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
/* Needs the headers above. */
#include "iceoryx_binding_c/client.h"
#include "iceoryx_binding_c/log.h"
#include "iceoryx_binding_c/runtime.h"
#include "iceoryx_binding_c/server.h"
#include "iceoryx_binding_c/wait_set.h"

#define DEPTH_MAX 16u
/* Tens of milliseconds until it is clear that the daemon stays. */
#define DAEMON_TRIES 30
#define ATTACH_TRIES 1000

struct service {
    char name[48];
    size_t size;
    bool spin;
    pid_t daemon; /* 0: another one was running already */
    iox_client_storage_t client_storage;
    iox_server_storage_t server_storage;
    iox_ws_storage_t waits_storage;
    iox_client_t client;
    iox_server_t server;
    iox_ws_t waits;
    const void *got;
};

/* ---- the daemon ------------------------------------------------------------------------------------------------------ */

__attribute__((noreturn)) static void become_daemon(pid_t parent)
{
    int quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(quiet, STDOUT_FILENO) < 0 || dup2(quiet, STDERR_FILENO) < 0) _exit(1);
    execlp("iox-roudi", "iox-roudi", "--monitoring-mode", "off", "--log-level", "off", (char *)NULL);
    _exit(127);
}

/** It ends at once when another one runs: that one is used then. Whether it is ready need not be known: clients look for it
 * until it is. */
static int start_daemon(struct service *service)
{
    int status;
    pid_t parent = getpid();
    service->daemon = fork();
    if (service->daemon == 0) become_daemon(parent);
    if (service->daemon < 0) return -errno;
    for (int tries = 0; tries < DAEMON_TRIES; tries++) {
        if (waitpid(service->daemon, &status, WNOHANG) == service->daemon) {
            service->daemon = 0;
            return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : 0;
        }
        usleep(10000);
    }
    return 0;
}

/* ---- the client ------------------------------------------------------------------------------------------------------ */

static int client_put(void *self, const uint8_t *data, size_t bytes)
{
    const struct service *service = self;
    void *request;
    if (iox_client_loan_request(service->client, &request, (uint32_t)bytes) != AllocationResult_SUCCESS) return -ENOMEM;
    memcpy(request, data, bytes);
    return iox_client_send(service->client, request) == ClientSendResult_SUCCESS ? 0 : -EPIPE;
}

static int nothing(void *self)
{
    (void)self;
    return 0;
}

static bool never(void *self)
{
    (void)self;
    return false;
}

static void sleep_on(const struct service *service)
{
    iox_notification_info_t info[1];
    uint64_t missed;
    if (!service->spin) iox_ws_wait(service->waits, info, 1, &missed);
}

static int client_take(void *self, const uint8_t **data, size_t *bytes)
{
    struct service *service = self;
    if (service->got != NULL) iox_client_release_response(service->client, service->got);
    service->got = NULL;
    while (iox_client_take_response(service->client, &service->got) != ChunkReceiveResult_SUCCESS) sleep_on(service);
    *data = service->got;
    *bytes = service->size; /* the size is part of the contract: the C binding does not tell it */
    return 0;
}

/* ---- the server ------------------------------------------------------------------------------------------------------ */

static int server_put(void *self, const uint8_t *data, size_t bytes)
{
    struct service *service = self;
    void *response;
    if (iox_server_loan_response(service->server, service->got, &response, (uint32_t)bytes) != AllocationResult_SUCCESS)
        return -ENOMEM;
    memcpy(response, data, bytes);
    iox_server_release_request(service->server, service->got);
    service->got = NULL;
    return iox_server_send(service->server, response) == ServerSendResult_SUCCESS ? 0 : -EPIPE;
}

static int server_take(void *self, const uint8_t **data, size_t *bytes)
{
    struct service *service = self;
    while (iox_server_take_request(service->server, &service->got) != ServerRequestResult_SUCCESS) sleep_on(service);
    *data = service->got;
    *bytes = service->size;
    return 0;
}

RK_WIRE_CALLS(client, client_put, nothing, client_take, never)
RK_WIRE_TRIPS(client)
RK_WIRE_STREAM(client)
RK_WIRE_CALLS(server, server_put, nothing, server_take, never)
RK_WIRE_ANSWER(server)

/* ---- set up ---------------------------------------------------------------------------------------------------------- */

static int open_service(void **self, struct rk_wire_plan *plan)
{
    struct service *service = calloc(1, sizeof *service);
    *self = service;
    if (service == NULL) return -ENOMEM;
    service->size = plan->size;
    service->spin = plan->wait_mode == RASK_WAIT_SPIN;
    rk_wire_unique(service->name, sizeof service->name, "rask-bench");
    if (plan->depth > DEPTH_MAX) plan->depth = DEPTH_MAX;
    return start_daemon(service);
}

static int enter_server(struct service *service)
{
    iox_server_options_t options;
    iox_server_options_init(&options);
    options.requestQueueCapacity = DEPTH_MAX;
    options.requestQueueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
    options.clientTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER; /* else they do not match the client's */
    service->server = iox_server_init(&service->server_storage, "rask", service->name, "echo", &options);
    iox_ws_attach_server_state(service->waits, service->server, ServerState_HAS_REQUEST, 0, NULL);
    return 0;
}

static int enter_client(struct service *service)
{
    iox_client_options_t options;
    iox_client_options_init(&options);
    options.responseQueueCapacity = DEPTH_MAX;
    options.responseQueueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
    options.serverTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
    service->client = iox_client_init(&service->client_storage, "rask", service->name, "echo", &options);
    iox_ws_attach_client_state(service->waits, service->client, ClientState_HAS_RESPONSE, 0, NULL);
    for (int tries = 0; tries < ATTACH_TRIES; tries++) {
        if (iox_client_get_connection_state(service->client) == ConnectionState_CONNECTED) return 0;
        usleep(10000);
    }
    return -ETIMEDOUT;
}

static int enter(void *self, enum rk_wire_side side)
{
    struct service *service = self;
    char name[96];
    bool server = side == RK_WIRE_SERVER;
    snprintf(name, sizeof name, "%s-%s", service->name, server ? "server" : "client");
    iox_set_loglevel(Iceoryx_LogLevel_Off);
    iox_runtime_init(name);
    service->waits = iox_ws_init(&service->waits_storage);
    return server ? enter_server(service) : enter_client(service);
}

/** Its channel is a socket and a lock, which whoever is killed leaves behind. */
static void remove_channel(const struct service *service, const char *side)
{
    char path[128];
    snprintf(path, sizeof path, "/tmp/%s-%s", service->name, side);
    unlink(path);
    snprintf(path, sizeof path, "/tmp/%s-%s.lock", service->name, side);
    unlink(path);
}

/** Asked to end, the daemon would end this process too, and wait for it; so it is killed, and what it would have removed is
 * removed here. (The next one that starts would do so as well.) The segment with the messages has the user's name. */
static void stop_daemon(const struct service *service)
{
    const struct passwd *user = getpwuid(geteuid());
    char segment[80];
    kill(service->daemon, SIGKILL);
    while (waitpid(service->daemon, NULL, 0) < 0 && errno == EINTR) continue;
    unlink("/tmp/roudi");
    unlink("/tmp/roudi.lock");
    unlink("/tmp/iox-unique-roudi.lock");
    shm_unlink("/iceoryx_mgmt");
    snprintf(segment, sizeof segment, "/%.64s", user != NULL ? user->pw_name : "");
    if (user != NULL) shm_unlink(segment);
}

static void destroy(void *self, enum rk_wire_side side)
{
    struct service *service = self;
    (void)side;
    if (service == NULL) return;
    if (service->daemon > 0) stop_daemon(service);
    remove_channel(service, "client");
    remove_channel(service, "server");
    free(service);
}

static const struct rk_wire iceoryx = {.name = "iceoryx",
                                       .spins = "request/response, take again and again; RoUDi without monitoring",
                                       .parks =
                                           "request/response, a look and then a wait set; RoUDi without monitoring",
                                       .open = open_service,
                                       .enter = enter,
                                       .trips = client_trips,
                                       .stream = client_stream,
                                       .answer = server_answer,
                                       .destroy = destroy};

int main(int argc, char **argv)
{
    static const struct rk_wire *const wires[] = {&iceoryx, NULL};
    return rk_wire_program(argc, argv, wires);
}
