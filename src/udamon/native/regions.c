/* Regions of a step function: cut at given places, with the mean of what the steps say of each. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(range_start, Q, READ, "r") ARRAY(range_end, Q, READ, "r") ARRAY(cuts, Q, READ, "")                          \
    ARRAY(bounds, Q, READ, "n+1") ARRAY(state, B, READ, "n") ARRAY(rate, d, READ, "n") ARRAY(touched, d, READ, "n")   \
    ARRAY(age_start, Q, READ, "a") ARRAY(since, q, READ, "a")                                                         \
    VALUE(limit, Q) VALUE(granularity, Q) VALUE(ticks, Q) VALUE(aggregation, Q)                                       \
    VALUE(latest, q) /* when the last aggregation began */                                                            \
    VALUE(used, d)   /* share of touched bytes from which on a region counts as accessed */                           \
    VALUE(idle, d)   /* share of touched bytes up to which one that does not count as accessed counts as idle */
#define RESULTS(ARRAY, VALUE)                                                                                         \
    ARRAY(start, Q) ARRAY(end, Q) ARRAY(count_bp, Q) ARRAY(touched, Q) ARRAY(count, I) ARRAY(age, I)  \
    VALUE(idle_mixed, Q)
#include "interface.h"
#include "points.h"

struct cut {
    const struct arguments *in;
    struct results *out;       /* NULL while they are counted */
    size_t segment, age, made; /* where the walk is */
};

static uint32_t at_most(uint64_t number)
{
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

/* How long ago an age began, in aggregations. */
static uint32_t age_of(const struct arguments *in, int64_t since)
{
    return at_most(since < in->latest ? ((uint64_t)in->latest - (uint64_t)since) / in->aggregation : 0);
}

/* Of a region that begins in a segment and in an age: bytes of segments that are not quiet, and bytes that are younger. */
static uint64_t mixed(const struct arguments *in, size_t segment, size_t age, uint64_t start, uint64_t end)
{
    const uint64_t *bounds = in->bounds.at, *age_start = in->age_start.at;
    const uint8_t *state = in->state.at;
    uint32_t told = age_of(in, in->since.at[age]);
    uint64_t found = 0;
    while (age > 0 && age_start[age] > start) /* the region begins where that age does, rounded down */
        age--;
    while (start < end) {
        while (segment + 1 < in->state.count && bounds[segment + 1] <= start)
            segment++;
        while (age + 1 < in->age_start.count && age_start[age + 1] <= start)
            age++;
        uint64_t upto = end;
        if (segment + 1 < in->state.count && bounds[segment + 1] < upto)
            upto = bounds[segment + 1];
        if (age + 1 < in->age_start.count && age_start[age + 1] < upto)
            upto = age_start[age + 1];
        int quiet = state[segment] == 0 && age_of(in, in->since.at[age]) >= told;
        found += quiet || state[segment] == NOTHING ? 0 : upto - start;
        start = upto;
    }
    return found;
}

static void add(struct cut *c, uint64_t start, uint64_t end)
{
    const struct arguments *in = c->in;
    struct results *out = c->out;
    const uint64_t *bounds = in->bounds.at, *age_start = in->age_start.at;
    const double *rate = in->rate.at, *touched = in->touched.at;
    size_t segments = in->rate.count;
    if (out != NULL) {
        while (c->segment + 1 < segments && bounds[c->segment + 1] <= start)
            c->segment++;
        /* An age begins where a cut at its start is. */
        while (c->age + 1 < in->age_start.count &&
               age_start[c->age + 1] - age_start[c->age + 1] % in->granularity <= start)
            c->age++;
        double accessed = 0, bytes = 0;
        for (size_t k = c->segment; k < segments && (k == c->segment || bounds[k] < end); k++) {
            uint64_t from = bounds[k] > start ? bounds[k] : start, to = bounds[k + 1] < end ? bounds[k + 1] : end;
            if (k + 1 == segments)
                to = end;
            accessed += rate[k] * (double)(to - from);
            bytes += touched[k] * (double)(to - from);
        }
        out->start.at[c->made] = start;
        out->end.at[c->made] = end;
        uint64_t bp = (uint64_t)(accessed / (double)(end - start) * (double)in->ticks * 10000);
        out->count_bp.at[c->made] = bp;
        out->touched.at[c->made] = (uint64_t)bytes;
        /* Rounded down, so that hot is what is accessed in half of the ticks or more; but little is not nothing:
         * a count of 0 says that nothing is lost without these bytes. */
        int little = bp >= 5000 || bytes >= in->used * (double)(end - start);
        out->count.at[c->made] = bp >= 10000 ? at_most(bp / 10000) : (uint32_t)little;
        out->age.at[c->made] = age_of(in, in->since.at[c->age]);
        if (out->count.at[c->made] == 0 && (double)out->touched.at[c->made] <= in->idle * (double)(end - start))
            out->idle_mixed += mixed(in, c->segment, c->age, start, end);
    }
    c->made++;
}

static void add_pieces(struct cut *c, uint64_t start, uint64_t end)
{
    for (; end - start > c->in->limit; start += c->in->limit)
        add(c, start, start + c->in->limit);
    if (start < end)
        add(c, start, end);
}

/* Called twice: without results to count, then to fill. */
static void walk(struct cut *c)
{
    const struct arguments *in = c->in;
    const uint64_t *start = in->range_start.at, *end = in->range_end.at, *cut = in->cuts.at;
    size_t next = 0;
    c->segment = c->age = c->made = 0;
    for (size_t r = 0; r < in->range_start.count; r++) {
        uint64_t begin = start[r];
        for (; next < in->cuts.count && cut[next] < end[r]; next++) {
            uint64_t place = cut[next] - cut[next] % in->granularity;
            if (place <= begin)
                continue;
            add_pieces(c, begin, place);
            begin = place;
        }
        add_pieces(c, begin, end[r]);
    }
}

static int sound(const struct arguments *in)
{
    const uint64_t *start = in->range_start.at, *end = in->range_end.at;
    int good = in->rate.count > 0 && in->since.count > 0 && in->limit > 0 && in->granularity > 0 && in->aggregation > 0;
    uint64_t most = in->cuts.count;
    for (size_t r = 0; good && r < in->range_start.count; r++) {
        good = start[r] < end[r] && (r == 0 || end[r - 1] <= start[r]);
        good = good && most <= MOST_ITEMS && (end[r] - start[r]) / in->limit <= MOST_ITEMS;
        most += good ? (end[r] - start[r]) / in->limit + 1 : 0;
    }
    if (!good)
        PyErr_SetString(PyExc_ValueError, "ranges, steps or ages make no sense");
    return good;
}

static PyObject *regions_cut(PyObject *module, struct arguments *in)
{
    struct cut c = {.in = in};
    struct results out = {0};
    if (!sound(in))
        return NULL;
    walk(&c);
    out.start.count = out.end.count = out.count_bp.count = out.touched.count = out.count.count = out.age.count = c.made;
    if (results_make(&regions_cut_interface, &out) < 0)
        return NULL;
    c.out = &out;
    walk(&c);
    return results_give(&regions_cut_interface, module, &out);
}

INTERFACE(regions_cut, "Regions", "Regions of a step function; see _native.pyi.")
