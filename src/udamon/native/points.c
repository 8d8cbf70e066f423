/* The store of points: new answers in, old points aged, forgotten ones out. */
#include "points.h"

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(points, point, READ, "") /* those before */                                                                 \
    ARRAY(slot, I, READ, "n") ARRAY(address, Q, READ, "n") ARRAY(span, I, READ, "n")                                  \
    ARRAY(answer, B, READ, "n") ARRAY(shift, B, READ, "n")                                                            \
    ARRAY(slot_target, I, READ, "")                                                                                   \
    ARRAY(hole_start, Q, READ, "h") ARRAY(hole_end, Q, READ, "h")                                                     \
    ARRAY(drop_start, Q, READ, "d") ARRAY(drop_end, Q, READ, "d") ARRAY(drop_age, B, READ, "d")                       \
    ARRAY(outdate, B, READ, "d") /* not 0: reasons by which those that spanned the aggregation become outdated, none is dropped */ \
    ARRAY(bounds, Q, READ, "k+1") ARRAY(seen, d, READ, "k") /* segments, and the weight of the checks of each */         \
    VALUE(least, d) /* weight that a segment needs before its points are forgotten */                                 \
    VALUE(target, I) VALUE(whole, I) VALUE(older, B) VALUE(limit, B) VALUE(begin, Q) VALUE(end, Q)
#define RESULTS(ARRAY, VALUE) VALUE(points, O) /* a bytearray */
#define CONSTANTS(C)                                                                                                  \
    C(MOVED, MOVED) C(RESTED, RESTED) C(POINT_BYTES, sizeof(struct point)) C(HIT, HIT) C(WHOLE, WHOLE) C(HOLE, HOLE) C(KINDS, KINDS) C(NOTHING, NOTHING)  \
    C(MOST_PAGES, UINT32_MAX)
#include "interface.h"

#include <stdlib.h>

/* Sorted and disjoint ranges that are walked upwards together with the points. */
struct walk {
    const uint64_t *start, *end;
    size_t at, count;
};

static inline int inside(struct walk *w, uint64_t address)
{
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
static size_t new_points(const struct arguments *t, struct point *out)
{
    const uint32_t *slot = t->slot.at, *span = t->span.at, *of = t->slot_target.at;
    const uint64_t *address = t->address.at;
    const uint8_t *answer = t->answer.at, *shift = t->shift.at;
    size_t made = 0;
    for (size_t i = 0; i < t->slot.count; i++) {
        if (of[slot[i]] != t->target)
            continue;
        uint64_t size = (uint64_t)1 << shift[i], start = address[i] & ~(size - 1), end = start + size;
        start = start > t->begin ? start : t->begin;
        end = end < t->end ? end : t->end;
        if (start >= end)
            continue;
        uint8_t kind = (uint8_t)((answer[i] == 1 ? HIT : 0) + (span[i] >= t->whole ? WHOLE : 0));
        out[made++] = (struct point){.start = start, .pages = (uint32_t)((end - start + page_size - 1) >> page_shift), .kind = kind};
    }
    return made;
}

static struct point hole_at(const struct walk *w, size_t i)
{
    uint64_t pages = (w->end[i] - w->start[i]) >> page_shift;
    return (struct point){.start = w->start[i], .pages = pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX, .kind = HOLE};
}

/* A point is forgotten when it is old, unless little else is known of its segment: of what was not looked at since, the last
 * that was seen is the best that is known. `segment` walks upwards with the points. */
static int forgotten(const struct arguments *t, const struct point *p, size_t *segment)
{
    while (*segment + 1 < t->seen.count && t->bounds.at[*segment + 1] <= p->start)
        ++*segment;
    return p->age + t->older > t->limit && (t->seen.count == 0 || t->seen.at[*segment] >= t->least);
}

/* The old points that are kept, the new ones and the holes, merged. */
static size_t merge(const struct arguments *t, const struct point *new, size_t new_count, struct point *out)
{
    const struct point *old = t->points.at;
    const uint8_t *drop_age = t->drop_age.at, *outdate = t->outdate.at;
    struct walk drop = {t->drop_start.at, t->drop_end.at, 0, t->drop_start.count};
    struct walk hole = {t->hole_start.at, t->hole_end.at, 0, t->hole_start.count};
    const size_t old_count = t->points.count, drops = drop.count, holes = hole.count;
    size_t i = 0, k = 0, h = 0, made = 0, segment = 0;
    for (;;) {
        int stale = 0;
        for (; i < old_count; i++) {
            stale = drops && inside(&drop, old[i].start) && old[i].age >= drop_age[drop.at];
            if (old[i].kind != HOLE && !forgotten(t, &old[i], &segment) && !(stale && !outdate[drop.at]))
                break;
        }
        int has_old = i < old_count, has_new = k < new_count;
        if (!has_old && !has_new)
            break;
        struct point next;
        if (has_old && (!has_new || old[i].start <= new[k].start)) {
            next = old[i++];
            next.outdated |= stale && next.kind & WHOLE ? outdate[drop.at] : 0;
            next.age = next.age < UINT8_MAX - t->older ? (uint8_t)(next.age + t->older) : UINT8_MAX;
        } else {
            next = new[k++];
        }
        for (; h < holes && hole.start[h] <= next.start; h++)
            out[made++] = hole_at(&hole, h);
        if (!holes || !inside(&hole, next.start))
            out[made++] = next;
    }
    for (; h < hole.count; h++)
        out[made++] = hole_at(&hole, h);
    return made;
}

static int sound(const struct arguments *t)
{
    for (size_t i = 0; i < t->slot.count; i++)
        if (t->slot.at[i] >= t->slot_target.count || t->shift.at[i] < page_shift || t->shift.at[i] > 40) {
            PyErr_SetString(PyExc_ValueError, "an answer is for no slot, or not for pages");
            return 0;
        }
    return 1;
}

static PyObject *points_take(PyObject *module, struct arguments *t)
{
    size_t most = t->points.count + t->slot.count + t->hole_start.count;
    if (!sound(t))
        return NULL;
    struct point *new = PyMem_Malloc((t->slot.count + 1) * sizeof(*new));
    struct point *spare = PyMem_Malloc((t->slot.count + 1) * sizeof(*spare));
    /* What may be made shorter, so that nothing is copied once more. */
    struct results out = {PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(most * sizeof(struct point)))};
    PyObject *result = NULL;
    if (new == NULL || spare == NULL) {
        results_drop(&points_take_interface, &out);
        PyErr_NoMemory();
    } else if (out.points != NULL) {
        size_t count = new_points(t, new);
        count = merge(t, sort(new, spare, count), count, (struct point *)(void *)PyByteArray_AsString(out.points));
        if (PyByteArray_Resize(out.points, (Py_ssize_t)(count * sizeof(struct point))) < 0)
            results_drop(&points_take_interface, &out);
        else
            result = results_give(&points_take_interface, module, &out);
    }
    PyMem_Free(new);
    PyMem_Free(spare);
    return result;
}

INTERFACE(points_take, "Points", "Points with new answers among them; see _native.pyi.")
