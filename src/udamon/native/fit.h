/* What the C files of the fit share: chain.c finds the states, change.c when one began, steps.c the rest. */
#ifndef UDAMON_FIT_H
#define UDAMON_FIT_H

#include "points.h"

enum { STATES = 16 };
#define NOWHERE UINT64_MAX /* of a step: it was not there before */
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
    ARRAY(old_state, B, READ, "k+1") ARRAY(old_rate, d, READ, "k+1") ARRAY(old_fitted, d, READ, "k+1")                \
    ARRAY(old_place, Q, READ, "k") ARRAY(old_low, Q, READ, "k") ARRAY(old_high, Q, READ, "k")                         \
    ARRAY(old_reach, Q, READ, "k") ARRAY(old_height, d, READ, "k")                                                    \
    VALUE(unchanged, I) VALUE(begin, Q) VALUE(end, Q) VALUE(ticks, I) VALUE(prior, d) VALUE(drift, d)                 \
    VALUE(change, d) VALUE(rest, d) VALUE(used, d) VALUE(least_change, d) VALUE(surprise, d) VALUE(outlier_age, I) VALUE(outlier_room, Q) VALUE(settled, I) \
    VALUE(reach_keep, d) VALUE(quiet, d)                                                                              \
    VALUE(near, I) VALUE(density, d) /* see crowd_at; steps per byte that `jump` is of */                             \
    /* Of checks that spanned an aggregation, as they were when they were new (see core.adaptive.judged): their number, \
     * accesses among them, how many were expected, and shares of all bytes that were taken for touched; of these the  \
     * shares outside of quiet memory, and accesses that were met in quiet memory; whether some are new; standard       \
     * errors that are chance. */                                                                                      \
    VALUE(judged_checks, d) VALUE(judged_hits, d) VALUE(judged_expected, d) VALUE(judged_shares, d)                    \
    VALUE(judged_known, d) VALUE(judged_met, d) VALUE(judge, p) VALUE(judged_errors, d)                                \
    /* Aggregations since such checks showed that memory changed, AGES where none did; the share of it that changed. */ \
    VALUE(moved, I) VALUE(moved_share, d)
#define RESULTS(ARRAY, VALUE)                                                                                         \
    /* Per segment, of which there is one more than steps; `bounds` has all their ends. `fitted` are touched shares   \
     * as the fit has them, `touched` after checks were judged by such. */                                            \
    ARRAY(state, B) ARRAY(since, B) ARRAY(rested, B) ARRAY(rested_start, Q) ARRAY(rested_end, Q) ARRAY(rate, d) ARRAY(touched, d) ARRAY(fitted, d) ARRAY(seen, d) ARRAY(doubt, d)  \
    ARRAY(unmoved, d) ARRAY(bounds, Q)                                                                                                  \
    /* Per step. */                                                                                                   \
    ARRAY(low, Q) ARRAY(high, Q) ARRAY(reach, Q) ARRAY(height, d)                                                     \
    /* Of steps that were elsewhere before: where, and where they are. A page of each island that appeared. */        \
    ARRAY(was, Q) ARRAY(now, Q) ARRAY(islands, Q) ARRAY(outliers, Q)                                                  \
    VALUE(appeared, Q) VALUE(accessed, Q) VALUE(error, d)                                                             \
    /* Of all bytes: the share that the fit has for touched, and the same after checks were judged. */                \
    VALUE(share, d) VALUE(known, d) VALUE(told_share, d)                                                       \
    /* New checks in quiet memory, and accesses that they met; and how much memory is quiet. */                        \
    VALUE(quiet_checks, Q) VALUE(met, Q) VALUE(quiet_bytes, Q)
#include "interface.h"

_Static_assert(2 * KINDS == 10, "the shape of table says so");

struct run {
    uint32_t first; /* of its points */
    uint8_t state;  /* NOTHING for a hole */
};

/* Weight of the checks of a segment that spanned the aggregation, and of the accesses among them. */
struct spanned {
    double checks, hits;
    double alike; /* the touched share if all pages were accessed alike; 0 where none was */
};

struct fit {
    const struct arguments *in;
    size_t points, states;
    float table[2 * KINDS][STATES], enter[STATES], jump[GAPS], weight[AGES];
    double angle[STATES]; /* of each rate, see fit_angle */
    double likely[KINDS][STATES]; /* table, of old points */
    float settled[KINDS][STATES][STATES]; /* the same of settled points, per level that they were taken for: where a
                                             segment changed, that answers for them */
    float barrier[STATES]; /* what it costs to stay where a segment from before ends: nothing, or all of a change */
    double ideal[KINDS]; /* per kind: its largest likelihood under any one level */
    uint8_t *before;   /* per point: the most probable state before it */
    uint16_t *jumped;  /* per point: a bit for each state that was jumped into there rather than stayed in */
    int has_holes;
    int has_settled;   /* points that are old enough to answer for what they were taken for */
    struct run *runs;
    size_t runs_count;
    struct spanned *spanned; /* per segment */
    uint64_t *origin;        /* per step: where it was before, or NOWHERE */
};

/* Points of a segment by age and kind and by kind alone, and a bit for each age that has some: most segments have points of few ages. */
struct tally {
    uint32_t count[AGES][KINDS], kinds[KINDS];
    uint32_t outdated[AGES][REASONS][HIT + 1]; /* of the points that spanned the aggregation, misses and hits */
    uint64_t has[AGES / 64];
    unsigned oldest;
};

/* The first age from `age` on that has points; AGES where there is none. */
static inline unsigned age_from(const struct tally *t, unsigned age)
{
    for (; age < AGES; age = (age / 64 + 1) * 64) {
        uint64_t left = t->has[age / 64] >> (age % 64);
        if (left != 0)
            return age + (unsigned)__builtin_ctzll(left);
    }
    return AGES;
}

/* chain.c: the most probable states of all points, as runs from the last to the first. */
void fit_chain(struct fit *f);
/* chain.c: the runs turned round, and a run of its own for every hole; returns how many. */
size_t fit_order(const struct fit *f, struct run *out);
/* change.c: where a rate lies on the scale on which rates are compared. */
double fit_angle(double rate);
/* change.c: for how many aggregations a segment of that state has had its rate; 0 when no change is known. */
unsigned fit_since_change(const struct fit *f, const struct tally *t, uint8_t state);
/* rest.c: for how many aggregations segment k, of points first..end - 1, rests, or does no more, and where. `answers` are
 * its spanning checks that are not outdated for this: misses and hits. */
void fit_rested(const struct fit *f, const struct tally *t, const unsigned answers[HIT + 1], size_t k, size_t first, size_t end,
                struct results *out);
/* rest.c: the chance that a segment is touched as it was before memory changed, by its spanning checks. */
double fit_unmoved(const struct fit *f, const unsigned since[HIT + 1], const unsigned before[HIT + 1]);
/* places.c: from the gaps of the steps and the rates between them, bounds and all that is told per step. */
void fit_places(const struct fit *f, struct results *out);
/* touched.c: touched shares, their standard errors, and that of all touched bytes together. */
void fit_touched(struct fit *f, struct results *out);

#endif
