/* A byte for each page becomes runs of pages that are alike, cut at the ends of mappings. Memory that is touched here and
 * there has a run for every other page: so parts smaller than a grain that begin in one aligned block of it become one. */
#include "marks.h"

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(states, B, READ, "") VALUE(first, Q) ARRAY(kinds, B, READ, "256") ARRAY(pieces, Q, READ, "") VALUE(grain, Q)
#define RESULTS(ARRAY, VALUE) ARRAY(piece, Q) ARRAY(start, Q) ARRAY(end, Q) ARRAY(resident, Q) ARRAY(touched, Q)
#define CONSTANTS(C) C(RESIDENT, RESIDENT) C(TOUCHED, TOUCHED)
#include "interface.h"

#include <stdlib.h>

struct part {
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
    size_t i = (size_t)((from - first) / page_size), end = (size_t)((to - first) / page_size);
    while (i < end) {
        uint8_t here = kind[state[i]];
        size_t begin = i++;
        while (i < end && (state[i] == state[i - 1] || kind[state[i]] == here))
            i++;
        if (!(here & RESIDENT))
            continue;
        uint64_t size = (i - begin) * page_size;
        struct part next = {piece, first + begin * page_size, first + i * page_size, size,
                            here & TOUCHED ? size : 0};
        if (!take(p, &next))
            return 0;
    }
    return 1;
}

static int all(struct parts *p, const struct arguments *in)
{
    const uint64_t *piece = in->pieces.at;
    uint64_t first = in->first, last = first + in->states.count * page_size;
    size_t pieces = in->pieces.count / 2, low = 0, high = pieces;
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
        if (from < to && !piece_of(p, in->states.at, in->kinds.at, first, low, from, to))
            return 0;
    }
    return 1;
}

static int sound(const struct arguments *in)
{
    const uint64_t *piece = in->pieces.at;
    int good = in->pieces.count % 2 == 0 && in->grain >= page_size && in->grain % page_size == 0 &&
               in->first % page_size == 0 && in->states.count <= (UINT64_MAX - in->first) / page_size;
    for (size_t i = 0; good && i < in->pieces.count; i++)
        good = piece[i] % page_size == 0 && (i == 0 || piece[i - 1] <= piece[i]);
    if (!good)
        PyErr_SetString(PyExc_ValueError, "pages or mappings make no sense");
    return good;
}

static PyObject *page_runs(PyObject *module, struct arguments *in)
{
    struct parts p = {.grain = in->grain};
    struct results out = {0};
    PyObject *result = NULL;
    if (!sound(in))
        return NULL;
    if (!all(&p, in))
        PyErr_NoMemory();
    else {
        out.piece.count = out.start.count = out.end.count = out.resident.count = out.touched.count = p.number;
        if (results_make(&page_runs_interface, &out) == 0) {
            for (size_t i = 0; i < p.number; i++) {
                out.piece.at[i] = p.part[i].piece;
                out.start.at[i] = p.part[i].start;
                out.end.at[i] = p.part[i].end;
                out.resident.at[i] = p.part[i].resident;
                out.touched.at[i] = p.part[i].touched;
            }
            result = results_give(&page_runs_interface, module, &out);
        }
    }
    free(p.part);
    return result;
}

INTERFACE(page_runs, "PageRuns", "Runs of pages that are alike; see _native.pyi.")
