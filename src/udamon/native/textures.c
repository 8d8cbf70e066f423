/* Rates as regions tell them: of a texture, memory of which a share of the pages is hot in no runs, that of those pages. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(bounds, Q, READ, "n+1") ARRAY(rate, d, READ, "n") ARRAY(touched, d, READ, "n")                              \
    ARRAY(error, d, READ, "n") /* standard error of the touched share */                                              \
    VALUE(hot, d) VALUE(least, d) VALUE(errors, d)
#define RESULTS(ARRAY, VALUE) ARRAY(rate, d) ARRAY(height, d) /* of the steps between them */
#include "interface.h"

#include <stdlib.h>

struct texture {
    double share, bytes;
    size_t segment;
};

static int falling(const void *a, const void *b)
{
    const struct texture *x = a, *y = b;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    return x->segment < y->segment ? -1 : x->segment > y->segment; /* the same order everywhere */
}

/* Textures count as hot, those with the largest share of hot pages first, as long as that makes the expected F1 of hot
 * bytes larger: as long as their share is more than half of it. */
static void choose(const struct arguments *in, struct texture *found, struct results *out)
{
    double both = 0, hot = 0, predicted = 0;
    size_t count = 0;
    for (size_t k = 0; k < in->rate.count; k++) {
        double rate = in->rate.at[k], share = in->touched.at[k];
        double bytes = (double)(in->bounds.at[k + 1] - in->bounds.at[k]);
        out->rate.at[k] = rate;
        if (rate >= in->hot) {
            both += share * bytes;
            hot += share * bytes;
            predicted += bytes;
        } else if (share > 0 && rate >= in->hot * (share + in->errors * in->error.at[k])) {
            hot += share * bytes;
            if (share >= in->least)
                found[count++] = (struct texture){share, bytes, k};
        }
    }
    qsort(found, count, sizeof(*found), falling);
    for (size_t i = 0; i < count && found[i].share * (predicted + hot) > both; i++) {
        double rate = in->rate.at[found[i].segment] / found[i].share;
        out->rate.at[found[i].segment] = rate < 1 ? rate : 1;
        both += found[i].share * found[i].bytes;
        predicted += found[i].bytes;
    }
    for (size_t k = 0; k < out->height.count; k++)
        out->height.at[k] = out->rate.at[k + 1] - out->rate.at[k];
}

static PyObject *told_rates(PyObject *module, struct arguments *in)
{
    size_t steps = in->rate.count > 0 ? in->rate.count - 1 : 0;
    struct results out = {.rate.count = in->rate.count, .height.count = steps};
    for (size_t k = 0; k < in->rate.count; k++)
        if (in->bounds.at[k] > in->bounds.at[k + 1]) {
            PyErr_SetString(PyExc_ValueError, "steps make no sense");
            return NULL;
        }
    struct texture *found = PyMem_Malloc((in->rate.count + 1) * sizeof(*found));
    if (found == NULL)
        return PyErr_NoMemory();
    if (results_make(&told_rates_interface, &out) < 0) {
        PyMem_Free(found);
        return NULL;
    }
    choose(in, found, &out);
    PyMem_Free(found);
    return results_give(&told_rates_interface, module, &out);
}

INTERFACE(told_rates, "Told", "Rates as regions tell them; see _native.pyi.")
