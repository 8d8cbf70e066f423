/* Where to ask again how segments that are accessed are accessed now, and what answers are expected there. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(bounds, Q, READ, "n+1") ARRAY(rate, d, READ, "n") ARRAY(seen, d, READ, "n")                                 \
    VALUE(least, d)                /* from a higher rate on a segment is accessed */                                  \
    VALUE(enough, d)               /* checks from which on its rate is known */                                       \
    VALUE(checks, I)               /* in each of them, where there is room */                                         \
    VALUE(room, I) VALUE(turn, Q)  /* checks in all; else one in some of them, in others each turn */
#define RESULTS(ARRAY, VALUE)                                                                                         \
    ARRAY(start, Q) ARRAY(end, Q) VALUE(each, I) VALUE(known, Q) VALUE(hits, d) VALUE(variance, d)
#include "interface.h"

static int is_known(const struct arguments *in, size_t k)
{
    return in->seen.at[k] >= in->enough;
}

/* Those that are known well come first: only what they say can be held against what was expected. Of both together every
 * `stride`th is asked, from `next` on. */
static void ask(const struct arguments *in, size_t next, size_t stride, struct results *out)
{
    size_t made = 0;
    double hits = 0, variance = 0;
    for (int known = 1; known >= 0; known--) {
        for (size_t k = 0; k < in->rate.count; k++) {
            if (!(in->rate.at[k] > in->least) || is_known(in, k) != known)
                continue;
            if (next > 0) {
                next--;
                continue;
            }
            next = stride - 1;
            out->start.at[made] = in->bounds.at[k];
            out->end.at[made++] = in->bounds.at[k + 1];
            if (known) {
                hits += in->rate.at[k];
                variance += in->rate.at[k] * (1 - in->rate.at[k]);
            }
        }
        if (known)
            out->known = made;
    }
    out->hits = out->each * hits;
    out->variance = out->each * variance;
    out->start.count = out->end.count = made;
}

static PyObject *segments_refresh(PyObject *module, struct arguments *in)
{
    uint64_t alive = 0;
    for (size_t k = 0; k < in->rate.count; k++)
        alive += in->rate.at[k] > in->least;
    int all = alive * in->checks <= in->room;
    uint64_t stride = all || in->room == 0 ? 1 : (alive + in->room - 1) / in->room;
    uint64_t most = in->room > 0 ? (alive + stride - 1) / stride : 0;
    struct results out = {.start.count = most, .end.count = most, .each = all ? in->checks : 1};
    if (results_make(&segments_refresh_interface, &out) < 0)
        return NULL;
    if (most > 0)
        ask(in, in->turn % stride, stride, &out);
    return results_give(&segments_refresh_interface, module, &out);
}

INTERFACE(segments_refresh, "Refresh", "Where to ask segments again; see _native.pyi.")
