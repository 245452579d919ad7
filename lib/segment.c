/* SPDX-License-Identifier: MIT */
/* Sealed memfd segments; see segment.h. Kernel contracts: memfd_create(2), fcntl(2) on seals, madvise(2). */
#include "segment.h"
#include "check.h"
#include "error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define SEALS_BOTH_WRITE (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEALS_ONE_WRITER (SEALS_BOTH_WRITE | F_SEAL_FUTURE_WRITE)

static int required_seals(enum rk_segment_kind kind)
{
    return kind == RK_SEGMENT_BELL ? SEALS_BOTH_WRITE : SEALS_ONE_WRITER;
}

static int open_memfd(enum rk_segment_kind kind)
{
    static const char *const names[RK_SEGMENT_KIND_COUNT] = {
        "rask",        "rask-request", "rask-request-extra", "rask-response", "rask-response-extra",
        "rask-status", "rask-bell",    "rask-control",       "rask-pool",
    };
    int fd = memfd_create(names[kind], MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(names[kind], MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

/** Every mapping is prepared alike: not inherited over fork, every page present. */
static int settle_mapping(void *base, uint64_t bytes, int populate)
{
    if (madvise(base, bytes, MADV_DONTFORK) != 0) return -errno;
    while (madvise(base, bytes, populate) != 0) {
        if (errno == EAGAIN || errno == EINTR) continue;
        /* Before Linux 5.14: the pages are allocated, a later touch only maps them. */
        if (errno == EINVAL) return 0;
        return errno == EFAULT || errno == EHWPOISON ? -ENOMEM : -errno;
    }
    return 0;
}

int rk_segment_create(struct rk_segment *segment, enum rk_segment_kind kind, uint64_t bytes)
{
    RK_CHECK(bytes != 0 && bytes % RK_PAGE_BYTES == 0);
    void *base = MAP_FAILED;
    int result;
    int fd = open_memfd(kind);
    if (fd < 0) return rk_error(fd, "cannot create a %s segment: %s", rk_segment_kind_name(kind), strerror(-fd));
    do {
        result = -posix_fallocate(fd, 0, (off_t)bytes);
    } while (result == -EINTR);
    if (result == -ENOSPC) result = -ENOMEM;
    if (result != 0) goto fail;
    base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    result = base == MAP_FAILED ? -errno : settle_mapping(base, bytes, MADV_POPULATE_WRITE);
    if (result != 0) goto fail;
    rk_segment_header_init(base, kind, bytes);
    result = fcntl(fd, F_ADD_SEALS, required_seals(kind)) == 0 ? 0 : -errno;
    if (result != 0) goto fail;
    *segment = (struct rk_segment){.base = base, .bytes = bytes, .fd = fd};
    return 0;
fail:
    if (base != MAP_FAILED) munmap(base, bytes);
    close(fd);
    return rk_error(result, "cannot make a %s segment of %llu bytes: %s", rk_segment_kind_name(kind),
                    (unsigned long long)bytes, strerror(-result));
}

int rk_segment_verify(int fd, enum rk_segment_kind kind, uint64_t bytes)
{
    const char *name = rk_segment_kind_name(kind);
    int required = required_seals(kind);
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return rk_error(-EPROTO, "%s segment: the descriptor is not a memfd that can be sealed (%s)", name,
                        strerror(errno));
    if ((seals & required) != required)
        return rk_error(-EPROTO, "%s segment: seals are %#x, %#x is required", name, (unsigned)seals,
                        (unsigned)required);
    struct stat facts;
    if (fstat(fd, &facts) != 0) return rk_error(-EPROTO, "%s segment: fstat: %s", name, strerror(errno));
    if (facts.st_size < 0 || (uint64_t)facts.st_size != bytes)
        return rk_error(-EPROTO, "%s segment: %lld bytes instead of %llu", name, (long long)facts.st_size,
                        (unsigned long long)bytes);
    if ((uint64_t)facts.st_blocks * 512u < bytes)
        return rk_error(-EPROTO, "%s segment: only %llu of %llu bytes are allocated", name,
                        (unsigned long long)facts.st_blocks * 512u, (unsigned long long)bytes);
    return 0;
}

int rk_segment_map(struct rk_segment *segment, int fd, enum rk_segment_kind kind, uint64_t bytes, bool keep_fd)
{
    bool writable = kind == RK_SEGMENT_BELL;
    void *base = MAP_FAILED;
    int result = rk_segment_verify(fd, kind, bytes);
    if (result != 0) goto fail;
    base = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    result =
        base == MAP_FAILED ? -errno : settle_mapping(base, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    if (result != 0) {
        rk_error(result, "cannot map a %s segment of %llu bytes: %s", rk_segment_kind_name(kind),
                 (unsigned long long)bytes, strerror(-result));
        goto fail;
    }
    result = rk_segment_header_check(base, kind, bytes);
    if (result != 0) goto fail;
    if (!keep_fd) {
        close(fd);
        fd = -1;
    }
    *segment = (struct rk_segment){.base = base, .bytes = bytes, .fd = fd};
    return 0;
fail:
    if (base != MAP_FAILED) munmap(base, bytes);
    close(fd);
    return result;
}

/** Of this machine: not less than RK_PAGE_BYTES, and the least that can be hidden or shown. */
static uint64_t page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > (long)RK_PAGE_BYTES ? (uint64_t)bytes : RK_PAGE_BYTES;
}

int rk_segment_hide(const struct rk_segment *segment, uint64_t offset)
{
    uint64_t page = page_bytes(), from = (offset + page - 1) / page * page;
    if (from >= segment->bytes) return 0;
    if (mprotect((uint8_t *)segment->base + from, segment->bytes - from, PROT_NONE) == 0) return 0;
    return rk_error(-ENOMEM, "cannot hide a part of the bells: %s", strerror(errno));
}

int rk_segment_show(const struct rk_segment *segment, uint64_t offset, uint64_t bytes)
{
    uint64_t before = offset % page_bytes();
    void *part = (uint8_t *)segment->base + offset - before;
    bytes += before;
    int result = mprotect(part, bytes, PROT_READ | PROT_WRITE) == 0 ? 0 : -errno;
    if (result == 0) result = settle_mapping(part, bytes, MADV_POPULATE_WRITE);
    return result == 0 ? 0 : rk_error(-ENOMEM, "cannot use a lane's pair of slots: %s", strerror(-result));
}

void rk_segment_close_fd(struct rk_segment *segment)
{
    if (segment->fd >= 0) close(segment->fd);
    segment->fd = -1;
}

void rk_segment_finish(struct rk_segment *segment)
{
    if (segment->base != NULL) munmap(segment->base, segment->bytes);
    rk_segment_close_fd(segment);
    *segment = (struct rk_segment)RK_SEGMENT_INIT;
}

int rk_scratch_create(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

uint32_t *rk_fork_guard_create(void)
{
    void *page = mmap(NULL, RK_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return NULL;
    if (madvise(page, RK_PAGE_BYTES, MADV_WIPEONFORK) != 0) {
        munmap(page, RK_PAGE_BYTES);
        return NULL;
    }
    uint32_t *guard = page;
    *guard = 1;
    return guard;
}

void rk_fork_guard_destroy(uint32_t *guard)
{
    if (guard != NULL) munmap(guard, RK_PAGE_BYTES);
}
