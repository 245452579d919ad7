/* SPDX-License-Identifier: MIT */
/* The sandbox of a worker: a list of what a handler that computes does not need and an attacker does. System calls are
 * refused with EPERM by seccomp, so that a library can go on without; files are opened for writing only below the folders
 * that were listed, by Landlock. On a kernel without Landlock, seccomp refuses every opening for writing instead. */
#include "sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ull << 13) /* Landlock 2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14) /* Landlock 3 */
#endif
#define IO_PRIORITY_OF_PROCESS 1 /* IOPRIO_WHO_PROCESS, not in every header */
#define WRITES                                                                                        \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |       \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_SYM)
/* What a rule about a single file may say. */
#define FILE_WRITES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

static const int refused[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat), /* programs */
    SCMP_SYS(socket),
    SCMP_SYS(socketpair), /* one of datagrams sends to every address */
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen), /* the network */
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev), /* other processes */
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(kcmp),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(tkill),
    SCMP_SYS(process_madvise),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register), /* ways around this */
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(personality),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(move_mount), /* the system */
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(open_tree),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchown), /* what files are */
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(utime),
    SCMP_SYS(utimes),
    SCMP_SYS(utimensat),
    SCMP_SYS(futimesat),
    SCMP_SYS(setxattr),
    SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr),
    SCMP_SYS(removexattr),
    SCMP_SYS(lremovexattr),
    SCMP_SYS(fremovexattr),
};

/* Younger than the libraries this is built with. From 424 on a call has the same number on every architecture. */
static const int refused_by_number[] = {
    443, /* quotactl_fd */
    452, /* fchmodat2 */
    463, /* setxattrat */
    466, /* removexattrat */
    467, /* open_tree_attr */
    469, /* file_setattr */
};

/* Without Landlock: nothing that changes a folder either. */
static const int changes[] = {
    SCMP_SYS(creat),  SCMP_SYS(truncate), SCMP_SYS(openat2), SCMP_SYS(mkdir),    SCMP_SYS(mkdirat),   SCMP_SYS(rmdir),
    SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),  SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link),
    SCMP_SYS(linkat), SCMP_SYS(symlink),  SCMP_SYS(mknod),   SCMP_SYS(mknodat),  SCMP_SYS(symlinkat),
};

/* A call that this architecture does not have cannot be made: no rule is needed. */
static int refuse_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        if (calls[i] < 0) continue;
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
    }
    return result;
}

/* Signals go to this process only (crash_handler.c sends itself one); a child that a handler forks has another number and may
 * not send any. */
static int refuse_signals(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_tgsigqueueinfo)};
    const struct scmp_arg_cmp other = SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid(), 0);
    int result = 0;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 1, other);
    return result;
}

/* Commands of a call, in its second argument; the kernel looks at 32 bits of it. */
static int refuse_commands(scmp_filter_ctx filter, int call, const unsigned *commands, size_t count)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, commands[i]));
    return result;
}

/* Keys pressed for somebody else, attributes of files, signals that the kernel sends for the owner of a descriptor, limits of
 * other processes, namespaces. */
static int refuse_by_argument(scmp_filter_ctx filter)
{
    static const unsigned devices[] = {TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FIOSETOWN, SIOCSPGRP};
    static const unsigned descriptors[] = {F_SETOWN, F_SETOWN_EX};
    static const unsigned long namespaces[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                               CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    int result = refuse_commands(filter, SCMP_SYS(ioctl), devices, sizeof(devices) / sizeof(devices[0]));
    if (result == 0)
        result = refuse_commands(filter, SCMP_SYS(fcntl), descriptors, sizeof(descriptors) / sizeof(descriptors[0]));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_NE, 0, 0));
    for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]) && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    /* Its flags are in memory, where no filter sees them: libraries fall back to clone. */
    if (result == 0) result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return result;
}

/* Where and how soon the supervisor runs is not a handler's to say; of its own threads it is. Groups and users hold others, too. */
static int spare_supervisor(scmp_filter_ctx filter)
{
    static const struct {
        int call;
        unsigned process; /* which argument says it */
    } calls[] = {
        {SCMP_SYS(sched_setscheduler), 0}, {SCMP_SYS(sched_setparam), 0}, {SCMP_SYS(sched_setattr), 0},
        {SCMP_SYS(sched_setaffinity), 0},  {SCMP_SYS(migrate_pages), 0},  {SCMP_SYS(move_pages), 0},
        {SCMP_SYS(setpriority), 1},        {SCMP_SYS(ioprio_set), 1},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i].call, 1,
                                  SCMP_CMP(calls[i].process, SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)getppid()));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setpriority), 1,
                                  SCMP_A0(SCMP_CMP_NE, PRIO_PROCESS, 0));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioprio_set), 1,
                                  SCMP_A0(SCMP_CMP_NE, IO_PRIORITY_OF_PROCESS, 0));
    return result;
}

static int refuse_writing(scmp_filter_ctx filter)
{
    static const unsigned long flags[] = {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC};
    int result = refuse_all(filter, changes, sizeof(changes) / sizeof(changes[0]));
    for (size_t i = 0; i < 4 && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
        if (result == 0)
            result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 1,
                                      SCMP_A1(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    }
    return result;
}

/* Landlock before its version 3 does not look at truncation, but at every opening for writing: so not by path, and not by an
 * opening for reading (or for neither). */
static int refuse_truncating(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(truncate), SCMP_SYS(openat2)};
    static const unsigned long flags[] = {O_RDONLY | O_TRUNC, O_ACCMODE | O_TRUNC};
    int result = refuse_all(filter, calls, sizeof(calls) / sizeof(calls[0]));
    for (size_t i = 0; i < 2 && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_TRUNC, flags[i]));
        if (result == 0)
            result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 1,
                                      SCMP_A1(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_TRUNC, flags[i]));
    }
    return result;
}

static int filter_calls(long version)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter) return -ENOMEM;
    int result = refuse_all(filter, refused, sizeof(refused) / sizeof(refused[0]));
    if (result == 0)
        result = refuse_all(filter, refused_by_number, sizeof(refused_by_number) / sizeof(refused_by_number[0]));
    if (result == 0) result = refuse_signals(filter);
    if (result == 0) result = refuse_by_argument(filter);
    if (result == 0) result = spare_supervisor(filter);
    if (result == 0 && version < 1) result = refuse_writing(filter);
    if (result == 0 && version >= 1 && version < 3) result = refuse_truncating(filter);
    if (result == 0) result = seccomp_load(filter);
    seccomp_release(filter);
    return result;
}

static int allow_path(int ruleset, const char *path, uint64_t handled)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0) return -errno;
    int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    rule.allowed_access = handled & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE;
    if (folder < 0) rule.allowed_access &= FILE_WRITES;
    long result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int error = result < 0 ? -errno : 0;
    if (folder >= 0) close(folder);
    close(rule.parent_fd);
    return error;
}

static int restrict_files(const struct rk_worker_limits *limits, long version, char *why, size_t why_bytes)
{
    struct landlock_ruleset_attr rules = {.handled_access_fs = WRITES | LANDLOCK_ACCESS_FS_EXECUTE};
    if (version >= 2) rules.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3) rules.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules.handled_access_fs), 0);
    if (ruleset < 0) return -errno;
    int result = allow_path(ruleset, "/dev/null", rules.handled_access_fs);
    if (result < 0) snprintf(why, why_bytes, "--sandbox: /dev/null: %s", strerror(-result));
    for (unsigned i = 0; i < limits->writable_count && result == 0; i++) {
        result = allow_path(ruleset, limits->writable[i], rules.handled_access_fs);
        if (result < 0) snprintf(why, why_bytes, "--sandbox-write %.200s: %s", limits->writable[i], strerror(-result));
    }
    if (result == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) result = -errno;
    close(ruleset);
    return result;
}

int rk_sandbox_enter(const struct rk_worker_limits *limits, char *why, size_t why_bytes)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return rk_sandbox_enter_with(limits, version, why, why_bytes);
}

int rk_sandbox_enter_with(const struct rk_worker_limits *limits, long version, char *why, size_t why_bytes)
{
    why[0] = '\0';
    if (version < 1 && limits->writable_count > 0) {
        snprintf(why, why_bytes, "--sandbox-write needs Landlock, which this kernel does not have: leave it away");
        return -ENOSYS;
    }
    int result = version < 1 ? 0 : restrict_files(limits, version, why, why_bytes);
    if (result == 0) result = filter_calls(version);
    if (result < 0 && why[0] == '\0') snprintf(why, why_bytes, "--sandbox: %s", strerror(-result));
    return result;
}
