/* SPDX-License-Identifier: MIT */
/* Log lines; see log.h. A line is at most PIPE_BUF bytes, so a pipe takes it whole or not at all, and lines of several
 * processes do not mix. */
#include "log.h"
#include "log_json.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define TEXT_BYTES 1024u

enum way {
    WAY_DIRECT, /* a file: write(2) on the descriptor itself */
    WAY_OWN,    /* a second, non-blocking description of the same pipe or terminal */
    WAY_SOCKET, /* send(2) with MSG_DONTWAIT */
    WAY_ASK     /* the second one was refused: poll(2) first, and a writer that is faster may make us wait */
};

static struct {
    int fd;
    enum way way;
    int level;
    enum rk_log_format format;
    bool journal;    /* standard error is the journal's: priorities in front */
    bool cut;        /* the last line was written in part: end it first */
    uint32_t worker; /* this process's, or RK_LOG_NO_WORKER */
    uint64_t told;   /* drops that were reported */
    uint64_t dropped;
} out = {
    .fd = STDERR_FILENO,
    .way = WAY_DIRECT,
    .level = RASK_LOG_DEBUG,
    .worker = RK_LOG_NO_WORKER,
};

static const struct {
    const char *name;
    int level;
} levels[] = {
    {"error", RASK_LOG_ERROR},
    {"warning", RASK_LOG_WARNING},
    {"info", RASK_LOG_INFO},
    {"debug", RASK_LOG_DEBUG},
};

int rk_log_level_parse(const char *name)
{
    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(levels[i].name, name) == 0) return levels[i].level;
    return -EINVAL;
}

int rk_log_format_parse(const char *name)
{
    if (strcmp(name, "text") == 0) return RK_LOG_TEXT;
    return strcmp(name, "json") == 0 ? RK_LOG_JSON : -EINVAL;
}

/** Plugins may pass numbers in between. */
static const char *level_name(int level)
{
    unsigned last = sizeof levels / sizeof levels[0] - 1;
    for (unsigned i = 0; i < last; i++)
        if (level <= levels[i].level) return levels[i].name;
    return levels[last].name;
}

/** systemd.exec(5): JOURNAL_STREAM is device:inode of the stream, and a redirected descriptor has other numbers. */
static bool is_journal(void)
{
    struct stat facts;
    unsigned long long device, inode;
    char behind;
    const char *stream = getenv("JOURNAL_STREAM");
    if (stream == NULL || sscanf(stream, "%llu:%llu%c", &device, &inode, &behind) != 2) return false;
    return fstat(STDERR_FILENO, &facts) == 0 && facts.st_dev == device && facts.st_ino == inode;
}

static void find_way(void)
{
    struct stat facts;
    out.fd = STDERR_FILENO;
    out.way = WAY_DIRECT;
    if (fstat(STDERR_FILENO, &facts) < 0 || S_ISREG(facts.st_mode)) return;
    if (S_ISSOCK(facts.st_mode)) {
        out.way = WAY_SOCKET;
        return;
    }
    int fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    out.way = fd >= 0 ? WAY_OWN : WAY_ASK;
    if (fd >= 0) out.fd = fd;
}

void rk_log_open(int level, enum rk_log_format format)
{
    out.level = level;
    out.format = format;
    out.journal = is_journal();
    find_way();
}

void rk_log_enter_worker(uint32_t worker)
{
    out.worker = worker;
    out.dropped = out.told = 0;
    find_way();
}

void rk_log_reopen(void)
{
    find_way();
}

uint64_t rk_log_dropped(void)
{
    return out.dropped;
}

bool rk_log_owes(void)
{
    return out.dropped != out.told;
}

static ssize_t put(const char *line, size_t bytes)
{
    struct pollfd room = {.fd = out.fd, .events = POLLOUT};
    if (out.way == WAY_SOCKET) return send(out.fd, line, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (out.way == WAY_ASK && (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))) return -1;
    return write(out.fd, line, bytes);
}

/** True if the line is out. */
static bool write_line(const char *line, size_t bytes)
{
    if (out.cut && put("\n", 1) != 1) return false;
    ssize_t written = put(line, bytes);
    out.cut = written > 0 && (size_t)written < bytes;
    return written == (ssize_t)bytes;
}

/** Everything that could end a line or speak to a terminal becomes a blank. */
static void flatten(char *text)
{
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' ';
}

static size_t clip(int printed, size_t room)
{
    return printed < 0 ? 0 : (size_t)printed < room ? (size_t)printed : room - 1;
}

static size_t format_text(char *line, size_t room, const struct rk_log_record *record, int level)
{
    bool plain = level > RASK_LOG_WARNING;
    return clip(
        snprintf(line, room, "%s: %s%s%s", record->who, plain ? "" : record->level, plain ? "" : ": ", record->message),
        room);
}

static bool say(int level, const char *who, uint32_t worker, const char *event, const char *message)
{
    char line[PIPE_BUF];
    size_t used = 0, room = sizeof line - 1;
    struct rk_log_record record = {
        .level = level_name(level),
        .who = who,
        .event = event,
        .message = message,
        .about = worker != RK_LOG_NO_WORKER ? worker : out.worker,
        .speaker = out.worker,
    };
    if (out.journal) used = clip(snprintf(line, room, "<%d>", level < 0 ? 0 : level > 7 ? 7 : level), room);
    if (out.format == RK_LOG_JSON)
        used += rk_log_json(line + used, room - used, &record);
    else
        used += format_text(line + used, room - used, &record, level);
    line[used++] = '\n';
    return write_line(line, used);
}

bool rk_log_settle(void)
{
    char text[96];
    uint64_t dropped = out.dropped;
    if (!rk_log_owes()) return true;
    snprintf(text, sizeof text, "%llu log lines were dropped: standard error had no room",
             (unsigned long long)(dropped - out.told));
    char who[32] = "rask run";
    if (out.worker != RK_LOG_NO_WORKER) snprintf(who, sizeof who, "rask worker %u", out.worker);
    if (!say(RASK_LOG_WARNING, who, RK_LOG_NO_WORKER, "log_dropped", text)) return false;
    out.told = dropped;
    return true;
}

void rk_log_list(int level, const char *who, uint32_t worker, const char *event, const char *format, va_list arguments)
{
    char text[TEXT_BYTES];
    int error = errno;
    if (level > out.level) return;
    vsnprintf(text, sizeof text, format, arguments);
    flatten(text);
    if (!rk_log_settle() || !say(level, who, worker, event, text)) out.dropped++;
    errno = error;
}

void rk_log(int level, const char *who, uint32_t worker, const char *event, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rk_log_list(level, who, worker, event, format, arguments);
    va_end(arguments);
}
