/* What the C files of the fit share: chain.c finds the states, change.c when one began, steps.c the rest. */
#ifndef UDAMON_FIT_H
#define UDAMON_FIT_H

#include "points.h"

enum { STATES = 16 };
#define GAPS 512
#define AGES 256

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(points, point, READ, "")                                                                                    \
    /* The tables of core.adaptive.likelihood, s states: answers by kind, old and new; entering a state; a step in a  \
     * distance; the weight of an age; the rate of a state. */                                                        \
    ARRAY(table, d, READ, "10s") ARRAY(enter, d, READ, "s") \
    ARRAY(jump, d, READ, AS_TEXT(GAPS)) ARRAY(weight, d, READ, AS_TEXT(AGES))                                          \
    ARRAY(level, d, READ, "s")                                                                                        \
    /* The steps before, and the levels between them. */                                                              \
    ARRAY(old_state, B, READ, "k+1")                                                                                  \
    ARRAY(old_place, Q, READ, "k") ARRAY(old_low, Q, READ, "k") ARRAY(old_high, Q, READ, "k")                         \
    ARRAY(old_reach, Q, READ, "k") ARRAY(old_height, d, READ, "k")                                                    \
    VALUE(unchanged, I) VALUE(begin, Q) VALUE(end, Q) VALUE(ticks, I) VALUE(prior, d) VALUE(drift, d)                 \
    VALUE(change, d) VALUE(least_change, d) VALUE(surprise, d) VALUE(outlier_age, I) VALUE(outlier_room, Q) VALUE(settled, I) \
    VALUE(reach_keep, d)
#include "interface.h"

_Static_assert(2 * KINDS == 10, "the shape of table says so");

struct run {
    uint32_t first; /* of its points */
    uint8_t state;  /* NOTHING for a hole */
};

/* Weight of the checks of a segment that spanned the aggregation, and of the accesses among them. */
struct spanned {
    double checks, hits;
};

struct fit {
    const struct arguments *in;
    size_t points, states;
    float table[2 * KINDS][STATES], enter[STATES], jump[GAPS], weight[AGES];
    double angle[STATES]; /* of each rate, see fit_angle */
    float settled[KINDS][STATES][STATES]; /* the same of settled points, per level that they were taken for: where a
                                             segment changed, that answers for them */
    float barrier[STATES]; /* what it costs to stay where a segment from before ends: nothing, or all of a change */
    double ideal[KINDS]; /* per kind: its largest likelihood under any one level */
    uint32_t *entered; /* per point: where the run began that a jump to this point leaves */
    uint8_t *before;   /* per point: the state of that run */
    struct run *runs;
    size_t runs_count;
    struct spanned *spanned; /* per segment */
};

/* Points of a segment by age and kind. */
struct tally {
    uint32_t count[AGES][KINDS];
    unsigned oldest;
};

/* chain.c: the most probable states of all points, as runs from the last to the first. */
void fit_chain(struct fit *f);
/* chain.c: the runs turned round, and a run of its own for every hole; returns how many. */
size_t fit_order(const struct fit *f, struct run *out);
/* change.c: where a rate lies on the scale on which rates are compared. */
double fit_angle(double rate);
/* change.c: for how many aggregations a segment of that state has had its rate; 0 when no change is known. */
unsigned fit_since_change(const struct fit *f, const struct tally *t, uint8_t state);

#endif
