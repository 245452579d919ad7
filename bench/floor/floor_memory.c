/* SPDX-License-Identifier: MIT */
/* See floor_memory.h. Runs before and after the conversations, never during one. */
#include "floor_memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static int map(uint8_t **out, uint64_t bytes, int protection, int flags, int fd)
{
    void *at = mmap(NULL, bytes, protection, MAP_SHARED | MAP_POPULATE | flags, fd, 0);
    if (at == MAP_FAILED) return -ENOMEM;
    *out = at;
    return 0;
}

static int seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, SEALS) == 0 ? 0 : -errno;
}

static int create(struct rk_floor_segment *segment, uint64_t bytes)
{
    int fd = memfd_create("rask-floor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    int error = ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;
    if (error == 0) error = map(&segment->writable, bytes, PROT_READ | PROT_WRITE, 0, fd);
    if (error == 0) error = seal(fd);
    if (error == 0) error = map(&segment->readable, bytes, PROT_READ, 0, fd);
    close(fd);
    return error;
}

int rk_floor_memory_init(struct rk_floor_memory *memory, uint64_t open_bytes, uint64_t sealed_bytes)
{
    *memory = (struct rk_floor_memory){.open_bytes = open_bytes, .sealed_bytes = sealed_bytes};
    int error = map(&memory->open, open_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
    if (error == 0) error = create(&memory->by_client, sealed_bytes);
    if (error == 0) error = create(&memory->by_peer, sealed_bytes);
    return error;
}

static void unmap(uint8_t **at, uint64_t bytes)
{
    if (*at != NULL) munmap(*at, bytes);
    *at = NULL;
}

void rk_floor_memory_take_side(struct rk_floor_memory *memory, enum rk_floor_side side)
{
    struct rk_floor_segment *others = side == RK_FLOOR_CLIENT ? &memory->by_peer : &memory->by_client;
    unmap(&others->writable, memory->sealed_bytes);
}

void rk_floor_memory_finish(struct rk_floor_memory *memory)
{
    unmap(&memory->open, memory->open_bytes);
    unmap(&memory->by_client.writable, memory->sealed_bytes);
    unmap(&memory->by_client.readable, memory->sealed_bytes);
    unmap(&memory->by_peer.writable, memory->sealed_bytes);
    unmap(&memory->by_peer.readable, memory->sealed_bytes);
}
