#include "visits.h"
#include "native.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More pages than the second-level TLB of any processor has entries (3072 on Zen 4, 2048 on Golden Cove); 64 KiB of
 * page tables. Nobody ever writes to them, so all are the one zero page: they cost no memory and no cache, and no TLB
 * takes several into one entry as it may where frames lie side by side. */
enum { PAGES = 8192, PAGE = 4096 };

static const volatile char *pages; /* NULL: there is no room for them */
static _Atomic pid_t populated;    /* the process whose page tables have them: a fork does not copy these */

static void read_pages(void)
{
    for (size_t i = 0; i < PAGES; i++)
        (void)pages[i * PAGE];
}

static void map_pages(void)
{
    void *mapped = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return;
    madvise(mapped, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE); /* refused where there are no huge pages: as wanted */
    pages = mapped;
}

static int ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, map_pages);
    if (pages == NULL)
        return 0;
    if (populated != getpid()) {
        read_pages(); /* the faults now, not while a processor is visited */
        populated = getpid();
    }
    return 1;
}

void visits_begin(struct visits *visits)
{
    visits->size = 0;
    if (visits->count == 0 || !ready())
        return;
    /* The system call itself tells how many bytes the kernel has. */
    long size = syscall(SYS_sched_getaffinity, 0, sizeof(visits->home), visits->home);
    visits->policy = sched_getscheduler(0);
    if (size > 0 && visits->policy >= 0 && sched_getparam(0, &visits->param) == 0)
        visits->size = (size_t)size;
}

static int go(const struct visits *visits, const uint64_t *cpus)
{
    return syscall(SYS_sched_setaffinity, 0, visits->size, cpus) == 0;
}

size_t visits_make(const struct visits *visits)
{
    if (visits->size == 0)
        return 0;
    /* Until it has been there only: an ordinary thread would wait for the end of a time slice (3 ms). Who may not be
     * urgent waits. */
    const struct sched_param urgent = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO, &urgent);
    uint64_t there[MOST_CPUS / 64] = {0}, away[MOST_CPUS / 64], others = 0;
    size_t visited = 0;
    memcpy(away, visits->home, sizeof(away));
    for (size_t i = 0; i < visits->count; i++) {
        size_t cpu = (size_t)visits->cpu[i], word = cpu / 64;
        if (cpu >= visits->size * 8)
            continue;
        there[word] = UINT64_C(1) << cpu % 64;
        if (go(visits, there)) {
            read_pages();
            visited++;
        }
        away[word] &= ~there[word];
        there[word] = 0;
    }
    for (size_t word = 0; word < visits->size / 8; word++)
        others |= away[word];
    go(visits, others ? away : visits->home);
    sched_setscheduler(0, visits->policy, &visits->param);
    return visited;
}

void visits_end(const struct visits *visits)
{
    if (visits->size > 0)
        go(visits, visits->home);
}

static PyObject *visit_cpus(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *sequence, *answer = NULL;
    Py_buffer buffer[1] = {{0}};
    size_t count[1] = {0};
    const size_t item_size[1] = {4};
    if (!PyArg_ParseTuple(args, "O", &sequence))
        return NULL;
    if (take_arrays(sequence, buffer, count, item_size, 1) == 0) {
        struct visits visits = {.cpu = buffer[0].buf, .count = count[0]};
        size_t visited;
        Py_BEGIN_ALLOW_THREADS
        visits_begin(&visits);
        visited = visits_make(&visits);
        visits_end(&visits);
        Py_END_ALLOW_THREADS
        answer = PyLong_FromSize_t(visited);
    }
    release_arrays(buffer, 1);
    return answer;
}

PyMethodDef visits_methods[] = {
    {"visit_cpus", visit_cpus, METH_VARARGS, "Displace what the TLBs of processors hold; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
