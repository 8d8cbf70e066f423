/* Regions of a step function: cut at given places, with the mean of what the steps say of each. */
#include "native.h"

#include <string.h>

enum { RANGE_START, RANGE_END, CUTS, BOUNDS, RATE, TOUCHED, AGE_START, SINCE, BUFFERS };
static const size_t item_size[BUFFERS] = {8, 8, 8, 8, 8, 8, 8, 8};

enum { START, END, COUNT_BP, TOUCHED_BYTES, COUNT, AGE, OUTPUTS };

struct cut {
    Py_buffer buffer[BUFFERS];
    size_t count[BUFFERS];
    unsigned long long limit, granularity, ticks, aggregation;
    long long latest; /* when the last aggregation began */
    double used;      /* share of touched bytes from which on a region counts as accessed */
    size_t segment, age, made; /* where the walk is */
};

struct output {
    uint64_t *start, *end, *count_bp, *touched, *count, *age;
};

static void add(struct cut *c, struct output *out, uint64_t start, uint64_t end)
{
    const uint64_t *bounds = c->buffer[BOUNDS].buf, *age_start = c->buffer[AGE_START].buf;
    const double *rate = c->buffer[RATE].buf, *touched = c->buffer[TOUCHED].buf;
    if (out != NULL) {
        while (c->segment + 1 < c->count[RATE] && bounds[c->segment + 1] <= start)
            c->segment++;
        /* An age begins where a cut at its start is. */
        while (c->age + 1 < c->count[AGE_START] &&
               age_start[c->age + 1] - age_start[c->age + 1] % c->granularity <= start)
            c->age++;
        double accessed = 0, bytes = 0;
        for (size_t k = c->segment; k < c->count[RATE] && (k == c->segment || bounds[k] < end); k++) {
            uint64_t from = bounds[k] > start ? bounds[k] : start, to = bounds[k + 1] < end ? bounds[k + 1] : end;
            if (k + 1 == c->count[RATE])
                to = end;
            accessed += rate[k] * (double)(to - from);
            bytes += touched[k] * (double)(to - from);
        }
        out->start[c->made] = start;
        out->end[c->made] = end;
        uint64_t bp = (uint64_t)(accessed / (double)(end - start) * (double)c->ticks * 10000);
        int64_t since = ((const int64_t *)c->buffer[SINCE].buf)[c->age];
        out->count_bp[c->made] = bp;
        out->touched[c->made] = (uint64_t)bytes;
        /* Rounded down, so that hot is what is accessed in half of the ticks or more; but little is not nothing:
         * a count of 0 says that nothing is lost without these bytes. */
        out->count[c->made] = bp >= 10000 ? bp / 10000 : bp >= 5000 || bytes >= c->used * (double)(end - start);
        out->age[c->made] = since < c->latest ? ((uint64_t)c->latest - (uint64_t)since) / c->aggregation : 0;
    }
    c->made++;
}

static void add_pieces(struct cut *c, struct output *out, uint64_t start, uint64_t end)
{
    for (; end - start > c->limit; start += c->limit)
        add(c, out, start, start + c->limit);
    if (start < end)
        add(c, out, start, end);
}

/* Called twice: without `out` to count, then to fill. */
static void walk(struct cut *c, struct output *out)
{
    const uint64_t *start = c->buffer[RANGE_START].buf, *end = c->buffer[RANGE_END].buf, *cut = c->buffer[CUTS].buf;
    size_t next = 0;
    c->segment = c->age = c->made = 0;
    for (size_t r = 0; r < c->count[RANGE_START]; r++) {
        uint64_t begin = start[r];
        for (; next < c->count[CUTS] && cut[next] < end[r]; next++) {
            uint64_t place = cut[next] - cut[next] % c->granularity;
            if (place <= begin)
                continue;
            add_pieces(c, out, begin, place);
            begin = place;
        }
        add_pieces(c, out, begin, end[r]);
    }
}

static int take_buffers(struct cut *c, PyObject *sequence)
{
    if (take_arrays(sequence, c->buffer, c->count, item_size, BUFFERS) < 0 ||
        !same_length(c->count, RANGE_START, RANGE_END) || !same_length(c->count, RATE, TOUCHED) ||
        !same_length(c->count, AGE_START, SINCE))
        return -1;
    const uint64_t *start = c->buffer[RANGE_START].buf, *end = c->buffer[RANGE_END].buf;
    int sound = c->count[RATE] > 0 && c->count[BOUNDS] == c->count[RATE] + 1 && c->count[SINCE] > 0 &&
                c->limit > 0 && c->granularity > 0 && c->aggregation > 0;
    for (size_t r = 0; sound && r < c->count[RANGE_START]; r++)
        sound = start[r] < end[r] && (r == 0 || end[r - 1] <= start[r]);
    if (!sound)
        PyErr_SetString(PyExc_ValueError, "ranges, steps or ages make no sense");
    return sound ? 0 : -1;
}

static PyObject *regions_cut(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers, *tuple = NULL;
    struct cut c = {0};
    if (!PyArg_ParseTuple(args, "OKKKLKd", &buffers, &c.limit, &c.granularity, &c.ticks, &c.latest, &c.aggregation,
                          &c.used))
        return NULL;
    if (take_buffers(&c, buffers) == 0) {
        walk(&c, NULL);
        size_t size[OUTPUTS];
        char *memory[OUTPUTS];
        for (size_t i = 0; i < OUTPUTS; i++)
            size[i] = 8 * c.made;
        if ((tuple = make_arrays(size, OUTPUTS, memory)) != NULL) {
            struct output out = {(void *)memory[START], (void *)memory[END], (void *)memory[COUNT_BP],
                                 (void *)memory[TOUCHED_BYTES], (void *)memory[COUNT], (void *)memory[AGE]};
            walk(&c, &out);
        }
    }
    release_arrays(c.buffer, BUFFERS);
    return tuple;
}

PyMethodDef regions_methods[] = {
    {"regions_cut", regions_cut, METH_VARARGS, "Regions of a step function; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
