/* Places in ranges that are spread evenly at every scale, whatever number of them was asked for before. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(start, Q, READ, "n") ARRAY(end, Q, READ, "n") VALUE(first, Q) VALUE(count, Q) VALUE(grain, Q)
#define RESULTS(ARRAY, VALUE) ARRAY(start, Q) ARRAY(end, Q)
#include "interface.h"
#include "ranges.h"

#include <stdlib.h>

/* The fraction of the golden ratio (√5 - 1) / 2, in units of 2^-64. The fractions of its multiples lie apart as evenly as
 * those of any number (Knuth, TAOCP 3, 6.4): n of them, from any one on, leave no gap larger than 1.9 / n. */
#define GOLDEN 0x9e3779b97f4a7c15u
enum { BLOCK = 64 }; /* units whose order is shuffled */

/* Bits that depend on all bits of `x` (the finalizer of SplitMix: Steele, Lea, Flood 2014). */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Place `k` of the sequence in `units` units. Its order within each block is another one in each block: else all places of
 * one round might lie in the same part of a pattern that repeats, such as stripes of some pages. */
static uint64_t unit_of(uint64_t k, uint64_t units)
{
    uint64_t unit = (uint64_t)(((unsigned __int128)(k * GOLDEN) * units) >> 64), block = unit / BLOCK;
    if (units - block * BLOCK < BLOCK)
        return unit;
    uint64_t order = mixed(block);
    return block * BLOCK + ((order | 1) * (unit % BLOCK) + (order >> 32)) % BLOCK;
}

static int ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Where `count` places are, in bytes from the beginning of the ranges: sorted, one in a unit; returns their number. */
static size_t offsets(const struct arguments *in, uint64_t total, uint64_t units, size_t count, uint64_t *at)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t k = in->first + i, begin = unit_of(k, units) * in->grain;
        uint64_t size = total - begin < in->grain ? total - begin : in->grain;
        at[i] = begin + mixed(k) % ((size + page_size - 1) >> page_shift) * page_size;
    }
    qsort(at, count, sizeof(*at), ascending);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || at[i] / in->grain != at[kept - 1] / in->grain)
            at[kept++] = at[i];
    return kept;
}

static void fill(const struct arguments *in, const uint64_t *at, struct results *out)
{
    const uint64_t *start = in->start.at, *end = in->end.at;
    uint64_t before = 0; /* bytes of the ranges before r */
    for (size_t i = 0, r = 0; i < out->start.count; i++) {
        for (; at[i] - before >= end[r] - start[r]; r++)
            before += end[r] - start[r];
        out->start.at[i] = start[r] + (at[i] - before);
        uint64_t left = end[r] - out->start.at[i];
        out->end.at[i] = out->start.at[i] + (left < page_size ? left : page_size);
    }
}

static PyObject *spread(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    uint64_t total = 0;
    int sound = in->grain >= page_size && in->grain <= (uint64_t)1 << 48 && in->count <= MOST_ITEMS &&
                ranges_add(in->start.at, in->end.at, in->start.count, &total);
    if (!sound) {
        PyErr_SetString(PyExc_ValueError, "ranges or units are empty or too large");
        return NULL;
    }
    uint64_t units = (total + in->grain - 1) / in->grain;
    size_t count = in->count < units ? (size_t)in->count : (size_t)units;
    uint64_t *at = malloc((count + 1) * sizeof(*at));
    if (at == NULL)
        return PyErr_NoMemory();
    out.start.count = out.end.count = offsets(in, total, units, count, at);
    int made = results_make(&spread_interface, &out);
    if (made >= 0)
        fill(in, at, &out);
    free(at);
    return made < 0 ? NULL : results_give(&spread_interface, module, &out);
}

INTERFACE(spread, "Spread", "Places that are spread evenly, however many were asked for before; see _native.pyi.")
