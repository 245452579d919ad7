/* SPDX-License-Identifier: MIT */
/* The part of kit.h that opens sockets and sessions, sends numbered requests and compares their ends with the ledger. */
#include "clock.h"
#include "kit.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TAKE_NS (5 * KIT_S)

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

int kit_dial(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int kit_listen(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

struct rask *kit_connect(const struct kit_server *server, const struct rask_options *options)
{
    struct rask *s = NULL;
    int error = rask_connect(&s, server->socket, options);
    if (error) fail_msg("connect: %d, %s", error, rask_last_error());
    return s;
}

void kit_ledger_open(struct kit_ledger *ledger)
{
    *ledger = (struct kit_ledger){.fd = memfd_create("ledger", MFD_CLOEXEC)};
    assert_true(ledger->fd >= 0);
    assert_int_equal(ftruncate(ledger->fd, sizeof(struct ledger)), 0);
    ledger->book = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, ledger->fd, 0);
    assert_true(ledger->book != MAP_FAILED);
    snprintf(ledger->setting, sizeof(ledger->setting), "ledger=/proc/%d/fd/%d", (int)getpid(), ledger->fd);
}

void kit_ledger_close(struct kit_ledger *ledger)
{
    munmap(ledger->book, sizeof(struct ledger));
    close(ledger->fd);
}

uint32_t kit_started(const struct kit_ledger *ledger, uint32_t number)
{
    return __atomic_load_n(&ledger->book->started[number], __ATOMIC_SEQ_CST);
}

void kit_wait_started(struct rask *s, const struct kit_ledger *ledger, uint32_t number)
{
    for (unsigned ms = 0; kit_started(ledger, number) == 0; ms++) {
        if (ms > 5000) fail_msg("request %u was not started", number);
        rask_poll(s, NULL, 0); /* a lane that opens now gets its first requests here */
        kit_pause_ms(1);
    }
}

static uint8_t payload_byte(uint32_t number, uint32_t i)
{
    return (uint8_t)((number * 2654435761u) >> (i % 24)) ^ (uint8_t)(i * 7);
}

void kit_fill(uint8_t *data, uint32_t number, uint32_t argument, uint32_t bytes)
{
    const struct ledger_request head = {.number = number, .argument = argument};
    assert_true(bytes >= sizeof(head));
    memcpy(data, &head, sizeof(head));
    for (uint32_t i = sizeof(head); i < bytes; i++) data[i] = payload_byte(number, i);
}

uint64_t kit_submit(struct rask *s, struct kit_ledger *ledger, const char *method, uint32_t argument, uint32_t bytes,
                    uint64_t deadline_ns)
{
    struct rask_request request = {0};
    struct rask_request_options options = RASK_REQUEST_OPTIONS_INIT;
    options.deadline_ns = deadline_ns;
    int id = rask_method(s, method);
    assert_true(id >= 0);
    int error = rask_reserve(s, bytes, &request);
    if (error) fail_msg("reserve: %d, %s", error, rask_last_error());
    assert_true(ledger->next < LEDGER_NUMBERS);
    request.user_data = ledger->next++;
    kit_fill(request.data, (uint32_t)request.user_data, argument, bytes);
    uint64_t ticket = request.ticket;
    error = rask_submit(s, &request, (uint32_t)id, bytes, &options);
    if (error) fail_msg("submit: %d, %s", error, rask_last_error());
    return ticket;
}

void kit_judge_answer(const struct rask_completion *completion)
{
    uint32_t number = (uint32_t)completion->user_data;
    const uint8_t *data = completion->data;
    uint32_t answered;
    assert_true(completion->length >= sizeof(struct ledger_request));
    memcpy(&answered, data, sizeof(answered));
    assert_int_equal(answered, number);
    for (uint32_t i = sizeof(struct ledger_request); i < completion->length; i++)
        if (data[i] != 255 - payload_byte(number, i)) fail_msg("request %u: byte %u of the answer is wrong", number, i);
}

void kit_judge(const struct kit_ledger *ledger, const struct rask_completion *completion, uint32_t bytes)
{
    uint32_t number = (uint32_t)completion->user_data;
    uint32_t started = kit_started(ledger, number);
    const char *status = rask_status_name(completion->status);
    if (started > 1) fail_msg("request %u (%s) ran %u times", number, status, started);
    if (completion->executed == RASK_EXECUTED_NO && started != 0)
        fail_msg("request %u: %s and not executed, but it ran", number, status);
    if (completion->executed == RASK_EXECUTED_YES && started == 0)
        fail_msg("request %u: %s and executed, but it did not run", number, status);
    if (completion->status != RASK_OK) return;
    assert_int_equal(completion->executed, RASK_EXECUTED_YES);
    if (bytes == 0) return;
    assert_int_equal(completion->length, bytes);
    kit_judge_answer(completion);
}

void kit_take(struct rask *s, const struct kit_ledger *ledger, uint64_t ticket, struct rask_completion *completion)
{
    uint64_t end_ns = rask_now_ns() + TAKE_NS * (kit_sanitized ? 4 : 1);
    int error = rask_wait(s, ticket, end_ns, completion);
    if (error) fail_msg("wait: %d, %s", error, rask_last_error());
    assert_true(completion->ticket == ticket);
    kit_judge(ledger, completion, 0);
}

void kit_expect(struct rask *s, const struct kit_ledger *ledger, uint64_t ticket, uint32_t status, uint32_t executed)
{
    struct rask_completion completion;
    kit_take(s, ledger, ticket, &completion);
    assert_string_equal(rask_status_name(completion.status), rask_status_name(status));
    assert_string_equal(rask_executed_name(completion.executed), rask_executed_name(executed));
    rask_release(s, &completion);
}

void kit_call_ok(struct rask *s, struct kit_ledger *ledger, uint32_t bytes)
{
    struct rask_completion completion;
    kit_take(s, ledger, kit_submit(s, ledger, "ok", 0, bytes, 0), &completion);
    assert_string_equal(rask_status_name(completion.status), "OK");
    kit_judge(ledger, &completion, bytes);
    rask_release(s, &completion);
}
