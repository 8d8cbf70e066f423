/* On x86-64 Linux gives each processor six identifiers for address spaces (TLB_NR_DYN_ASIDS in arch/x86/mm/tlb.c), which
 * it hands out in turn. An address space that comes back and finds its identifier taken gets the next one, and the TLB
 * is flushed of that one. Of eleven other address spaces that run one after the other at most five have an identifier,
 * so at least six take one, and with it all six change hands. How a TLB chooses what it replaces does not matter.
 *
 * Ten are those of processes that pass a byte on along a chain of pipes, the eleventh is the caller's own. They end
 * when the first pipe has no writer: with the process that started them. */
#include "address_spaces.h"
#include "native.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SPACES = 10, LONGEST_MS = 3000, MOST_FAILURES = 3 };

static struct {
    pthread_mutex_t lock;
    int started;   /* how many of `pid` there are */
    int failures;  /* processes were ended by others, or may not run: not tried for ever */
    int into, out; /* the ends of the chain: a socket, as writing to it can be told to raise no SIGPIPE, and a pipe */
    pid_t pid[SPACES];
    bool broadcasts;   /* known once processes were started */
    uint64_t ended_ns; /* CPU time of processes that are no more */
} chain = {.lock = PTHREAD_MUTEX_INITIALIZER, .into = -1, .out = -1};

/* Unmaps all but the running code and the top of the stack: the process keeps no memory of its parent, and a later
 * write of the parent copies no page for it. Then passes on each byte from standard input to standard output. In
 * assembly, because nothing else is there to be called or read: no library, no storage of a thread, no counters of an
 * instrumented build. */
static _Noreturn void pass_on(void)
{
    /* Two pages of code, as the function may lie across a boundary, and four of the stack. What the kernel maps for all
     * (vdso, with its data below it) stays: some kernels refuse to unmap it, and little else is above it. */
    const uintptr_t page = 4096, whole = ~(page - 1), vdso = getauxval(AT_SYSINFO_EHDR) & whole, data = 16 * page;
    const uintptr_t top = vdso > data ? vdso - data : ((uintptr_t)1 << 47) - page;
    uintptr_t code = (uintptr_t)pass_on & whole, code_end = code + 2 * page;
    uintptr_t stack = ((uintptr_t)__builtin_frame_address(0) & whole) - 2 * page, stack_end = stack + 4 * page;
    bool code_first = code < stack;
    register uintptr_t first __asm__("r12") = code_first ? code : stack;
    register uintptr_t first_end __asm__("r13") = code_first ? code_end : stack_end;
    register uintptr_t between __asm__("r14") = (code_first ? stack : code) - first_end;
    register uintptr_t second_end __asm__("r15") = code_first ? stack_end : code_end;
    register uintptr_t rest __asm__("rbx") = top > second_end ? top - second_end : page;
    __asm__ volatile("mov %[munmap], %%eax; xor %%edi, %%edi; mov %%r12, %%rsi; syscall;"
                     "test %%rax, %%rax; jnz 2f;"
                     "mov %[munmap], %%eax; mov %%r13, %%rdi; mov %%r14, %%rsi; syscall;"
                     "test %%rax, %%rax; jnz 2f;"
                     "mov %[munmap], %%eax; mov %%r15, %%rdi; mov %%rbx, %%rsi; syscall;"
                     "1:"
                     "mov %[read], %%eax; xor %%edi, %%edi; mov %%rsp, %%rsi; mov $1, %%edx; syscall;"
                     "cmp $1, %%rax; jne 2f;"
                     "mov %[write], %%eax; mov $1, %%edi; mov %%rsp, %%rsi; mov $1, %%edx; syscall;"
                     "cmp $1, %%rax; je 1b;"
                     "2:"
                     "mov %[exit], %%eax; xor %%edi, %%edi; syscall;"
                     "hlt"
                     :
                     : "r"(first), "r"(first_end), "r"(between), "r"(second_end), "r"(rest),
                       [munmap] "i"(SYS_munmap), [read] "i"(SYS_read), [write] "i"(SYS_write),
                       [exit] "i"(SYS_exit_group)
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r11", "memory");
    __builtin_unreachable();
}

/* The C library may have named a place in the thread's memory to the kernel (rseq), which writes there after each switch
 * to the thread. The kernel forgets it only when given the same length again, which no interface of the library has. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static bool forget_rseq(void)
{
    enum { UNREGISTER = 1, SIGNATURE = 0x53053053, LEAST = 32, MOST = 1024 };
    if (&__rseq_size == NULL || &__rseq_offset == NULL || __rseq_size == 0)
        return true;
    char *place = (char *)__builtin_thread_pointer() + __rseq_offset;
    for (unsigned int length = LEAST; length <= MOST; length += 4)
        if (syscall(SYS_rseq, place, length, UNREGISTER, SIGNATURE) == 0)
            return true;
    return false;
}

static void close_all_from(int first)
{
    if (syscall(SYS_close_range, first, ~0U, 0) == 0)
        return;
    for (int fd = first; fd < 1 << 16; fd++) /* before Linux 5.9 */
        close(fd);
}

/* Returns its pid, or less than 0. All signals are blocked here, and so they stay in the child. */
static pid_t start_one(int from, int to)
{
    /* Without a signal at its end: code of the caller that waits for any child does not see it. */
    pid_t pid = (pid_t)syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
    if (pid != 0)
        return pid;
    int kept_from = fcntl(from, F_DUPFD, 3), kept_to = fcntl(to, F_DUPFD, 3);
    if (dup2(kept_from, 0) != 0 || dup2(kept_to, 1) != 1 || !forget_rseq())
        _exit(1);
    close_all_from(2);
    prctl(PR_SET_NAME, "udamon-tlb");
    pass_on();
}

static void close_ends(void)
{
    if (chain.into >= 0)
        close(chain.into);
    if (chain.out >= 0)
        close(chain.out);
    chain.into = chain.out = -1;
}

/* CPU time of the processes there are. */
static uint64_t used_ns(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < chain.started; i++) {
        clockid_t its;
        struct timespec used;
        if (clock_getcpuclockid(chain.pid[i], &its) == 0 && clock_gettime(its, &used) == 0)
            sum += (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
    }
    return sum;
}

static void end(void)
{
    chain.ended_ns += used_ns();
    close_ends();
    while (chain.started > 0) {
        pid_t pid = chain.pid[--chain.started];
        kill(pid, SIGKILL);
        waitpid(pid, NULL, __WALL);
    }
}

/* A fork has the ends of its parent's chain, which it must not hold open, and no children. */
static void after_fork(void)
{
    close_ends();
    chain.started = chain.failures = 0;
    chain.ended_ns = 0;
    pthread_mutex_init(&chain.lock, NULL);
}

/* Processors that flush each other's TLB by an instruction (INVLPGB): Linux gives address spaces that run on several of
 * them an identifier for all, which does not change hands. Asking takes 10 µs and more under a hypervisor. */
static bool broadcasts(void)
{
    enum { FUNCTION = 0x80000008, BIT_INVLPGB = 1 << 3 };
    unsigned int a, b, c, d;
    return __get_cpuid(FUNCTION, &a, &b, &c, &d) && (b & BIT_INVLPGB) != 0;
}

static void prepare_once(void)
{
    chain.broadcasts = broadcasts();
    pthread_atfork(NULL, NULL, after_fork);
    atexit(end); /* or else they would be left to the first process, which in a container may wait for none */
}

/* An end of a new process' output, or -1. `from` is closed. */
static int lengthen(int from)
{
    const struct sched_param urgent = {.sched_priority = 1};
    int ends[2] = {-1, -1};
    pid_t pid = -1;
    if (pipe2(ends, O_CLOEXEC) == 0)
        pid = start_one(from, ends[1]);
    close(from);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return -1;
    }
    sched_setscheduler(pid, SCHED_FIFO, &urgent); /* where that is allowed: it waits for nothing else then */
    chain.pid[chain.started++] = pid;
    return ends[0];
}

static bool start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (chain.started == SPACES)
        return true;
    pthread_once(&once, prepare_once);
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    chain.into = ends[0];
    chain.out = ends[1];
    while (chain.out >= 0 && chain.started < SPACES)
        chain.out = lengthen(chain.out);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (chain.out < 0)
        end();
    return chain.out >= 0;
}

static bool confine(size_t cpu)
{
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    if (set == NULL)
        return false;
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    CPU_ZERO_S(size, set);
    CPU_SET_S(cpu, size, set);
    bool confined = true;
    for (int i = 0; i < SPACES; i++)
        confined = sched_setaffinity(chain.pid[i], size, set) == 0 && confined;
    CPU_FREE(set);
    return confined;
}

static bool pass_one(void)
{
    char byte = 0;
    struct pollfd passed = {.fd = chain.out, .events = POLLIN};
    int ready;
    if (send(chain.into, &byte, 1, MSG_NOSIGNAL) != 1)
        return false;
    do
        ready = poll(&passed, 1, LONGEST_MS);
    while (ready < 0 && errno == EINTR);
    return ready == 1 && read(chain.out, &byte, 1) == 1;
}

bool switch_address_spaces(size_t cpu)
{
    pthread_mutex_lock(&chain.lock);
    bool switched = chain.failures < MOST_FAILURES && start() && confine(cpu) && pass_one();
    if (!switched) {
        chain.failures++;
        end();
    }
    pthread_mutex_unlock(&chain.lock);
    return switched && !chain.broadcasts;
}

static uint64_t switching_time(void)
{
    pthread_mutex_lock(&chain.lock);
    uint64_t ns = chain.ended_ns + used_ns();
    pthread_mutex_unlock(&chain.lock);
    return ns;
}

#else

bool switch_address_spaces(size_t cpu)
{
    (void)cpu;
    return false;
}

static uint64_t switching_time(void)
{
    return 0;
}

#endif

static PyObject *switching_ns(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    uint64_t ns;
    Py_BEGIN_ALLOW_THREADS /* another thread may visit processors */
    ns = switching_time();
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLongLong(ns);
}

PyMethodDef address_spaces_methods[] = {
    {"switching_ns", switching_ns, METH_NOARGS,
     "switching_ns() -> CPU time of the processes that processors were switched through, in nanoseconds"},
    {NULL, NULL, 0, NULL},
};
