/* What the C files of the extension share. Limited API: no macro that reaches into an object. */
#ifndef UDAMON_NATIVE_H
#define UDAMON_NATIVE_H

/* Before any header: files and the kernel's words are read as they lie in memory. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || __SIZEOF_POINTER__ != 8
#error "udamon runs on little-endian machines with 64 bits alone; take one of them (x86-64 or arm64)."
#endif

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* The machine's page size, found out when the module is loaded: a power of two. */
extern unsigned page_shift;
#define page_size ((uint64_t)1 << page_shift)

/* More items than a result can sensibly have: somebody's mistake, which shall not take all memory. */
enum { MOST_ITEMS = 1 << 28 };

/* The functions that interface.h describes, each in a file of its own. */
#define FUNCTIONS(X)                                                                                                  \
    X(sim_sample) X(idle_sample) X(pte_sample) X(points_take) X(judge_spanning) X(steps_fit) X(steps_gaps) X(segments_doubtful)         \
    X(segments_refresh) X(regions_cut) X(regions_cuts) X(strata) X(spread) X(told_rates) X(agreement)                 \
    X(add_objects) X(overlaps) X(page_tables_look) X(page_runs) X(visit_cpus) X(hot_set_start) X(add_cells) X(check_rows)            \
    X(trace_scan) X(damo_scan) X(binomial_bounds) X(mark_pages) X(count_marks) X(look_processes) X(page_ages)         \
    X(idle_states) X(flagged_pages)

#define AS_INDEX(function) INDEX_##function,
enum { FUNCTIONS(AS_INDEX) INDEXES };
#define AS_EXTERN(function) extern const struct interface function##_interface;
FUNCTIONS(AS_EXTERN)

/* What belongs to one module object: types of the results, names of the arguments, and Python's array. */
struct state {
    PyObject *result_type[INDEXES], *names[INDEXES], *array_type;
};

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

/* Functions with few arguments, which go by position. */
extern PyMethodDef touch_methods[], frames_methods[], btf_methods[], address_spaces_methods[];

#endif
