/* SPDX-License-Identifier: MIT */
/* Sealed segments: the one writer keeps writing, nobody else can start to; what a peer hands over is mapped only when it
 * is what it claims to be; nothing leaks when it is not. Also the word that tells a forked child apart. */
#include "segment.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <rask/client.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "reachable.h"

#include "open_fds.h"

#define BYTES (4u * RK_PAGE_BYTES)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* Is a page of this process's memory at `base`? */
static bool mapped(void *base)
{
    unsigned char present;
    return mincore(base, RK_PAGE_BYTES, &present) == 0;
}

static void test_writer_keeps_writing_and_readers_see_it(void **state)
{
    struct rk_segment writer, reader;
    (void)state;
    assert_int_equal(rk_segment_create(&writer, RK_SEGMENT_REQUEST, BYTES), 0);
    assert_int_equal(rk_segment_map(&reader, dup(writer.fd), RK_SEGMENT_REQUEST, BYTES, false), 0);
    assert_int_equal(reader.fd, -1);
    assert_int_equal(reader.bytes, BYTES);
    ((uint8_t *)writer.base)[BYTES - 1] = 77;
    assert_int_equal(((uint8_t *)reader.base)[BYTES - 1], 77);
    rk_segment_close_fd(&writer);
    ((uint8_t *)writer.base)[BYTES - 1] = 78;
    assert_int_equal(((uint8_t *)reader.base)[BYTES - 1], 78);
    rk_segment_finish(&reader);
    rk_segment_finish(&writer);
    rk_segment_finish(&writer);
}

/* Every way in that a process has which holds a descriptor of the segment. */
static void refuses_writing(int fd, void *readable)
{
    static const uint8_t junk[64] = {1};
    char path[64];
    assert_ptr_equal(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(mprotect(readable, BYTES, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(pwrite(fd, junk, sizeof junk, RK_PAGE_BYTES), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, BYTES - RK_PAGE_BYTES), -1);
    assert_int_equal(ftruncate(fd, BYTES + RK_PAGE_BYTES), -1);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, RK_PAGE_BYTES), -1);
    assert_int_equal(fallocate(fd, 0, 0, BYTES + RK_PAGE_BYTES), -1);
    assert_int_equal(madvise(readable, RK_PAGE_BYTES, MADV_REMOVE), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR | O_CLOEXEC);
    if (again < 0) return;
    assert_ptr_equal(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
    assert_int_equal(pwrite(again, junk, sizeof junk, RK_PAGE_BYTES), -1);
    assert_int_equal(fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, RK_PAGE_BYTES), -1);
    close(again);
}

static void test_sealed_segment_refuses_every_other_writer(void **state)
{
    (void)state;
    for (uint32_t kind = 1; kind < RK_SEGMENT_KIND_COUNT; kind++) {
        struct rk_segment writer, reader;
        if (kind == RK_SEGMENT_BELL) continue;
        assert_int_equal(rk_segment_create(&writer, kind, BYTES), 0);
        assert_int_equal(rk_segment_map(&reader, dup(writer.fd), kind, BYTES, true), 0);
        memset((uint8_t *)writer.base + RK_PAGE_BYTES, 0x5a, RK_PAGE_BYTES);
        refuses_writing(reader.fd, reader.base);
        for (unsigned i = 0; i < RK_PAGE_BYTES; i++)
            assert_int_equal(((const uint8_t *)reader.base)[RK_PAGE_BYTES + i], 0x5a);
        rk_segment_finish(&reader);
        rk_segment_finish(&writer);
    }
}

static void test_bell_is_written_by_both_but_keeps_its_size(void **state)
{
    struct rk_segment ours, theirs;
    (void)state;
    assert_int_equal(rk_segment_create(&ours, RK_SEGMENT_BELL, BYTES), 0);
    assert_int_equal(rk_segment_map(&theirs, dup(ours.fd), RK_SEGMENT_BELL, BYTES, true), 0);
    ((uint8_t *)theirs.base)[100] = 1;
    assert_int_equal(((uint8_t *)ours.base)[100], 1);
    assert_int_equal(ftruncate(theirs.fd, 0), -1);
    assert_int_equal(ftruncate(theirs.fd, 2 * BYTES), -1);
    rk_segment_finish(&theirs);
    rk_segment_finish(&ours);
}

static void test_hidden_parts_are_out_of_reach_until_shown(void **state)
{
    enum { PAGES = 4 };
    struct rk_segment ours, theirs;
    (void)state;
    assert_int_equal(rk_segment_create(&ours, RK_SEGMENT_BELL, PAGES * RK_PAGE_BYTES), 0);
    assert_int_equal(rk_segment_map(&theirs, dup(ours.fd), RK_SEGMENT_BELL, PAGES * RK_PAGE_BYTES, false), 0);
    uint8_t *there = theirs.base, *here = ours.base;
    assert_int_equal(rk_segment_hide(&theirs, RK_PAGE_BYTES), 0);
    for (unsigned page = 0; page < PAGES; page++) assert_int_equal(reachable(there + page * RK_PAGE_BYTES), page == 0);
    assert_int_equal(rk_segment_show(&theirs, 2 * RK_PAGE_BYTES, RK_PAGE_BYTES), 0);
    for (unsigned page = 0; page < PAGES; page++)
        assert_int_equal(reachable(there + page * RK_PAGE_BYTES), page == 0 || page == 2);
    there[2 * RK_PAGE_BYTES] = 7;
    assert_int_equal(here[2 * RK_PAGE_BYTES], 7);
    here[2 * RK_PAGE_BYTES] = 8;
    assert_int_equal(there[2 * RK_PAGE_BYTES], 8);
    rk_segment_finish(&theirs);
    rk_segment_finish(&ours);
}

/* What a hostile peer can make: a memfd with these pages allocated, a header, and these seals. */
static int forge(off_t bytes, off_t allocated, int seals, enum rk_segment_kind kind, uint64_t says_bytes)
{
    int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    if (allocated > 0) assert_int_equal(fallocate(fd, 0, 0, allocated), 0);
    if (allocated >= (off_t)RK_PAGE_BYTES) {
        void *page = mmap(NULL, RK_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(page, MAP_FAILED);
        rk_segment_header_init(page, kind, says_bytes);
        munmap(page, RK_PAGE_BYTES);
    }
    if (seals != 0) assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* The descriptor is refused, closed, and nothing of *segment changes. */
static void refused(int fd, uint64_t bytes, const char *word)
{
    struct rk_segment segment = RK_SEGMENT_INIT;
    unsigned before = open_fds();
    assert_int_equal(rk_segment_map(&segment, fd, RK_SEGMENT_REQUEST, bytes, true), -EPROTO);
    if (strstr(rask_last_error(), word) == NULL) fail_msg("\"%s\" does not say %s", rask_last_error(), word);
    assert_null(segment.base);
    assert_int_equal(segment.fd, -1);
    if (fd >= 0) assert_int_equal(open_fds(), before - 1);
}

static void test_map_refuses_unsealed_short_and_holed_descriptors(void **state)
{
    (void)state;
    const enum rk_segment_kind kind = RK_SEGMENT_REQUEST;
    static const int each[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};
    refused(forge(BYTES, BYTES, 0, kind, BYTES), BYTES, "seals");
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
        refused(forge(BYTES, BYTES, SEALS & ~each[i], kind, BYTES), BYTES, "seals");
    refused(forge(BYTES - RK_PAGE_BYTES, BYTES - RK_PAGE_BYTES, SEALS, kind, BYTES), BYTES, "12288");
    refused(forge(BYTES - 1, BYTES - 1, SEALS, kind, BYTES), BYTES, "16383");
    refused(forge(0, 0, SEALS, kind, BYTES), BYTES, "0 bytes");
    refused(forge(BYTES + RK_PAGE_BYTES, BYTES + RK_PAGE_BYTES, SEALS, kind, BYTES), BYTES, "20480");
    refused(forge(BYTES, BYTES - RK_PAGE_BYTES, SEALS, kind, BYTES), BYTES, "allocated");
    refused(forge(BYTES, 0, SEALS, kind, BYTES), BYTES, "allocated");
    refused(forge(64 << 20, RK_PAGE_BYTES, SEALS, kind, 64u << 20), 64u << 20, "allocated"); /* would cost the reader */
    refused(forge((off_t)1 << 50, RK_PAGE_BYTES, SEALS, kind, BYTES), BYTES, "instead of");
    refused(forge(BYTES, BYTES, SEALS, kind, BYTES), UINT64_MAX, "instead of");
}

static void test_map_refuses_another_kind_and_header(void **state)
{
    (void)state;
    for (uint32_t kind = 1; kind < RK_SEGMENT_KIND_COUNT; kind++)
        if (kind != RK_SEGMENT_REQUEST)
            refused(forge(BYTES, BYTES, SEALS, kind, BYTES), BYTES, rk_segment_kind_name(kind));
    refused(forge(BYTES, BYTES, SEALS, RK_SEGMENT_REQUEST, 2 * BYTES), BYTES, "32768");
    int blank = memfd_create("blank", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fallocate(blank, 0, 0, BYTES), 0);
    assert_int_equal(fcntl(blank, F_ADD_SEALS, SEALS), 0);
    refused(blank, BYTES, "magic");
}

static void test_map_refuses_what_is_no_memfd(void **state)
{
    int ends[2];
    (void)state;
    char path[] = "/tmp/rask-segment-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    assert_int_equal(ftruncate(file, BYTES), 0);
    refused(file, BYTES, "memfd");
    assert_int_equal(pipe(ends), 0);
    refused(ends[0], BYTES, "memfd");
    close(ends[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    refused(ends[0], BYTES, "memfd");
    close(ends[1]);
    refused(open("/dev/zero", O_RDWR | O_CLOEXEC), BYTES, "memfd");
    refused(open("/", O_RDONLY | O_CLOEXEC), BYTES, "memfd");
    refused(-1, BYTES, "memfd");
}

static void test_further_seals_do_no_harm(void **state)
{
    struct rk_segment segment;
    (void)state;
    int fd = forge(BYTES, BYTES, SEALS | F_SEAL_WRITE, RK_SEGMENT_REQUEST, BYTES);
    assert_int_equal(rk_segment_verify(fd, RK_SEGMENT_REQUEST, BYTES), 0);
    assert_int_equal(rk_segment_map(&segment, fd, RK_SEGMENT_REQUEST, BYTES, false), 0);
    rk_segment_finish(&segment);
}

/* A limit of this process, lowered to what it uses. Never a segment that is too large: the machine would try. */
static int create_within(enum __rlimit_resource resource, rlim_t soft)
{
    struct rk_segment segment = RK_SEGMENT_INIT;
    struct rlimit before, low;
    assert_int_equal(getrlimit(resource, &before), 0);
    low = before;
    low.rlim_cur = soft;
    assert_int_equal(setrlimit(resource, &low), 0);
    int result = rk_segment_create(&segment, RK_SEGMENT_RESPONSE, BYTES);
    assert_int_equal(setrlimit(resource, &before), 0);
    assert_null(segment.base);
    assert_int_equal(segment.fd, -1);
    return result;
}

static void test_failed_creation_leaks_nothing(void **state)
{
    (void)state;
    unsigned before = open_fds();
    int lowest = dup(0);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(create_within(RLIMIT_NOFILE, (rlim_t)lowest), -EMFILE);
    assert_int_equal(open_fds(), before);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(create_within(RLIMIT_FSIZE, BYTES - 1), -EFBIG); /* fails after the descriptor is there */
    assert_non_null(strstr(rask_last_error(), "16384"));
    assert_int_equal(open_fds(), before);
}

/* The end of a child that runs `body`: its exit code, or minus the signal. */
static int end_of_child(int (*body)(void *), void *argument)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        alarm(5);
        _exit(body(argument));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int look_mapped(void *base)
{
    return mapped(base) ? 1 : 0;
}

static int look_word(void *word)
{
    return (int)*(uint32_t *)word;
}

static void test_child_inherits_no_mapping(void **state)
{
    struct rk_segment writer, reader;
    (void)state;
    assert_int_equal(rk_segment_create(&writer, RK_SEGMENT_RESPONSE, BYTES), 0);
    assert_int_equal(rk_segment_map(&reader, dup(writer.fd), RK_SEGMENT_RESPONSE, BYTES, false), 0);
    assert_true(mapped(writer.base) && mapped(reader.base));
    assert_int_equal(end_of_child(look_mapped, writer.base), 0);
    assert_int_equal(end_of_child(look_mapped, reader.base), 0);
    rk_segment_finish(&reader);
    rk_segment_finish(&writer);
}

static void test_fork_guard_is_zero_in_the_child_only(void **state)
{
    (void)state;
    uint32_t *guard = rk_fork_guard_create();
    assert_non_null(guard);
    assert_int_equal(*guard, 1);
    assert_int_equal(end_of_child(look_word, guard), 0);
    assert_int_equal(*guard, 1);
    rk_fork_guard_destroy(guard);
    rk_fork_guard_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_keeps_writing_and_readers_see_it),
        cmocka_unit_test(test_sealed_segment_refuses_every_other_writer),
        cmocka_unit_test(test_bell_is_written_by_both_but_keeps_its_size),
        cmocka_unit_test(test_hidden_parts_are_out_of_reach_until_shown),
        cmocka_unit_test(test_map_refuses_unsealed_short_and_holed_descriptors),
        cmocka_unit_test(test_map_refuses_another_kind_and_header),
        cmocka_unit_test(test_map_refuses_what_is_no_memfd),
        cmocka_unit_test(test_further_seals_do_no_harm),
        cmocka_unit_test(test_failed_creation_leaks_nothing),
        cmocka_unit_test(test_child_inherits_no_mapping),
        cmocka_unit_test(test_fork_guard_is_zero_in_the_child_only),
    };
    alarm(20);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
