/* SPDX-License-Identifier: MIT */
/* The last act of a worker: a signal handler that writes down what it knows, then lets the true death happen.
 *
 * Everything in it is safe in a signal handler: system calls and private memory. It runs on a stack of its own, so that
 * a stack overflow is seen, too. All bytes go through pwrite(), to which a bad address is an error and not a second
 * fault. The order is by worth and by risk: who and where, the request, the module map, the backtrace; what was written
 * stays when a later step fails. A step that hangs (a lock in the dynamic linker) is cut off by a timer.
 *
 * The signal is then sent again with its own siginfo, under the default action: the kernel delivers it at the faulting
 * instruction, so core files and the status of the death are what they were without a handler. */
#include "atomic.h"
#include "crash.h"
#include "worker_state.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#define STACK_BYTES 65536u
#define PATIENCE_US 200000

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

static struct {
    int fd;
    pid_t pid;
    pid_t thread;
    const struct rk_worker *worker;
    uint64_t payload_bytes_max;
    uint32_t entered; /* by how many threads */
    int signal;
    struct rk_crash_record record;
} watch;

static uint8_t stack[STACK_BYTES] __attribute__((aligned(64)));

/* ---- before the fault: what can be known early ------------------------------------------------------------------- */

static void take_build_id(const uint8_t *note, size_t bytes)
{
    while (bytes >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) head;
        memcpy(&head, note, sizeof(head));
        size_t name_bytes = ((size_t)head.n_namesz + 3) & ~(size_t)3,
               data_bytes = ((size_t)head.n_descsz + 3) & ~(size_t)3;
        if (name_bytes > bytes || data_bytes > bytes || sizeof(head) + name_bytes + data_bytes > bytes) return;
        const uint8_t *data = note + sizeof(head) + name_bytes;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && head.n_descsz <= RK_CRASH_BUILD_ID_MAX) {
            memcpy(watch.record.build_id, data, head.n_descsz);
            watch.record.build_id_bytes = head.n_descsz;
            return;
        }
        note = data + data_bytes;
        bytes -= sizeof(head) + name_bytes + data_bytes;
    }
}

static bool holds(const struct dl_phdr_info *module, uintptr_t address)
{
    for (unsigned i = 0; i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &module->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && address - (module->dlpi_addr + part->p_vaddr) < part->p_memsz) return true;
    }
    return false;
}

static int look_at_module(struct dl_phdr_info *module, size_t bytes, void *user)
{
    (void)bytes;
    if (!holds(module, (uintptr_t)user)) return 0;
    for (unsigned i = 0; i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &module->dlpi_phdr[i];
        if (part->p_type == PT_NOTE)
            take_build_id((const uint8_t *)(uintptr_t)(module->dlpi_addr + part->p_vaddr), part->p_memsz);
    }
    return 1;
}

/* ---- in the handler ---------------------------------------------------------------------------------------------- */

/* As many bytes as could be read there and written here. */
static uint64_t put(const void *data, uint64_t bytes, uint64_t offset)
{
    uint64_t done = 0;
    while (done < bytes) {
        ssize_t more = pwrite(watch.fd, (const uint8_t *)data + done, bytes - done, (off_t)(offset + done));
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) break;
        done += (uint64_t)more;
    }
    return done;
}

static void put_record(void)
{
    put(&watch.record, sizeof(watch.record), 0);
}

static void put_request(void)
{
    const struct rask_call *call = &watch.worker->handling.call;
    if ((watch.worker->page->epoch & 1) == 0) return; /* between requests */
    uint64_t wanted = call->request_bytes < watch.payload_bytes_max ? call->request_bytes : watch.payload_bytes_max;
    watch.record.request_bytes = call->request_bytes;
    watch.record.payload_bytes = put(call->request, wanted, RK_CRASH_PAYLOAD_OFFSET);
}

static void put_maps(void)
{
    static char buffer[4096];
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0) return;
    uint64_t done = 0;
    for (;;) {
        ssize_t bytes = read(maps, buffer, sizeof(buffer));
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes <= 0 || done + (uint64_t)bytes > RK_CRASH_MAPS_BYTES_MAX) break;
        done += put(buffer, (uint64_t)bytes, RK_CRASH_MAPS_OFFSET + done);
    }
    close(maps);
    watch.record.maps_bytes = done;
}

/* Frames above the fault are ours: the list starts anew where the fault is. */
static _Unwind_Reason_Code take_frame(struct _Unwind_Context *context, void *user)
{
    bool *found = user;
    uint64_t pc = _Unwind_GetIP(context);
    if (!*found && pc != watch.record.pc) return _URC_NO_REASON;
    if (*found && pc == 0) return _URC_END_OF_STACK;
    *found = true;
    if (watch.record.frame_count >= RK_CRASH_FRAMES_MAX) return _URC_END_OF_STACK;
    watch.record.frame[watch.record.frame_count++] = pc;
    return _URC_NO_REASON;
}

/* After a jump to nowhere there is nothing to unwind by; the word on top of the stack is where the call came from. */
static void put_frames(void)
{
    bool found = false;
    _Unwind_Backtrace(take_frame, &found);
    if (!found || watch.record.frame_count < 2) {
        watch.record.frame[0] = watch.record.pc;
        watch.record.frame_count = 2;
        put_record();
        put((const void *)(uintptr_t)watch.record.sp, sizeof(uint64_t), offsetof(struct rk_crash_record, frame[1]));
        return;
    }
    put_record();
}

static void take_registers(const ucontext_t *context)
{
#if defined(__x86_64__)
    watch.record.pc = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    watch.record.sp = (uint64_t)context->uc_mcontext.gregs[REG_RSP];
    watch.record.fp = (uint64_t)context->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    watch.record.pc = context->uc_mcontext.pc;
    watch.record.sp = context->uc_mcontext.sp;
    watch.record.fp = context->uc_mcontext.regs[29];
#endif
}

static pid_t own_thread(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* Pending until the handler returns, and then deadly. */
static void send_again(int number, siginfo_t *info)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(number, &plain, NULL);
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), own_thread(), number, info) < 0) raise(number);
}

static void allow(int number)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
}

static void on_late(int number)
{
    (void)number;
    signal(watch.signal, SIG_DFL);
    raise(watch.signal);
    allow(watch.signal);
}

static void start_patience(void)
{
    struct sigaction late = {.sa_handler = on_late, .sa_flags = SA_ONSTACK};
    const struct itimerval patience = {.it_value.tv_usec = PATIENCE_US};
    sigaction(SIGALRM, &late, NULL);
    setitimer(ITIMER_REAL, &patience, NULL);
    allow(SIGALRM);
}

static void on_fatal(int number, siginfo_t *info, void *context)
{
    if (getpid() != watch.pid) { /* a child that the handler forked */
        send_again(number, info);
        return;
    }
    if (rk_fetch_add(&watch.entered, 1u) != 0) /* another thread is at it */
        for (;;) pause();
    watch.signal = number;
    watch.record.signal = number;
    watch.record.code = info->si_code;
    watch.record.fault_address = (uint64_t)(uintptr_t)info->si_addr;
    watch.record.thread = (uint32_t)own_thread();
    watch.record.other_thread = own_thread() != watch.thread;
    take_registers(context);
    put_record();
    put_request();
    put_record();
    start_patience();
    put_maps();
    put_record();
    put_frames();
    send_again(number, info);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static void take_stack(void)
{
    stack_t old, mine = {.ss_sp = stack, .ss_size = sizeof(stack)};
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE)) sigaltstack(&mine, NULL);
}

static void take_signal(int number)
{
    struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction old;
    if (sigaction(number, NULL, &old) < 0 || (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL) return;
    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, SIGALRM);
    sigaction(number, &action, NULL);
}

void rk_crash_watch(struct rk_worker *worker, int record_fd, uint64_t payload_bytes_max)
{
    bool found = false;
    watch.fd = record_fd;
    watch.pid = getpid();
    watch.thread = own_thread();
    watch.worker = worker;
    watch.payload_bytes_max = payload_bytes_max;
    watch.record.magic = RK_CRASH_MAGIC;
    dl_iterate_phdr(look_at_module, (void *)(uintptr_t)worker->plugin);
    put_record();
    _Unwind_Backtrace(take_frame, &found); /* whatever it sets up at first use, it sets up now */
    watch.record.frame_count = 0;
    take_stack();
    for (unsigned i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) take_signal(fatal[i]);
}
