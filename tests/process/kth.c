/* SPDX-License-Identifier: MIT */
/* A library to preload: one call of one function fails, as when the machine has no more of what it gives.
 *
 *   KTH_FUNCTION  its name, one of those below
 *   KTH_CALL      which call fails, from 1; all processes that inherit the environment count together
 *   KTH_COUNT     a file that they share: how many calls there were (a uint64_t)
 *
 * What libc calls inside itself is not seen. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *function;
static uint64_t call;
static uint64_t *count;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("KTH_COUNT"), *which = getenv("KTH_CALL");
    function = getenv("KTH_FUNCTION");
    int fd = path && which && function ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *base = NEXT(mmap)(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED) return;
    call = strtoull(which, NULL, 10);
    count = base;
}

static bool fails(const char *name, int error)
{
    if (!count || strcmp(name, function) != 0) return false;
    if (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) != call) return false;
    errno = error;
    return true;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return fails("mmap", ENOMEM) ? MAP_FAILED : NEXT(mmap)(address, bytes, protection, flags, fd, offset);
}

int memfd_create(const char *name, unsigned flags)
{
    return fails("memfd_create", EMFILE) ? -1 : NEXT(memfd_create)(name, flags);
}

int ftruncate(int fd, off_t bytes)
{
    return fails("ftruncate", ENOSPC) ? -1 : NEXT(ftruncate)(fd, bytes);
}

int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    return fails("posix_fallocate", ENOSPC) ? ENOSPC : NEXT(posix_fallocate)(fd, offset, bytes);
}

pid_t fork(void)
{
    return fails("fork", EAGAIN) ? -1 : NEXT(fork)();
}

int eventfd(unsigned value, int flags)
{
    return fails("eventfd", EMFILE) ? -1 : NEXT(eventfd)(value, flags);
}

int epoll_create1(int flags)
{
    return fails("epoll_create1", EMFILE) ? -1 : NEXT(epoll_create1)(flags);
}

int socketpair(int domain, int type, int protocol, int pair[2])
{
    return fails("socketpair", EMFILE) ? -1 : NEXT(socketpair)(domain, type, protocol, pair);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return fails("sendmsg", ENOBUFS) ? -1 : NEXT(sendmsg)(fd, message, flags);
}

/* dlsym() may want memory itself before it can say where the real one is; it copes without. */
void *calloc(size_t number, size_t bytes)
{
    static void *(*next)(size_t, size_t);
    static bool looking;
    if (!next && looking) return NULL;
    looking = true;
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "calloc");
    return fails("calloc", ENOMEM) ? NULL : next(number, bytes);
}

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    return fails("io_uring_queue_init", ENOMEM) ? -ENOMEM : NEXT(io_uring_queue_init)(entries, ring, flags);
}

/* Of raw system calls, the one that makes a descriptor. */
long syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_pidfd_open && fails("pidfd_open", EMFILE)) return -1;
    return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
