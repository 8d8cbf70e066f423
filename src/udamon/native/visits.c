#include "visits.h"

#include "address_spaces.h"

#define ARGUMENTS(ARRAY, VALUE) ARRAY(cpus, i, READ, "")
#define RESULTS(ARRAY, VALUE) VALUE(visited, Q)
#include "interface.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is read where address spaces cannot be switched. More pages than the second-level TLB of most processors has
 * entries (4096 on Zen 5, 3072 on Zen 4, 2048 on Golden Cove); 8 bytes of page tables each. They are never written to, so
 * all are the one zero page: they cost no memory and no cache, and no TLB takes several into one entry as it may where
 * frames lie side by side. */
enum { PAGES = 8192 };

static const volatile char *pages; /* NULL: there is no room for them */
static _Atomic pid_t populated;    /* the process whose page tables have them: a fork does not copy these */

static void read_pages(void)
{
    for (size_t i = 0; i < PAGES; i++)
        (void)pages[i * page_size];
}

static void map_pages(void)
{
    void *mapped = mmap(NULL, PAGES * page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return;
    madvise(mapped, PAGES * page_size, MADV_NOHUGEPAGE); /* refused where there are no huge pages: as wanted */
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
    /* Only until the visit is over: an ordinary thread would wait for the end of a time slice (3 ms). A thread without
     * the permission for a real-time priority waits. */
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
            if (!switch_address_spaces(cpu))
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

static PyObject *visit_cpus(PyObject *module, struct arguments *in)
{
    struct visits visits = {.cpu = in->cpus.at, .count = in->cpus.count};
    struct results out;
    Py_BEGIN_ALLOW_THREADS
    visits_begin(&visits);
    out.visited = visits_make(&visits);
    visits_end(&visits);
    Py_END_ALLOW_THREADS
    return results_give(&visit_cpus_interface, module, &out);
}

INTERFACE(visit_cpus, NULL, "Displace what the TLBs of processors hold; see _native.pyi.")
