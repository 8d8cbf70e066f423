/* Ends of exact intervals of shares. Clopper and Pearson 1934, by the incomplete beta function, whose continued fraction
 * is computed by Lentz's algorithm (DLMF 8.17.22). */
#define ARGUMENTS(ARRAY, VALUE)                                                                                        \
    ARRAY(hits, d, READ, "n") ARRAY(trials, d, READ, "n") ARRAY(upper, B, READ, "n") VALUE(miss, d)
#define RESULTS(ARRAY, VALUE) ARRAY(end, d)
#include "interface.h"

#include <math.h>

static double fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double value = d;
    for (int m = 1; m < 100000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + even * d;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = 1 + even / c;
        c = fabs(c) < tiny ? tiny : c;
        value *= d * c;
        d = 1 + odd * d;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = 1 + odd / c;
        c = fabs(c) < tiny ? tiny : c;
        value *= d * c;
        if (fabs(d * c - 1) < 1e-10)
            break;
    }
    return value;
}

/* Chance that a variable with the distribution Beta(a, b) is at most x; `scale` is the logarithm of 1 / B(a, b). */
static double beta_chance(double a, double b, double scale, double x)
{
    if (x <= 0 || x >= 1)
        return x >= 1;
    double front = exp(scale + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * fraction(a, b, x) / a : 1 - front * fraction(b, a, 1 - x) / b;
}

/* The x in (low, high) below which Beta(a, b) is with this chance, to four digits: regula falsi (Illinois). */
static double beta_quantile(double a, double b, double chance, double low, double high)
{
    double scale = lgamma(a + b) - lgamma(a) - lgamma(b);
    double below = beta_chance(a, b, scale, low) - chance, above = beta_chance(a, b, scale, high) - chance;
    int side = 0;
    for (int tried = 0; tried < 200 && high - low > 1e-4 * high && high > 1e-12; tried++) {
        double x = tried % 4 == 3 ? (low + high) / 2 : (low * above - high * below) / (above - below);
        double now = beta_chance(a, b, scale, x) - chance;
        if (fabs(now) < 1e-3 * chance * (1 - chance))
            return x;
        if (now < 0) {
            low = x, below = now;
            above /= side == -1 ? 2 : 1;
            side = -1;
        } else {
            high = x, above = now;
            below /= side == 1 ? 2 : 1;
            side = 1;
        }
    }
    return (low + high) / 2;
}

/* One end of the interval. From the share on it is looked for only as far as six standard errors go. */
static double bound(double hits, double trials, double miss, int upper)
{
    double share = hits / trials, far = 6 * sqrt((share * (1 - share) + 2 / trials) / trials) + 6 / trials;
    if (!upper && hits <= 0)
        return 0;
    if (upper && hits >= trials)
        return 1;
    if (hits <= 0)
        return 1 - pow(miss, 1 / trials);
    if (hits >= trials)
        return pow(miss, 1 / trials);
    if (upper)
        return beta_quantile(hits + 1, trials - hits, 1 - miss, share, share + far < 1 ? share + far : 1);
    return beta_quantile(hits, trials - hits + 1, miss, share - far > 0 ? share - far : 0, share);
}

static int sound(const struct arguments *in)
{
    int good = in->miss > 0 && in->miss < 1;
    for (size_t i = 0; good && i < in->hits.count; i++) {
        double hits = in->hits.at[i], trials = in->trials.at[i];
        good = trials > 0 && trials < 1e15 && hits >= 0 && hits <= trials;
    }
    if (!good)
        PyErr_SetString(PyExc_ValueError, "hits or trials make no sense");
    return good;
}

static PyObject *binomial_bounds(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    out.end.count = in->hits.count;
    if (!sound(in) || results_make(&binomial_bounds_interface, &out) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < in->hits.count; i++)
        out.end.at[i] = bound(in->hits.at[i], in->trials.at[i], in->miss, in->upper.at[i]);
    Py_END_ALLOW_THREADS
    return results_give(&binomial_bounds_interface, module, &out);
}

INTERFACE(binomial_bounds, NULL, "Ends of exact intervals of shares; see _native.pyi.")
