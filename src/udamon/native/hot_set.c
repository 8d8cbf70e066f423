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

enum { PAGE = 4096 };

struct control {
    _Atomic uint64_t bytes;
    _Atomic uint64_t rounds;
};

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
        for (; resident < bytes; resident += PAGE)
            set[resident] = 1; /* reading alone would map the one shared page of zeros */
        for (size_t i = 0; i < bytes; i += PAGE)
            (void)set[i];
        control->rounds++;
    }
}

/* `size` bytes between guard pages, in small pages; NULL with errno set. */
static char *map_set(size_t size)
{
    char *mapped = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    if (mprotect(mapped + PAGE, size, PROT_READ | PROT_WRITE) < 0) {
        munmap(mapped, size + 2 * PAGE);
        return NULL;
    }
    madvise(mapped + PAGE, size, MADV_NOHUGEPAGE); /* refused where there are no huge pages: as wanted */
    return mapped;
}

static PyObject *hot_set_start(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer control;
    unsigned long long size;
    int cpu;
    if (!PyArg_ParseTuple(args, "w*Ki", &control, &size, &cpu))
        return NULL;
    if ((size_t)control.len < sizeof(struct control) || (uintptr_t)control.buf % _Alignof(struct control) != 0 ||
        size == 0 || size % PAGE != 0 || size > (uint64_t)1 << 40 || cpu >= CPU_SETSIZE) {
        PyBuffer_Release(&control);
        PyErr_SetString(PyExc_ValueError, "no room for two words, or no whole pages, or no such processor");
        return NULL;
    }
    pid_t parent = getpid(), pid = -1;
    char *mapped = map_set(size);
    int error = errno;
    if (mapped != NULL) {
        /* The child keeps no handler of ours: none may run in it. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        pid = fork();
        error = errno;
        if (pid == 0)
            run(control.buf, mapped + PAGE, size, cpu, parent);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        munmap(mapped, size + 2 * PAGE);
    }
    PyBuffer_Release(&control);
    if (pid < 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("iK", (int)pid, (unsigned long long)(uintptr_t)(mapped + PAGE));
}

PyMethodDef hot_set_methods[] = {
    {"hot_set_start", hot_set_start, METH_VARARGS, "A child with a working set of known size; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
