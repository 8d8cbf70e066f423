/* What the C files of the extension share. Limited API: no macro that reaches into an object. */
#ifndef UDAMON_NATIVE_H
#define UDAMON_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* arrays.c: the arrays in `sequence`, each of items of a size; -1 with an exception set. Release them all the
 * same, also after a failure. */
int take_arrays(PyObject *sequence, Py_buffer *buffer, size_t *count, const size_t *item_size, int number);
/* 1 when the arrays first..last have as many items; 0 with ValueError set. */
int same_length(const size_t *count, int first, int last);
void release_arrays(Py_buffer *buffer, int number);
/* A tuple of `number` new bytes objects of these sizes; where the bytes of each are comes into `memory`, to be filled
 * before anybody else sees them. NULL with an exception set. */
PyObject *make_arrays(const size_t *size, size_t number, char **memory);

/* splitmix64's finaliser (Steele, Lea, Flood 2014): a hash, and of a counter a random number */
static inline uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* The tick on which check k of the `checks` of a slot is made. They are spread evenly over the ticks on which
 * `span` still fits; slots with few checks begin at different ones (multiples of the golden ratio), so that
 * many of them together are spread, too. As many checks as ticks: one on each. */
static inline size_t tick_of(size_t slot, uint32_t k, uint32_t checks, size_t ticks, size_t span)
{
    uint64_t room = span < ticks ? ticks - span + 1 : 1;
    uint64_t place = ((uint64_t)k << 32) + (uint32_t)(slot * 2654435769u);
    return (size_t)(((unsigned __int128)place * room / checks) >> 32);
}

/* touch.c */
extern PyMethodDef touch_methods[];
/* sim.c */
extern PyMethodDef sim_methods[];

/* points.c */
extern PyMethodDef points_methods[];

/* steps.c */
extern PyMethodDef steps_methods[];

/* regions.c */
extern PyMethodDef regions_methods[];

/* strata.c */
extern PyMethodDef strata_methods[];

/* damo.c */
extern PyMethodDef damo_methods[];

/* cuts.c */
extern PyMethodDef cuts_methods[];

/* gaps.c */
extern PyMethodDef gaps_methods[];

/* overlaps.c */
extern PyMethodDef overlaps_methods[];

/* cells.c */
extern PyMethodDef cells_methods[];

/* rows.c */
extern PyMethodDef rows_methods[];

/* trace.c */
extern PyMethodDef trace_methods[];

/* frames.c */
extern PyMethodDef frames_methods[];

/* sampler.c */
extern PyMethodDef sampler_methods[];

/* visits.c */
extern PyMethodDef visits_methods[];

/* hot_set.c */
extern PyMethodDef hot_set_methods[];

/* page_tables.c */
extern PyMethodDef page_tables_methods[];

/* page_runs.c */
extern PyMethodDef page_runs_methods[];

/* btf.c */
extern PyMethodDef btf_methods[];

#endif
