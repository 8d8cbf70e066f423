/* A byte for each page becomes runs of pages that are alike, cut at the ends of mappings. Memory that is touched here and
 * there has a run for every other page: so parts smaller than a grain that begin in one aligned block of it become one. */
#include "native.h"

#include <stdlib.h>

enum { PAGE = 4096, RESIDENT = 1, TOUCHED = 2 };

struct part { /* as it is handed out */
    uint64_t piece, start, end, resident, touched;
};

struct parts {
    struct part *part;
    size_t number, room;
    uint64_t grain;
};

static int small_and_together(const struct parts *p, const struct part *a, const struct part *b)
{
    return a->piece == b->piece && a->start / p->grain == b->start / p->grain && a->end - a->start < p->grain &&
           b->end - b->start < p->grain;
}

static int take(struct parts *p, const struct part *next)
{
    struct part *last = p->number > 0 ? &p->part[p->number - 1] : NULL;
    if (last != NULL && small_and_together(p, last, next)) {
        last->end = next->end;
        last->resident += next->resident;
        last->touched += next->touched;
        return 1;
    }
    if (p->number == p->room) {
        size_t room = p->room ? 2 * p->room : 256;
        struct part *more = realloc(p->part, room * sizeof *more);
        if (more == NULL)
            return 0;
        p->part = more;
        p->room = room;
    }
    p->part[p->number++] = *next;
    return 1;
}

/* The pages [from, to) of one piece; 0 where there is no memory left. */
static int piece_of(struct parts *p, const uint8_t *state, const uint8_t *kind, uint64_t first, uint64_t piece,
                    uint64_t from, uint64_t to)
{
    size_t i = (size_t)((from - first) / PAGE), end = (size_t)((to - first) / PAGE);
    while (i < end) {
        uint8_t here = kind[state[i]];
        size_t begin = i++;
        while (i < end && (state[i] == state[i - 1] || kind[state[i]] == here))
            i++;
        if (!(here & RESIDENT))
            continue;
        uint64_t size = (uint64_t)(i - begin) * PAGE;
        struct part next = {piece, first + (uint64_t)begin * PAGE, first + (uint64_t)i * PAGE, size,
                            here & TOUCHED ? size : 0};
        if (!take(p, &next))
            return 0;
    }
    return 1;
}

static int all(struct parts *p, const Py_buffer *states, const uint8_t *kind, uint64_t first, const uint64_t *piece,
               size_t pieces)
{
    uint64_t last = first + (uint64_t)states->len * PAGE;
    size_t low = 0, high = pieces;
    while (low < high) { /* the first one that ends behind `first` */
        size_t middle = (low + high) / 2;
        if (piece[2 * middle + 1] > first)
            high = middle;
        else
            low = middle + 1;
    }
    for (; low < pieces && piece[2 * low] < last; low++) {
        uint64_t from = piece[2 * low] > first ? piece[2 * low] : first;
        uint64_t to = piece[2 * low + 1] < last ? piece[2 * low + 1] : last;
        if (from < to && !piece_of(p, states->buf, kind, first, low, from, to))
            return 0;
    }
    return 1;
}

static PyObject *page_runs(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer states = {0}, kinds = {0}, pieces = {0};
    unsigned long long first, grain;
    struct parts p = {0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*Ky*y*K", &states, &first, &kinds, &pieces, &grain))
        return NULL;
    p.grain = grain;
    const uint64_t *piece = pieces.buf;
    size_t number = (size_t)pieces.len / 16;
    int good = kinds.len == 256 && pieces.len % 16 == 0 && grain >= PAGE && grain % PAGE == 0 && first % PAGE == 0 &&
               first <= UINT64_MAX - (uint64_t)states.len * PAGE;
    for (size_t i = 0; good && i < 2 * number; i++)
        good = piece[i] % PAGE == 0 && (i == 0 || piece[i - 1] <= piece[i]);
    if (!good)
        PyErr_SetString(PyExc_ValueError, "pages or mappings make no sense");
    else if (!all(&p, &states, kinds.buf, first, piece, number))
        PyErr_NoMemory();
    else
        result = PyBytes_FromStringAndSize((const char *)p.part, (Py_ssize_t)(p.number * sizeof *p.part));
    free(p.part);
    PyBuffer_Release(&states);
    PyBuffer_Release(&kinds);
    PyBuffer_Release(&pieces);
    return result;
}

PyMethodDef page_runs_methods[] = {
    {"page_runs", page_runs, METH_VARARGS, "Runs of pages that are alike; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
