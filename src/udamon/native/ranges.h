/* Ranges of addresses that come from Python: starts, and ends. */
#ifndef UDAMON_RANGES_H
#define UDAMON_RANGES_H

#include <stddef.h>
#include <stdint.h>

/* Whether none of the ranges is empty or lies beyond 63 bits, nor their bytes together, which are added to `total`. */
static inline int ranges_add(const uint64_t *start, const uint64_t *end, size_t count, uint64_t *total)
{
    int sound = 1;
    for (size_t r = 0; sound && r < count; r++) {
        sound = start[r] < end[r] && end[r] < (uint64_t)1 << 63 && end[r] - start[r] < ((uint64_t)1 << 63) - *total;
        *total += end[r] - start[r];
    }
    return sound;
}

#endif
