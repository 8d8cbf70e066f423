/* The most probable steps behind points, with what they say of rates, and of steps that were known before. */
#include "fit.h"

#include <math.h>
#include <string.h>

static const size_t item_size[BUFFERS] = {sizeof(struct point), 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};

enum { STATE, SINCE, PLACE, RATE, TOUCHED, SEEN, LOW, HIGH, REACH, ORIGIN, SUSPECTS, OUTPUTS };

struct output {
    uint8_t *state, *since;
    uint64_t *place, *low, *high, *reach, *origin, *suspects;
    double *rate, *touched, *seen;
    size_t suspected;
};

/* Rate and touched share of a segment from the weights of its checks, by kind. See core.adaptive.steps. */
static void measure(const struct fit *f, const double *sums, uint8_t state, double *rate, double *touched)
{
    const double *level = f->buffer[LEVEL].buf;
    if (sums[HIT] + sums[WHOLE + HIT] == 0)
        return; /* never seen accessed: both stay 0 */
    *rate = (sums[HIT] + f->prior * level[state]) / (sums[0] + sums[HIT] + f->prior);
    double alike = 1 - pow(1 - *rate, f->ticks), whole = sums[WHOLE] + sums[WHOLE + HIT];
    *touched = (sums[WHOLE + HIT] + f->prior * alike) / (whole + f->prior);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Where a step that was not there before may have come from: the nearest one of its direction, if the smaller
 * segment beside it is longer than the way; else UINT64_MAX. */
static uint64_t origin_of(const struct fit *f, uint64_t place, double height, uint64_t smaller, size_t near)
{
    const uint64_t *old = f->buffer[OLD_PLACE].buf;
    const double *old_height = f->buffer[OLD_HEIGHT].buf;
    uint64_t origin = UINT64_MAX;
    for (size_t k = near > 1 ? near - 2 : 0; k < near + 2 && k < f->count[OLD_PLACE]; k++)
        if (old_height[k] * height > 0 && distance(old[k], place) < smaller) {
            smaller = distance(old[k], place);
            origin = old[k];
        }
    return origin;
}
/* Sums of each segment, since when it is as it is, and between which points the steps lie. */
static void segments(const struct fit *f, const struct run *runs, size_t count, struct output *out)
{
    const struct point *p = f->buffer[POINTS].buf;
    struct tally tally = {0};
    for (size_t k = 0; k < count; k++) {
        size_t end = k + 1 < count ? runs[k + 1].first : f->points;
        uint64_t last = 0;
        for (size_t i = runs[k].first; i < end; i++) {
            tally.count[p[i].age][p[i].kind]++;
            tally.oldest = p[i].age > tally.oldest ? p[i].age : tally.oldest;
            last = end_of(&p[i]) > last ? end_of(&p[i]) : last;
            if (p[i].kind != HOLE && p[i].age <= f->suspect_age && row_of(f, &p[i])[runs[k].state] < -f->surprise) {
                uint64_t *place = out->suspects + 3 * out->suspected++;
                place[0] = i > 0 ? end_of(&p[i - 1]) : p[i].start;
                place[1] = p[i].start;
                place[2] = i + 1 < f->points ? p[i + 1].start : end_of(&p[i]);
            }
        }
        out->state[k] = runs[k].state;
        if (runs[k].state != NOTHING) {
            unsigned since = runs[k].state < f->unchanged ? fit_since_change(f, &tally, runs[k].state) : 1;
            unsigned newest = since ? since - 1 : tally.oldest;
            double sums[KINDS] = {0};
            for (unsigned age = 0; age <= newest; age++)
                for (size_t kind = 0; kind < HOLE; kind++)
                    sums[kind] += tally.count[age][kind] * (double)f->weight[age];
            measure(f, sums, runs[k].state, &out->rate[k], &out->touched[k]);
            out->seen[k] = sums[0] + sums[HIT];
            out->since[k] = (uint8_t)since;
        }
        if (k + 1 < count) {
            out->low[k] = runs[k].state != NOTHING && runs[k + 1].state == NOTHING ? p[end].start : last;
            out->high[k] = runs[k].state == NOTHING ? last : p[end].start; /* it is known where a hole ends */
        }
        memset(tally.count, 0, (tally.oldest + 1) * sizeof(tally.count[0]));
        tally.oldest = 0;
    }
}

/* Where the steps are. What was known of one stays known for a while after the points that said so are gone:
 * its gap is the part that it shares with the gap from before, which widens slowly. */
static void places(const struct fit *f, size_t count, struct output *out)
{
    const uint64_t *old = f->buffer[OLD_PLACE].buf, *old_reach = f->buffer[OLD_REACH].buf;
    const uint64_t *old_low = f->buffer[OLD_LOW].buf, *old_high = f->buffer[OLD_HIGH].buf;
    const double *old_height = f->buffer[OLD_HEIGHT].buf;
    size_t olds = f->count[OLD_PLACE], at = 0;
    uint64_t before = f->begin; /* where the segment to the left begins at the earliest */
    for (size_t k = 0; k + 1 < count; k++) {
        uint64_t low = out->low[k], high = out->high[k], after = k + 2 < count ? out->high[k + 1] : f->end;
        uint64_t left = high - before, right = after - low;
        uint64_t drift = (uint64_t)((double)(left < right ? left : right) * f->drift);
        double height = out->rate[k + 1] - out->rate[k];
        before = low;
        while (at < olds && old_high[at] + drift < low)
            at++;
        size_t same = olds;
        for (size_t i = at; i < olds && old_low[i] < high + drift; i++)
            if (old_height[i] * height > 0) {
                same = i;
                break;
            }
        if (same < olds) {
            low = old_low[same] > low + drift ? old_low[same] - drift : low;
            high = old_high[same] + drift < high ? old_high[same] + drift : high;
        }
        int stays = same < olds && old[same] >= low && old[same] <= high;
        uint64_t middle = (low + (high - low) / 2) >> 12 << 12;
        out->low[k] = low;
        out->high[k] = high;
        out->place[k] = stays ? old[same] : middle > low ? middle : low;
        out->origin[k] = same < olds ? old[same] : UINT64_MAX;
        out->reach[k] = stays ? old_reach[same] / 2 : 0;
    }
    at = 0;
    for (size_t k = 0; k + 1 < count; k++) {
        uint64_t place = out->place[k];
        uint64_t left = place - (k > 0 ? out->place[k - 1] : f->begin);
        uint64_t right = (k + 2 < count ? out->place[k + 1] : f->end) - place;
        while (at < olds && old[at] < place)
            at++;
        uint64_t smaller = left < right ? left : right;
        if (out->state[k] == NOTHING || out->state[k + 1] == NOTHING) {
            out->origin[k] = place;
            out->reach[k] = 0;
            continue;
        }
        if (out->origin[k] == UINT64_MAX)
            out->origin[k] = origin_of(f, place, out->rate[k + 1] - out->rate[k], smaller, at);
        if (out->origin[k] != place)
            out->reach[k] = out->origin[k] == UINT64_MAX ? smaller : distance(out->origin[k], place);
        if (out->reach[k] < 4096)
            out->reach[k] = 0;
    }
}

static PyObject *results(struct fit *f, struct run *runs, uint64_t *suspects)
{
    size_t found = fit_order(f, runs), count = found ? found : 1, steps = count - 1;
    const size_t size[OUTPUTS] = {count, count, 8 * steps, 8 * count, 8 * count, 8 * count, 8 * steps, 8 * steps, 8 * steps, 8 * steps, 0};
    char *memory[OUTPUTS];
    PyObject *tuple = make_arrays(size, OUTPUTS, memory);
    if (tuple != NULL) {
        for (int i = 0; i < OUTPUTS; i++)
            memset(memory[i], 0, size[i]);
        struct output out = {
            .state = (void *)memory[STATE], .since = (void *)memory[SINCE], .place = (void *)memory[PLACE], .rate = (void *)memory[RATE],
            .touched = (void *)memory[TOUCHED], .seen = (void *)memory[SEEN], .low = (void *)memory[LOW],
            .high = (void *)memory[HIGH], .reach = (void *)memory[REACH],
            .origin = (void *)memory[ORIGIN], .suspects = suspects,
        };
        segments(f, runs, found, &out);
        places(f, count, &out);
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)suspects, (Py_ssize_t)(24 * out.suspected));
        if (bytes == NULL || PyTuple_SetItem(tuple, SUSPECTS, bytes) < 0) /* how many there are is known only now */
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* Numbers, and such that sums and products of them are floats: of all states one must be the most probable. */
static int sound(const double *table, size_t count)
{
    size_t i = 0;
    while (i < count && fabs(table[i]) <= 1e12)
        i++;
    return i == count;
}

static int take_buffers(struct fit *f, PyObject *sequence)
{
    if (take_arrays(sequence, f->buffer, f->count, item_size, BUFFERS) < 0 ||
        !same_length(f->count, OLD_PLACE, OLD_HEIGHT))
        return -1;
    f->points = f->count[POINTS];
    f->states = f->count[ENTER];
    if (f->states == 0 || f->states > STATES || f->unchanged > f->states || f->count[TABLE] != 2 * KINDS * f->states ||
        f->count[LEVEL] != f->states || f->count[JUMP] != GAPS || f->count[WEIGHT] != AGES ||
        f->points > UINT32_MAX || !sound(f->buffer[TABLE].buf, f->count[TABLE]) ||
        !sound(f->buffer[ENTER].buf, f->states) || !sound(f->buffer[JUMP].buf, GAPS) ||
        !sound(f->buffer[WEIGHT].buf, AGES)) {
        PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
        return -1;
    }
    const struct point *p = f->buffer[POINTS].buf;
    for (size_t i = 0; i < f->points; i++)
        if (p[i].kind >= KINDS || p[i].pages == 0 || (i && p[i].start < p[i - 1].start)) {
            PyErr_SetString(PyExc_ValueError, "points are unsorted, empty, or of an unknown kind");
            return -1;
        }
    const double *table = f->buffer[TABLE].buf, *enter = f->buffer[ENTER].buf, *level = f->buffer[LEVEL].buf;
    const double *jump = f->buffer[JUMP].buf, *weight = f->buffer[WEIGHT].buf;
    for (size_t s = 0; s < STATES; s++) { /* states that are not asked for cannot be entered */
        f->angle[s] = s < f->states ? fit_angle(level[s]) : 0;
        f->enter[s] = s < f->states ? (float)enter[s] : -INFINITY;
        for (size_t k = 0; k < 2 * KINDS; k++)
            f->table[k][s] = s < f->states ? (float)table[k * f->states + s] : 0;
    }
    for (size_t k = 0; k < KINDS; k++) {
        f->ideal[k] = (double)f->table[2 * k][0];
        for (size_t s = 1; s < f->states && s < f->unchanged; s++)
            f->ideal[k] = (double)f->table[2 * k][s] > f->ideal[k] ? (double)f->table[2 * k][s] : f->ideal[k];
    }
    for (size_t i = 0; i < GAPS; i++)
        f->jump[i] = (float)jump[i];
    for (size_t i = 0; i < AGES; i++)
        f->weight[i] = (float)weight[i];
    return 0;
}

static PyObject *steps_fit(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers, *result = NULL;
    struct fit f = {0};
    unsigned long unchanged;
    if (!PyArg_ParseTuple(args, "OkKKIdddddI", &buffers, &unchanged, &f.begin, &f.end, &f.ticks, &f.prior,
                          &f.drift, &f.change, &f.least_change, &f.surprise, &f.suspect_age))
        return NULL;
    f.unchanged = unchanged;
    if (take_buffers(&f, buffers) == 0) {
        f.entered = PyMem_Malloc((f.points + 1) * sizeof(*f.entered));
        f.before = PyMem_Malloc(f.points + 1);
        f.runs = PyMem_Malloc((f.points + 1) * sizeof(*f.runs));
        struct run *runs = PyMem_Malloc((f.points + 1) * sizeof(*runs));
        uint64_t *suspects = PyMem_Malloc((f.points + 1) * 3 * sizeof(*suspects));
        if (f.entered && f.before && f.runs && runs && suspects) {
            Py_BEGIN_ALLOW_THREADS
            fit_chain(&f);
            Py_END_ALLOW_THREADS
            result = results(&f, runs, suspects);
        } else {
            PyErr_NoMemory();
        }
        PyMem_Free(f.entered);
        PyMem_Free(f.before);
        PyMem_Free(f.runs);
        PyMem_Free(runs);
        PyMem_Free(suspects);
    }
    release_arrays(f.buffer, BUFFERS);
    return result;
}

PyMethodDef steps_methods[] = {
    {"steps_fit", steps_fit, METH_VARARGS, "The most probable steps behind points; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
