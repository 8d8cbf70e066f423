/* The largest of some numbers. */
#ifndef UDAMON_LARGEST_H
#define UDAMON_LARGEST_H

#include "native.h"

/* For each number 1 where it is one of the `wanted` largest, of equal ones those that come first; else 0. The caller frees
 * them by PyMem_Free; NULL where there is no memory. Numbers that are none (NaN) may be left out. */
uint8_t *largest(const double *number, size_t count, size_t wanted);

struct ranked {
    double number;
    size_t at;
};

/* The largest number first, of equal ones that with the lowest `at`: the same order everywhere. */
void sort_falling(struct ranked *ranked, size_t count);

#endif
