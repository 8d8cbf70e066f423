/* The most probable steps behind points: Viterbi's algorithm on a hidden Markov chain along the addresses.
 *
 * A state says how likely a point of each kind is. From one point to the next the state stays, or jumps to
 * any other: then it costs the same from everywhere, so one point takes time linear in the number of states.
 */
#include "native.h"
#include "points.h"

#include <math.h>
#include <string.h>

enum { STATES = 16, GAPS = 512, AGES = 256, NOTHING = 255 };

enum { POINTS, TABLE, ENTER, JUMP, WEIGHT, LEVEL, OLD_PLACE, OLD_LOW, OLD_HIGH, OLD_REACH, OLD_HEIGHT, BUFFERS };
static const size_t item_size[BUFFERS] = {sizeof(struct point), 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};

struct run {
    uint32_t first; /* of its points */
    uint8_t state;  /* NOTHING for a hole */
};

struct fit {
    Py_buffer buffer[BUFFERS];
    size_t count[BUFFERS];
    size_t points, states, unchanged;
    unsigned suspect_age, ticks;
    unsigned long long begin, end; /* of the address space */
    double surprise, prior, drift, change, least_change;
    float table[2 * KINDS][STATES], enter[STATES], jump[GAPS], weight[AGES];
    double ideal[KINDS]; /* per kind: its largest likelihood under any one level */
    uint32_t *entered; /* per point: where the run began that a jump to this point leaves */
    uint8_t *before;   /* per point: the state of that run */
    struct run *runs;
    size_t runs_count;
};

/* Index of a distance in a table: its logarithm, in eighths. */
static size_t gap_index(uint64_t bytes)
{
    if (bytes < 8)
        return (size_t)bytes;
    unsigned log2 = 63 - (unsigned)__builtin_clzll(bytes);
    return 8 * (size_t)log2 + ((bytes >> (log2 - 3)) & 7);
}

static const float *row_of(const struct fit *f, const struct point *p)
{
    return f->table[2 * p->kind + (p->age == 0)];
}

/* Four states at a time: the costliest lines of the policy. GCC and Clang know these types on every machine. */
typedef float four __attribute__((vector_size(16)));
typedef int32_t mask __attribute__((vector_size(16)));
enum { LANES = 4, VECTORS = STATES / LANES };

static four load(const float *from)
{
    four to;
    memcpy(&to, from, sizeof(to));
    return to;
}

static four larger(four a, four b)
{
#ifdef __SSE__
    return __builtin_ia32_maxps(a, b);
#else
    mask m = a > b;
    return (four)((m & (mask)a) | (~m & (mask)b));
#endif
}

static float largest_of(four a)
{
    float left = a[0] > a[1] ? a[0] : a[1], right = a[2] > a[3] ? a[2] : a[3];
    return left > right ? left : right;
}

/* The costliest lines of the policy: what goes from one point to the next stays in registers, so indices of
 * `score` and `entered` must be constants; `score_of` and `entered_of` are copies for the others. */
static void forward(struct fit *f)
{
    const struct point *p = f->buffer[POINTS].buf;
    float score_of[STATES];
    uint32_t entered_of[STATES] = {0};
    four score[VECTORS], enter[VECTORS], top = load(f->enter);
    mask entered[VECTORS] = {{0}};
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) {
        score[v] = enter[v] = load(f->enter + LANES * v);
        top = larger(top, score[v]);
    }
    memcpy(score_of, f->enter, sizeof(score_of));
    float best = largest_of(top);
    uint8_t from = 0;
    uint64_t end = 0; /* a step before the first point costs the same for every state */
    for (size_t i = 0; i < f->points; i++) {
        while (score_of[from] != best)
            from = (from + 1) % STATES;
        f->before[i] = from;
        f->entered[i] = entered_of[from];
        /* Points of one page have one state, a huge page and single ones of it among them. */
        float jump = p[i].start >= end ? f->jump[gap_index(p[i].start - end + 4096)] : -INFINITY;
        end = end_of(&p[i]) > end ? end_of(&p[i]) : end;
        const float *row = row_of(f, &p[i]);
        float weight = f->weight[p[i].age];
        mask here = {(int)i, (int)i, (int)i, (int)i};
        top = score[0] - INFINITY;
#pragma GCC unroll 4
        for (size_t v = 0; v < VECTORS; v++) {
            four stay = score[v] - best, jumped = enter[v] + jump;
            mask jumps = jumped > stay;
            entered[v] = (jumps & here) | (~jumps & entered[v]);
            score[v] = larger(jumped, stay) + load(row + LANES * v) * weight;
            top = larger(top, score[v]);
            memcpy(score_of + LANES * v, &score[v], sizeof(score[v]));
            memcpy(entered_of + LANES * v, &entered[v], sizeof(entered[v]));
        }
        best = largest_of(top);
    }
    if (f->points == 0)
        return;
    while (score_of[from] != best)
        from = (from + 1) % STATES;
    /* Backwards from run to run; they come out last first. */
    uint32_t first = entered_of[from];
    for (size_t last = f->points; last > 0; last = first, from = f->before[first], first = f->entered[first])
        f->runs[f->runs_count++] = (struct run){first, from};
}

/* Turn the runs round, and make a segment of its own of every hole. */
static size_t order(struct fit *f, struct run *out)
{
    const struct point *p = f->buffer[POINTS].buf;
    size_t made = 0;
    for (size_t k = f->runs_count; k-- > 0;) {
        size_t end = k > 0 ? f->runs[k - 1].first : f->points;
        for (size_t i = f->runs[k].first; i < end; i++) {
            uint8_t state = p[i].kind == HOLE ? NOTHING : f->runs[k].state;
            if (i == f->runs[k].first || state != out[made - 1].state)
                out[made++] = (struct run){(uint32_t)i, state};
        }
    }
    return made;
}

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

/* Points of a segment by age and kind. */
struct tally {
    uint32_t count[AGES][KINDS];
    unsigned oldest;
};

static size_t best_level(const struct fit *f, const double *likelihood)
{
    size_t best = 0;
    for (size_t s = 1; s < f->unchanged; s++)
        best = likelihood[s] > likelihood[best] ? s : best;
    return best;
}

/* For how many aggregations a segment has had its rate, when the points before that speak for another one;
 * 0 when all of them agree. The best split in time, if two levels explain it enough better than one; to a higher
 * one only if that is the segment's own: checks that look into a surprise say nothing of all of it. */
static unsigned since_change(const struct fit *f, const struct tally *t, uint8_t state)
{
    const double *rate = f->buffer[LEVEL].buf;
    double all[STATES] = {0}, new[STATES] = {0}, old[STATES], best = f->change;
    uint64_t kinds[KINDS] = {0};
    for (unsigned age = 0; age <= t->oldest; age++)
        for (size_t kind = 0; kind < HOLE; kind++)
            kinds[kind] += t->count[age][kind];
    for (size_t kind = 0; kind < HOLE; kind++)
        for (size_t s = 0; kinds[kind] && s < f->unchanged; s++)
            all[s] += (double)kinds[kind] * (double)f->table[2 * kind][s];
    double one = all[best_level(f, all)], ideal = 0;
    for (size_t kind = 0; kind < HOLE; kind++)
        ideal += f->ideal[kind] * (double)kinds[kind];
    if (ideal - one <= best) /* no split could be that much better */
        return 0;
    unsigned found = 0;
    for (unsigned age = 0; age < t->oldest; age++) {
        for (size_t kind = 0; kind < HOLE; kind++)
            for (size_t s = 0; t->count[age][kind] && s < f->unchanged; s++)
                new[s] += t->count[age][kind] * (double)f->table[2 * kind][s];
        for (size_t s = 0; s < f->unchanged; s++)
            old[s] = all[s] - new[s];
        size_t before = best_level(f, old), after = best_level(f, new);
        double gain = old[before] + new[after] - one;
        if (gain > best && fabs(rate[before] - rate[after]) > f->least_change &&
            rate[after] - rate[state] <= f->least_change) {
            best = gain;
            found = age + 1;
        }
    }
    return found;
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
            unsigned since = runs[k].state < f->unchanged ? since_change(f, &tally, runs[k].state) : 1;
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
    size_t found = order(f, runs), count = found ? found : 1, steps = count - 1;
    const size_t size[SUSPECTS] = {count, count, 8 * steps, 8 * count, 8 * count, 8 * count, 8 * steps, 8 * steps, 8 * steps, 8 * steps};
    PyObject *tuple = PyTuple_New(OUTPUTS);
    char *memory[SUSPECTS];
    int ready = tuple != NULL;
    for (int i = 0; ready && i < SUSPECTS; i++) {
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size[i]);
        ready = bytes != NULL && PyTuple_SetItem(tuple, i, bytes) == 0;
        if (ready)
            memset(memory[i] = PyBytes_AsString(bytes), 0, size[i]);
    }
    if (ready) {
        struct output out = {
            .state = (void *)memory[STATE], .since = (void *)memory[SINCE], .place = (void *)memory[PLACE], .rate = (void *)memory[RATE],
            .touched = (void *)memory[TOUCHED], .seen = (void *)memory[SEEN], .low = (void *)memory[LOW],
            .high = (void *)memory[HIGH], .reach = (void *)memory[REACH],
            .origin = (void *)memory[ORIGIN], .suspects = suspects,
        };
        segments(f, runs, found, &out);
        places(f, count, &out);
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)suspects, (Py_ssize_t)(24 * out.suspected));
        ready = bytes != NULL && PyTuple_SetItem(tuple, SUSPECTS, bytes) == 0;
    }
    if (!ready)
        Py_CLEAR(tuple);
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
    const double *table = f->buffer[TABLE].buf, *enter = f->buffer[ENTER].buf;
    const double *jump = f->buffer[JUMP].buf, *weight = f->buffer[WEIGHT].buf;
    for (size_t s = 0; s < STATES; s++) { /* states that are not asked for cannot be entered */
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
            forward(&f);
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
