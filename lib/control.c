/* SPDX-License-Identifier: MIT */
/* Sending and receiving of control messages: one packet each, descriptors by SCM_RIGHTS.
 *
 * What arrives was written by a peer that may be broken or hostile. It is checked against one table (type -> length and
 * number of descriptors) before anybody looks at it, every string in it is made to end, and a packet that fails has all
 * its descriptors closed here. The ancillary buffer holds as many descriptors as the kernel lets one message carry, so
 * that none can arrive unseen: if some are missing, this process had no number left for them. Nothing here blocks but
 * rk_control_wait(). */
#include "control.h"
#include "check.h"
#include "clock.h"
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* SCM_MAX_FD of the kernel: the most descriptors that one message carries. */
#define SCM_FDS_MAX 253u

/* Packets are of one length, or `bytes` and then `count` entries with the count at `count_offset`. */
struct type_rule {
    const char *name;
    uint32_t bytes;
    uint32_t fds;
    uint32_t count_offset; /* 0: fixed length */
};

#define RULE(type, struct_name, fd_count) [type] = {.name = #type, .bytes = sizeof(struct struct_name), .fds = fd_count}
#define RULE_COUNTED(type, struct_name, count_field)        \
    [type] = {.name = #type,                                \
              .bytes = offsetof(struct struct_name, entry), \
              .fds = 0,                                     \
              .count_offset = offsetof(struct struct_name, count_field)}

static const struct type_rule rules[RK_MESSAGE_TYPE_COUNT] = {
    RULE(RK_HELLO, rk_message_hello, 0),
    RULE(RK_ATTACH, rk_message, 2),
    RULE(RK_OPEN_LANE, rk_message_lane, 0),
    RULE(RK_LANE_CLOSED, rk_message_lane, 0),
    RULE(RK_ADOPT, rk_message, 1),
    RULE(RK_WELCOME, rk_message_welcome, 1),
    RULE_COUNTED(RK_METHODS, rk_message_methods, count),
    RULE(RK_REFUSED, rk_message_text, 0),
    RULE(RK_ATTACHED, rk_message, 0),
    RULE(RK_LANE, rk_message_lane, 2),
    RULE(RK_LANE_GONE, rk_message_lane_gone, 0),
    RULE(RK_WORKERS, rk_message_workers, 0),
    RULE(RK_ENDED, rk_message_text, 0),
    RULE(RK_SESSION, rk_message_session, 2),
    RULE(RK_LANE_OPEN, rk_message_lane, 0),
    RULE(RK_SESSION_CLOSE, rk_message_session_id, 0),
    RULE(RK_STATUS, rk_message, 1),
    RULE_COUNTED(RK_READY, rk_message_ready, method_count),
    RULE(RK_FAILED, rk_message_text, 0),
    RULE(RK_LANE_OPENED, rk_message_lane, 1),
    RULE(RK_SESSION_BAD, rk_message_text, 0),
    RULE(RK_SEGMENT, rk_message_segment, 1),
    RULE(RK_SHUTDOWN, rk_message, 0),
    RULE(RK_ACK, rk_message, 0),
    RULE(RK_LANE_LEAVING, rk_message_lane, 0),
    RULE(RK_RELOADED, rk_message_text, 0),
    RULE(RK_RELOAD, rk_message_reload, 0),
    RULE(RK_RECYCLE, rk_message, 0),
    RULE(RK_LATE, rk_message_late, 0),
    RULE(RK_DEATH, rk_message_death, 0),
    RULE(RK_POISON, rk_message_poison, 0),
    RULE(RK_POISONS, rk_message_poisons, 0),
    RULE(RK_POISON_LIST, rk_message_poison_list, 0),
};

static const struct type_rule *rule_of(uint32_t type)
{
    return type < RK_MESSAGE_TYPE_COUNT && rules[type].name ? &rules[type] : NULL;
}

unsigned rk_message_fd_count(uint32_t type)
{
    const struct type_rule *rule = rule_of(type);
    return rule ? rule->fds : 0;
}

const char *rk_message_type_name(uint32_t type)
{
    const struct type_rule *rule = rule_of(type);
    return rule ? rule->name + strlen("RK_") : "UNKNOWN";
}

void rk_message_init(struct rk_message *head, enum rk_message_type type, size_t bytes)
{
    RK_CHECK(bytes >= sizeof(*head) && bytes <= sizeof(union rk_any_message));
    *head = (struct rk_message){
        .magic = RK_MESSAGE_MAGIC, .protocol = RK_PROTOCOL, .type = (uint16_t)type, .bytes = (uint32_t)bytes};
}

int rk_control_send(int socket, const void *message, const int *fds, unsigned fd_count)
{
    const struct rk_message *head = message;
    RK_CHECK(fd_count <= RK_MESSAGE_FDS_MAX);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(RK_MESSAGE_FDS_MAX * sizeof(int))];
    } ancillary = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = head->bytes};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        packet.msg_control = &ancillary;
        packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    ssize_t sent;
    do sent = sendmsg(socket, &packet, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) return 0;
    /* No memory for the packet is, like too many descriptors in flight, cured by time and not by POLLOUT. */
    return errno == ENOBUFS || errno == ENOMEM ? -ETOOMANYREFS : -errno;
}

/* Collects every descriptor of a received message. Returns how many there are, keeps the first RK_MESSAGE_FDS_MAX and
 * closes the others at once. */
static unsigned take_fds(struct msghdr *packet, int fds[RK_MESSAGE_FDS_MAX])
{
    unsigned count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(packet); part; part = CMSG_NXTHDR(packet, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++, count++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            if (count < RK_MESSAGE_FDS_MAX)
                fds[count] = fd;
            else
                close(fd);
        }
    }
    return count;
}

static void close_fds(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count && i < RK_MESSAGE_FDS_MAX; i++) close(fds[i]);
}

/* One packet. When a peer closes with packets of ours unread, the kernel reports ECONNRESET once, ahead of what the peer
 * had sent; asking again gets at that, and its last words are not lost. */
static ssize_t receive_packet(int socket, struct msghdr *packet)
{
    bool reset = false;
    for (;;) {
        ssize_t got = recvmsg(socket, packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got >= 0 || (errno != EINTR && (errno != ECONNRESET || reset))) return got;
        if (errno == ECONNRESET) reset = true;
    }
}

/* Length against the table. `got` bytes were received. */
static bool has_its_length(const struct type_rule *rule, const union rk_any_message *message, size_t got)
{
    if (got < rule->bytes || rule->count_offset == 0) return got == rule->bytes;
    uint32_t count;
    memcpy(&count, (const char *)message + rule->count_offset, sizeof(count));
    return count <= RASK_METHODS_MAX && got == rule->bytes + count * sizeof(struct rk_method_entry);
}

/* Length and number of descriptors. Some did not fit: the sender's fault only if more came than the type has. */
static int check_shape(const union rk_any_message *message, size_t got, unsigned fd_count, bool some_missing)
{
    const struct type_rule *rule = rule_of(message->head.type);
    if (!rule || !has_its_length(rule, message, got)) return -EPROTO;
    if (some_missing) return fd_count < rule->fds ? -EMFILE : -EPROTO;
    return fd_count == rule->fds ? 0 : -EPROTO;
}

#define TERMINATE(text) ((text)[sizeof(text) - 1] = '\0')

static void terminate_entries(struct rk_method_entry *entry, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        TERMINATE(entry[i].name);
        TERMINATE(entry[i].summary);
    }
}

static void terminate_strings(union rk_any_message *message)
{
    switch (message->head.type) {
    case RK_HELLO:
        TERMINATE(message->hello.version);
        break;
    case RK_WELCOME:
        TERMINATE(message->welcome.version);
        TERMINATE(message->welcome.engine);
        TERMINATE(message->welcome.plugin);
        TERMINATE(message->welcome.plugin_version);
        break;
    case RK_METHODS:
        terminate_entries(message->methods.entry, message->methods.count);
        break;
    case RK_READY:
        TERMINATE(message->ready.plugin);
        TERMINATE(message->ready.plugin_version);
        terminate_entries(message->ready.entry, message->ready.method_count);
        break;
    case RK_REFUSED:
    case RK_ENDED:
    case RK_FAILED:
    case RK_SESSION_BAD:
    case RK_RELOADED:
        TERMINATE(message->text.text);
        break;
    case RK_RELOAD:
        TERMINATE(message->reload.path);
        break;
    default:
        break;
    }
}

static int check_packet(union rk_any_message *message, size_t got, int flags, unsigned fd_count)
{
    if ((flags & MSG_TRUNC) || got < sizeof(struct rk_message)) return -EPROTO;
    if (message->head.magic != RK_MESSAGE_MAGIC || message->head.bytes != got) return -EPROTO;
    if (message->head.protocol != RK_PROTOCOL) {
        TERMINATE(message->text.text); /* a REFUSED of any version ends in words */
        return -EPROTONOSUPPORT;
    }
    int result = check_shape(message, got, fd_count, flags & MSG_CTRUNC);
    if (result != -EPROTO) terminate_strings(message);
    return result;
}

int rk_control_receive(int socket, union rk_any_message *message, int fds[RK_MESSAGE_FDS_MAX], unsigned *fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SCM_FDS_MAX * sizeof(int))];
    } ancillary;
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    struct msghdr packet = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = sizeof(ancillary)};
    *fd_count = 0;
    ssize_t got = receive_packet(socket, &packet);
    if (got < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    memset((char *)message + got, 0, sizeof(*message) - (size_t)got);
    unsigned taken = take_fds(&packet, fds);
    /* An empty packet cannot be told from the end; nobody of ours sends one. */
    int result = got == 0 ? -ECONNRESET : check_packet(message, (size_t)got, packet.msg_flags, taken);
    if (result < 0)
        close_fds(fds, taken);
    else
        *fd_count = taken;
    return result;
}

int rk_control_wait(int socket, uint64_t deadline_ns)
{
    struct pollfd look = {.fd = socket, .events = POLLIN};
    struct timespec left = {0};
    if (deadline_ns != 0) {
        uint64_t now_ns = rask_now_ns();
        left = rk_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
    }
    int count = ppoll(&look, 1, deadline_ns ? &left : NULL, NULL);
    if (count < 0) return -errno;
    return count == 0 ? -ETIMEDOUT : 0;
}

int rk_control_send_within(int socket, const void *message, const int *fds, unsigned fd_count, uint64_t patience_ns)
{
    uint64_t deadline_ns = 0;
    for (;;) {
        int result = rk_control_send(socket, message, fds, fd_count);
        if (result != -EAGAIN && result != -ETOOMANYREFS) return result;
        uint64_t now_ns = rask_now_ns();
        if (deadline_ns == 0) deadline_ns = now_ns + patience_ns;
        if (now_ns > deadline_ns) return result;
        struct pollfd writable = {.fd = socket, .events = POLLOUT};
        poll(&writable, 1, 1);
    }
}
