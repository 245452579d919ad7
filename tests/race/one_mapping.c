/* SPDX-License-Identifier: MIT */
/* Lets all parties of a pool use one mapping of each segment, the one its creator made. With mappings of their own they
 * would use different addresses for the same memory, and ThreadSanitizer would see no connection between the two sides
 * of a ring. The linker puts these functions in front of those of lib/segment.c (--wrap); the checks of what is
 * received stay. */
#include "segment.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARED_MAX 512u

int __real_rk_segment_create(struct rk_segment *segment, enum rk_segment_kind kind, uint64_t bytes);
int __real_rk_segment_map(struct rk_segment *segment, int fd, enum rk_segment_kind kind, uint64_t bytes, bool keep_fd);
void __real_rk_segment_finish(struct rk_segment *segment);
int __wrap_rk_segment_create(struct rk_segment *segment, enum rk_segment_kind kind, uint64_t bytes);
int __wrap_rk_segment_map(struct rk_segment *segment, int fd, enum rk_segment_kind kind, uint64_t bytes, bool keep_fd);
void __wrap_rk_segment_finish(struct rk_segment *segment);
int __wrap_rk_segment_hide(const struct rk_segment *segment, uint64_t offset);
int __wrap_rk_segment_show(const struct rk_segment *segment, uint64_t offset, uint64_t bytes);

static struct shared {
    void *base; /* NULL: unused */
    ino_t inode;
    unsigned references;
} table[SHARED_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ino_t inode_of(int fd)
{
    struct stat facts;
    return fstat(fd, &facts) == 0 ? facts.st_ino : 0;
}

/* The entry with this base, or with this inode; a NULL base finds a free one. */
static struct shared *find(const void *base, ino_t inode)
{
    for (unsigned i = 0; i < SHARED_MAX; i++)
        if (inode != 0 ? table[i].base != NULL && table[i].inode == inode : table[i].base == base) return &table[i];
    return NULL;
}

int __wrap_rk_segment_create(struct rk_segment *segment, enum rk_segment_kind kind, uint64_t bytes)
{
    int result = __real_rk_segment_create(segment, kind, bytes);
    if (result != 0) return result;
    pthread_mutex_lock(&lock);
    struct shared *entry = find(NULL, 0);
    if (entry == NULL) {
        fprintf(stderr, "one_mapping.c: more than %u segments\n", SHARED_MAX);
        abort();
    }
    *entry = (struct shared){.base = segment->base, .inode = inode_of(segment->fd), .references = 1};
    pthread_mutex_unlock(&lock);
    return 0;
}

int __wrap_rk_segment_map(struct rk_segment *segment, int fd, enum rk_segment_kind kind, uint64_t bytes, bool keep_fd)
{
    pthread_mutex_lock(&lock);
    struct shared *entry = find(NULL, inode_of(fd));
    if (entry == NULL || entry->base == NULL || rk_segment_verify(fd, kind, bytes) != 0 ||
        rk_segment_header_check(entry->base, kind, bytes) != 0) {
        pthread_mutex_unlock(&lock);
        return __real_rk_segment_map(segment, fd, kind, bytes, keep_fd);
    }
    entry->references++;
    *segment = (struct rk_segment){.base = entry->base, .bytes = bytes, .fd = keep_fd ? fd : -1};
    pthread_mutex_unlock(&lock);
    if (!keep_fd) close(fd);
    return 0;
}

/* What one party would hide from itself, the others need. */
int __wrap_rk_segment_hide(const struct rk_segment *segment, uint64_t offset)
{
    return segment->base != NULL && offset <= segment->bytes ? 0 : -EINVAL;
}

int __wrap_rk_segment_show(const struct rk_segment *segment, uint64_t offset, uint64_t bytes)
{
    return segment->base != NULL && offset + bytes <= segment->bytes ? 0 : -EINVAL;
}

void __wrap_rk_segment_finish(struct rk_segment *segment)
{
    pthread_mutex_lock(&lock);
    struct shared *entry = segment->base != NULL ? find(segment->base, 0) : NULL;
    if (entry != NULL && --entry->references > 0)
        segment->base = NULL; /* the others still use it */
    else if (entry != NULL)
        entry->base = NULL;
    pthread_mutex_unlock(&lock);
    __real_rk_segment_finish(segment);
}
