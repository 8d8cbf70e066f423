/* A child with a working set of known size, to find out which sizes a way of looking sees. It is forked here and not by
 * Python because other threads may run: between fork and its end it calls nothing that could wait for them. */
#include "native.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

struct control {
    _Atomic uint64_t bytes;
    _Atomic uint64_t rounds;
};

#define ITEM_control struct control
#define FORMAT_control 'B'
#define ARGUMENTS(ARRAY, VALUE) ARRAY(control, control, WRITE, "") VALUE(size, Q) VALUE(cpu, i)
#define RESULTS(ARRAY, VALUE) VALUE(pid, i) VALUE(address, Q)
#include "interface.h"

static _Noreturn void run(struct control *control, volatile char *set, size_t size, int cpu, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    if (cpu >= 0) {
        cpu_set_t where;
        CPU_ZERO(&where);
        CPU_SET((unsigned)cpu, &where);
        sched_setaffinity(0, sizeof(where), &where);
    }
    uint64_t resident = 0;
    for (;;) {
        uint64_t bytes = control->bytes < size ? control->bytes : size;
        for (; resident < bytes; resident += page_size)
            set[resident] = 1; /* reading alone would map the one shared page of zeros */
        for (size_t i = 0; i < bytes; i += page_size)
            (void)set[i];
        control->rounds++;
    }
}

/* `size` bytes between guard pages, in small pages; NULL with errno set. */
static char *map_set(size_t size)
{
    char *mapped = mmap(NULL, size + 2 * page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    if (mprotect(mapped + page_size, size, PROT_READ | PROT_WRITE) < 0) {
        munmap(mapped, size + 2 * page_size);
        return NULL;
    }
    madvise(mapped + page_size, size, MADV_NOHUGEPAGE); /* refused where there are no huge pages: as wanted */
    return mapped;
}

static PyObject *hot_set_start(PyObject *module, struct arguments *in)
{
    if (in->control.count == 0 || in->size == 0 || in->size % page_size != 0 || in->size > (uint64_t)1 << 40 ||
        in->cpu >= CPU_SETSIZE) {
        PyErr_SetString(PyExc_ValueError, "no room for two words, or no whole pages, or no such processor");
        return NULL;
    }
    pid_t parent = getpid(), pid = -1;
    char *mapped = map_set(in->size);
    int error = errno;
    if (mapped != NULL) {
        /* The child keeps no handler of ours: none may run in it. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        pid = fork();
        error = errno;
        if (pid == 0)
            run(in->control.at, mapped + page_size, in->size, in->cpu, parent);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        munmap(mapped, in->size + 2 * page_size);
    }
    if (pid < 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    struct results out = {pid, (uintptr_t)(mapped + page_size)};
    return results_give(&hot_set_start_interface, module, &out);
}

INTERFACE(hot_set_start, "HotSet", "A child with a working set of known size; see _native.pyi.")
