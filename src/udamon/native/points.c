/* The store of points: new answers in, old points aged, forgotten ones out. */
#include "native.h"
#include "points.h"

enum { OLD, SLOT, ADDRESS, SPAN, ANSWER, SHIFT, SLOT_TARGET, HOLE_START, HOLE_END, DROP_START, DROP_END, DROP_AGE, BUFFERS };
static const size_t item_size[BUFFERS] = {sizeof(struct point), 4, 8, 4, 1, 1, 4, 8, 8, 8, 8, 1};

struct take {
    Py_buffer buffer[BUFFERS];
    size_t count[BUFFERS];
    unsigned target, whole, older, limit;
    unsigned long long begin, end;
};

/* Sorted and disjoint ranges that are walked upwards together with the points. */
struct walk {
    const uint64_t *start, *end;
    size_t at, count;
};

static int inside(struct walk *w, uint64_t address)
{
    if (w->count == 0)
        return 0;
    while (w->at < w->count && w->end[w->at] <= address)
        w->at++;
    return w->at < w->count && w->start[w->at] <= address;
}

/* Merge the sorted [from, middle) and [middle, to) of `in` into `out`. */
static void merge_runs(const struct point *in, struct point *out, size_t from, size_t middle, size_t to)
{
    size_t left = from, right = middle;
    for (size_t k = from; k < to; k++)
        out[k] = right >= to || (left < middle && in[left].start <= in[right].start) ? in[left++] : in[right++];
}

static size_t run_end(const struct point *p, size_t from, size_t count)
{
    while (++from < count && p[from - 1].start <= p[from].start)
        ;
    return from < count ? from : count;
}

/* Natural merge sort: a plan's slots come in a few ascending runs. Returns where the sorted points are: in
 * one of both arrays. */
static struct point *sort(struct point *points, struct point *spare, size_t count)
{
    for (;;) {
        if (run_end(points, 0, count) >= count)
            return points;
        for (size_t from = 0; from < count;) {
            size_t middle = run_end(points, from, count), to = middle < count ? run_end(points, middle, count) : count;
            merge_runs(points, spare, from, middle, to);
            from = to;
        }
        struct point *sorted = spare;
        spare = points;
        points = sorted;
    }
}

/* This target's answers as points. A huge page may reach beyond the target's memory; no point does. */
static size_t new_points(const struct take *t, struct point *out)
{
    const uint32_t *slot = t->buffer[SLOT].buf, *span = t->buffer[SPAN].buf, *of = t->buffer[SLOT_TARGET].buf;
    const uint64_t *address = t->buffer[ADDRESS].buf;
    const uint8_t *answer = t->buffer[ANSWER].buf, *shift = t->buffer[SHIFT].buf;
    size_t made = 0;
    for (size_t i = 0; i < t->count[SLOT]; i++) {
        if (of[slot[i]] != t->target)
            continue;
        uint64_t size = (uint64_t)1 << shift[i], start = address[i] & ~(size - 1), end = start + size;
        start = start > t->begin ? start : t->begin;
        end = end < t->end ? end : t->end;
        if (start >= end)
            continue;
        uint8_t kind = (uint8_t)((answer[i] == 1 ? HIT : 0) + (span[i] >= t->whole ? WHOLE : 0));
        out[made++] = (struct point){.start = start, .pages = (uint32_t)((end - start + 4095) >> 12), .kind = kind};
    }
    return made;
}

static struct point hole_at(const struct walk *w, size_t i)
{
    uint64_t pages = (w->end[i] - w->start[i]) >> 12;
    return (struct point){.start = w->start[i], .pages = pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX, .kind = HOLE};
}

/* The old points that are kept, the new ones and the holes, merged. */
static size_t merge(const struct take *t, const struct point *new, size_t new_count, struct point *out)
{
    const struct point *old = t->buffer[OLD].buf;
    const uint8_t *drop_age = t->buffer[DROP_AGE].buf;
    struct walk drop = {t->buffer[DROP_START].buf, t->buffer[DROP_END].buf, 0, t->count[DROP_START]};
    struct walk hole = {t->buffer[HOLE_START].buf, t->buffer[HOLE_END].buf, 0, t->count[HOLE_START]};
    size_t i = 0, k = 0, h = 0, made = 0;
    for (;;) {
        while (i < t->count[OLD] && (old[i].kind == HOLE || old[i].age + t->older > t->limit ||
                                     (inside(&drop, old[i].start) && old[i].age >= drop_age[drop.at])))
            i++;
        int has_old = i < t->count[OLD], has_new = k < new_count;
        if (!has_old && !has_new)
            break;
        struct point next;
        if (has_old && (!has_new || old[i].start <= new[k].start)) {
            next = old[i++];
            next.age = (uint8_t)(next.age + t->older);
        } else {
            next = new[k++];
        }
        for (; h < hole.count && hole.start[h] <= next.start; h++)
            out[made++] = hole_at(&hole, h);
        if (!inside(&hole, next.start))
            out[made++] = next;
    }
    for (; h < hole.count; h++)
        out[made++] = hole_at(&hole, h);
    return made;
}

static int take_buffers(struct take *t, PyObject *sequence)
{
    if (take_arrays(sequence, t->buffer, t->count, item_size, BUFFERS) < 0 ||
        !same_length(t->count, SLOT, SHIFT) || !same_length(t->count, HOLE_START, HOLE_END) ||
        !same_length(t->count, DROP_START, DROP_AGE))
        return -1;
    const uint32_t *slot = t->buffer[SLOT].buf;
    const uint8_t *shift = t->buffer[SHIFT].buf;
    for (size_t i = 0; i < t->count[SLOT]; i++)
        if (slot[i] >= t->count[SLOT_TARGET] || shift[i] < 12 || shift[i] > 40) {
            PyErr_SetString(PyExc_ValueError, "an answer is for no slot, or not for pages");
            return -1;
        }
    return 0;
}

static PyObject *points_take(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers, *result = NULL;
    struct take t = {0};
    if (!PyArg_ParseTuple(args, "OIIIIKK", &buffers, &t.target, &t.whole, &t.older, &t.limit, &t.begin, &t.end))
        return NULL;
    if (take_buffers(&t, buffers) == 0) {
        size_t most = t.count[OLD] + t.count[SLOT] + t.count[HOLE_START];
        struct point *new = PyMem_Malloc((t.count[SLOT] + 1) * sizeof(*new));
        struct point *spare = PyMem_Malloc((t.count[SLOT] + 1) * sizeof(*spare));
        result = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(most * sizeof(struct point)));
        if (t.limit > 255 || t.older > 255) {
            PyErr_SetString(PyExc_ValueError, "points older than 255 aggregations cannot be kept");
            Py_CLEAR(result);
        } else if (new == NULL || spare == NULL || result == NULL) {
            PyErr_NoMemory();
            Py_CLEAR(result);
        } else {
            size_t count = new_points(&t, new);
            size_t made = merge(&t, sort(new, spare, count), count, (void *)PyByteArray_AsString(result));
            if (PyByteArray_Resize(result, (Py_ssize_t)(made * sizeof(struct point))) < 0)
                Py_CLEAR(result);
        }
        PyMem_Free(new);
        PyMem_Free(spare);
    }
    release_arrays(t.buffer, BUFFERS);
    return result;
}

PyMethodDef points_methods[] = {
    {"points_take", points_take, METH_VARARGS, "Points with new answers among them; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
