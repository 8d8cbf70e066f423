#include "visits.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void visits_begin(struct visits *visits)
{
    visits->size = 0;
    if (visits->count == 0)
        return;
    /* The system call itself tells how many bytes the kernel has. */
    long size = syscall(SYS_sched_getaffinity, 0, sizeof(visits->home), visits->home);
    visits->policy = sched_getscheduler(0);
    if (size > 0 && visits->policy >= 0 && sched_getparam(0, &visits->param) == 0)
        visits->size = (size_t)size;
}

static void go(const struct visits *visits, const uint64_t *cpus)
{
    syscall(SYS_sched_setaffinity, 0, visits->size, cpus);
}

void visits_make(const struct visits *visits)
{
    if (visits->size == 0)
        return;
    /* Until it has been there only: an ordinary thread would wait for the end of a time slice (3 ms). Who may not be
     * urgent waits. */
    const struct sched_param urgent = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO, &urgent);
    uint64_t there[MOST_CPUS / 64] = {0}, away[MOST_CPUS / 64], others = 0;
    memcpy(away, visits->home, sizeof(away));
    for (size_t i = 0; i < visits->count; i++) {
        size_t cpu = (size_t)visits->cpu[i], word = cpu / 64;
        if (cpu >= visits->size * 8)
            continue;
        there[word] = UINT64_C(1) << cpu % 64;
        go(visits, there);
        away[word] &= ~there[word];
        there[word] = 0;
    }
    for (size_t word = 0; word < visits->size / 8; word++)
        others |= away[word];
    go(visits, others ? away : visits->home);
    sched_setscheduler(0, visits->policy, &visits->param);
}

void visits_end(const struct visits *visits)
{
    if (visits->size > 0)
        go(visits, visits->home);
}
