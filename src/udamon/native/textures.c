/* Rates as regions tell them: of a texture, memory of which a share of the pages is hot in no runs, that of those pages. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(bounds, Q, READ, "n+1") ARRAY(rate, d, READ, "n") ARRAY(touched, d, READ, "n")                              \
    ARRAY(error, d, READ, "n") /* standard error of the touched share */                                              \
    VALUE(hot, d) VALUE(least, d) VALUE(errors, d)
#define RESULTS(ARRAY, VALUE) ARRAY(rate, d) ARRAY(height, d) /* of the steps between them */
#include "interface.h"
#include "largest.h"

static double bytes_of(const struct arguments *in, size_t segment)
{
    return (double)(in->bounds.at[segment + 1] - in->bounds.at[segment]);
}

/* Textures count as hot, those with the largest share of hot pages first, as long as that makes the expected F1 of hot
 * bytes larger: as long as their share is more than half of it. */
static void choose(const struct arguments *in, struct ranked *found, struct results *out)
{
    double both = 0, hot = 0, predicted = 0;
    size_t count = 0;
    for (size_t k = 0; k < in->rate.count; k++) {
        double rate = in->rate.at[k], share = in->touched.at[k];
        double bytes = bytes_of(in, k);
        out->rate.at[k] = rate;
        if (rate >= in->hot) {
            both += share * bytes;
            hot += share * bytes;
            predicted += bytes;
        } else if (share > 0 && rate >= in->hot * (share + in->errors * in->error.at[k])) {
            hot += share * bytes;
            if (share >= in->least)
                found[count++] = (struct ranked){share, k};
        }
    }
    sort_falling(found, count);
    for (size_t i = 0; i < count && found[i].number * (predicted + hot) > both; i++) {
        double share = found[i].number, bytes = bytes_of(in, found[i].at);
        double rate = in->rate.at[found[i].at] / share;
        out->rate.at[found[i].at] = rate < 1 ? rate : 1;
        both += share * bytes;
        predicted += bytes;
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
    struct ranked *found = PyMem_Malloc((in->rate.count + 1) * sizeof(*found));
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
