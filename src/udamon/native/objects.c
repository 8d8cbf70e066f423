/* What the windows of a recording tell of objects in memory: allocations, each at its addresses since its time. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(start, Q, READ, "n") ARRAY(end, Q, READ, "n") ARRAY(since, Q, READ, "n") ARRAY(most, d, WRITE, "n")         \
    ARRAY(least, d, WRITE, "n") ARRAY(resident, d, WRITE, "n") ARRAY(last, Q, WRITE, "n")                             \
    ARRAY(region_start, Q, READ, "m") ARRAY(region_end, Q, READ, "m") ARRAY(touched, Q, READ, "m")                    \
    ARRAY(there, Q, READ, "m") VALUE(begin_ns, Q) VALUE(end_ns, Q) VALUE(alike, p) VALUE(counted, p)
#include "interface.h"

struct told {
    double most, least, resident;
};

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Add what `part` bytes of region k have. */
static void add_part(const struct arguments *in, size_t k, double part, struct told *told)
{
    double size = (double)(in->region_end.at[k] - in->region_start.at[k]);
    double touched = smaller((double)in->touched.at[k], size);
    double resident = smaller((double)in->there.at[k], size);
    told->resident += resident * part / size;
    if (in->alike || part == size) {
        told->most += touched * part / size;
        told->least += touched * part / size;
    } else {
        /* The touched bytes may all lie in the rest, as far as they fit there, or all in this part. */
        told->most += smaller(touched, part);
        told->least += larger(0, touched - (size - part));
    }
}

static void add(const struct arguments *in)
{
    size_t first = 0, regions = in->region_start.count;
    for (size_t i = 0; i < in->start.count; i++) {
        uint64_t start = in->start.at[i], end = in->end.at[i];
        while (first < regions && in->region_end.at[first] <= start)
            first++;
        if (in->since.at[i] >= in->end_ns)
            continue;
        struct told told = {0, 0, 0};
        for (size_t k = first; k < regions && in->region_start.at[k] < end; k++) {
            uint64_t from = in->region_start.at[k] > start ? in->region_start.at[k] : start;
            uint64_t to = in->region_end.at[k] < end ? in->region_end.at[k] : end;
            if (to > from)
                add_part(in, k, (double)(to - from), &told);
        }
        double size = (double)(end - start);
        if (in->since.at[i] > in->begin_ns)
            told.least = 0;
        if (told.most > 0 && told.most >= smaller(size, (double)page_size) / 2)
            in->last.at[i] = in->end_ns;
        in->resident.at[i] = told.resident;
        if (in->counted) {
            in->most.at[i] = smaller(size, in->most.at[i] + told.most);
            in->least.at[i] = larger(in->least.at[i], told.least);
        }
    }
}

static int sorted(const uint64_t *start, const uint64_t *end, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (start[i] >= end[i] || (i > 0 && end[i - 1] > start[i])) {
            PyErr_SetString(PyExc_ValueError, "ranges are empty, overlap or are not sorted");
            return 0;
        }
    return 1;
}

static PyObject *add_objects(PyObject *module, struct arguments *in)
{
    (void)module;
    if (!sorted(in->start.at, in->end.at, in->start.count) ||
        !sorted(in->region_start.at, in->region_end.at, in->region_start.count))
        return NULL;
    add(in);
    return Py_NewRef(Py_None);
}

INTERFACE(add_objects, NULL, "Add what a window tells of objects; see _native.pyi.")
