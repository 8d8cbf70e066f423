/* Momentary visits of a thread to other processors, which displace what their TLBs hold: accesses that a TLB hid set
 * accessed bits again. A change of the address space alone does not, where the processor tells address spaces apart
 * (PCID, ASID) and keeps the entries of several. */
#ifndef UDAMON_VISITS_H
#define UDAMON_VISITS_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_CPUS = 8192 }; /* of the largest kernels */

struct visits {
    const int32_t *cpu; /* `count` processors to visit */
    size_t count;
    /* How the thread runs otherwise. */
    uint64_t home[MOST_CPUS / 64];
    size_t size; /* bytes of `home` that the kernel has; 0: no visits */
    int policy;
    struct sched_param param;
};

/* `cpu` and `count` are set. */
void visits_begin(struct visits *visits);
/* Run on each of the processors and displace its TLB, then elsewhere if there is another one. One that the thread may
 * not run on is left out. Returns how many were visited. */
size_t visits_make(const struct visits *visits);
void visits_end(const struct visits *visits);

#endif
