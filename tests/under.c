/* SPDX-License-Identifier: MIT */
/* Runs a test where something is forbidden:  under CONDITION PROGRAM [ARGUMENT]...
 *
 *   uring-eperm, uring-enosys             io_uring_setup fails, as under Docker's and podman's profiles
 *   register-enosys                       io_uring cannot tell its requests: as on a kernel without the futex ones
 *   membarrier-eperm, membarrier-enosys   no membarrier
 *   waitv-enosys                          no futex_waitv: a kernel before 5.16
 *   memlock                               RLIMIT_MEMLOCK 0, and no CAP_IPC_LOCK
 *
 * The filter is inherited by everything that the test starts. Kernel contract: seccomp(2). */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_SKIP 77

static const struct condition {
    const char *name;
    unsigned number;
    unsigned error;
} conditions[] = {
    {"uring-eperm", SYS_io_uring_setup, EPERM},         {"uring-enosys", SYS_io_uring_setup, ENOSYS},
    {"register-enosys", SYS_io_uring_register, ENOSYS}, {"membarrier-eperm", SYS_membarrier, EPERM},
    {"membarrier-enosys", SYS_membarrier, ENOSYS},      {"waitv-enosys", SYS_futex_waitv, ENOSYS},
};

static int forbid(const struct condition *condition)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, condition->number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | condition->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static int forbid_locking(void)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) < 0) return -errno;
    if (geteuid() == 0 && prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) < 0) return -errno; /* gone after the exec */
    return 0;
}

static int set_up(const char *name)
{
    if (strcmp(name, "memlock") == 0) return forbid_locking();
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        if (strcmp(name, conditions[i].name) == 0) return forbid(&conditions[i]);
    return -EINVAL;
}

int main(int argc, char **argv)
{
    int result = argc < 3 ? -EINVAL : set_up(argv[1]);
    if (result == -EINVAL) {
        fprintf(stderr, "usage: under CONDITION PROGRAM [ARGUMENT]...\n");
        return 64;
    }
    if (result < 0) {
        printf("%s cannot be arranged here: %s\n", argv[1], strerror(-result));
        return EXIT_SKIP;
    }
    unsetenv("RASK_ENGINE");
    setenv("RASK_TEST_UNDER", argv[1], 1);
    execv(argv[2], argv + 2);
    fprintf(stderr, "under: %s: %s\n", argv[2], strerror(errno));
    return 99;
}
