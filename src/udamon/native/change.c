/* When a segment came to have its rate. */
#define INTERFACE_TYPES_ONLY
#include "fit.h"

#include <math.h>

/* The largest likelihood under any one level. */
static double best_of(const struct fit *f, const double *likelihood)
{
    double best = likelihood[0];
    for (size_t s = 1; s < f->in->unchanged; s++)
        best = likelihood[s] > best ? likelihood[s] : best;
    return best;
}

/* The first level that has it. */
static size_t level_of(const double *likelihood, double best)
{
    size_t level = 0;
    while (likelihood[level] != best)
        level++;
    return level;
}

/* Rates are compared by the angle asin(sqrt(rate)): what chance makes of a measured one is as large everywhere in it. So
 * seldom to never is a change, and often to a little more often is none. */
double fit_angle(double rate)
{
    return asin(sqrt(rate));
}

/* The share of one-tick checks that were accesses, of the points up to `newest` aggregations old and of the
 * older ones, differs by more than the least change; or one of both has no such checks. Levels alone could make
 * a difference of what lies between two of them. */
static int differs(const struct fit *f, const struct tally *t, unsigned newest)
{
    double checks[2] = {0}, hits[2] = {0};
    for (unsigned age = age_from(t, 0); age < AGES; age = age_from(t, age + 1)) {
        checks[age > newest] += t->count[age][0] + t->count[age][HIT];
        hits[age > newest] += t->count[age][HIT];
    }
    return checks[0] == 0 || checks[1] == 0 || fabs(fit_angle(hits[0] / checks[0]) - fit_angle(hits[1] / checks[1])) > f->in->least_change;
}

/* For how many aggregations a segment has had its rate, when the points before that speak for another one;
 * 0 when all of them agree. The best split in time, if two levels explain it enough better than one; to a higher
 * one only if that is the segment's own: checks that look into a surprise say nothing of all of it. */
unsigned fit_since_change(const struct fit *f, const struct tally *t, uint8_t state)
{
    const double *angle = f->angle;
    double all[STATES] = {0}, new[STATES] = {0}, old[STATES], best = f->in->change, ideal = 0, own = 0;
    for (size_t kind = 0; kind < HOLE; kind++) {
        ideal += f->ideal[kind] * t->kinds[kind];
        own += t->kinds[kind] * f->likely[kind][state];
    }
    if (ideal - own <= best) /* no split could be that much better than the own level */
        return 0;
    for (size_t kind = 0; kind < HOLE; kind++)
        for (size_t s = 0; s < STATES; s++)
            all[s] += t->kinds[kind] * f->likely[kind][s];
    double one = best_of(f, all);
    if (ideal - one <= best)
        return 0;
    unsigned found = 0;
    for (unsigned age = age_from(t, 0); age < t->oldest; age = age_from(t, age + 1)) {
        for (size_t kind = 0; kind < HOLE; kind++)
            for (size_t s = 0; t->count[age][kind] && s < STATES; s++)
                new[s] += t->count[age][kind] * f->likely[kind][s];
        for (size_t s = 0; s < STATES; s++)
            old[s] = all[s] - new[s];
        double before = best_of(f, old), after = best_of(f, new), gain = before + after - one;
        if (gain <= best)
            continue;
        double from = angle[level_of(old, before)], to = angle[level_of(new, after)];
        if (fabs(from - to) > f->in->least_change && to - angle[state] <= f->in->least_change && differs(f, t, age)) {
            best = gain;
            found = age + 1;
        }
    }
    return found;
}
