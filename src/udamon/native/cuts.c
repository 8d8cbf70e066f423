/* Where regions may be cut: at steps and where ages differ, each with what is at stake there. */
#include "native.h"

#include <math.h>

enum { BOUNDS, STATE, HEIGHT, AGE_START, BUFFERS };
static const size_t item_size[BUFFERS] = {8, 1, 8, 8};

struct worth {
    unsigned long long end; /* of the last age */
    unsigned nothing;       /* the state of holes */
    double unseen;          /* what is lower beside a hole needs no cut */
    double level, age;      /* worth of a byte whatever the height, and of one whose age alone differs */
};

static double smaller(uint64_t left, uint64_t place, uint64_t right)
{
    return (double)(place - left < right - place ? place - left : right - place);
}

static size_t cuts(const Py_buffer *buffer, const size_t *count, const struct worth *w, uint64_t *place, double *stake)
{
    const uint64_t *bounds = buffer[BOUNDS].buf, *age = buffer[AGE_START].buf;
    const uint8_t *state = buffer[STATE].buf;
    const double *height = buffer[HEIGHT].buf;
    size_t made = 0, k = 0, i = 1;
    while (k < count[HEIGHT] || i < count[AGE_START]) {
        int is_step = k < count[HEIGHT] && (i >= count[AGE_START] || bounds[k + 1] <= age[i]);
        int is_age = i < count[AGE_START] && (!is_step || bounds[k + 1] == age[i]);
        uint64_t here = is_step ? bounds[k + 1] : age[i];
        int beside_hole = is_step && (state[k] == w->nothing || state[k + 1] == w->nothing);
        if (is_step && !(beside_hole && fabs(height[k]) < w->unseen)) {
            place[made] = here;
            stake[made++] = smaller(bounds[k], here, bounds[k + 2]) * (fabs(height[k]) + w->level);
        } else if (is_age) {
            place[made] = here;
            stake[made++] = smaller(age[i - 1], here, i + 1 < count[AGE_START] ? age[i + 1] : w->end) * w->age;
        }
        k += (size_t)is_step;
        i += (size_t)is_age;
    }
    return made;
}

static int ascending(const uint64_t *place, size_t number)
{
    for (size_t i = 1; i < number; i++)
        if (place[i - 1] >= place[i])
            return 0;
    return 1;
}

static int sound(const Py_buffer *buffer, const size_t *count, uint64_t end)
{
    const uint64_t *age = buffer[AGE_START].buf;
    int good = count[STATE] > 0 && count[BOUNDS] == count[STATE] + 1 && count[HEIGHT] == count[STATE] - 1 &&
               ascending(buffer[BOUNDS].buf, count[BOUNDS]) && ascending(age, count[AGE_START]) &&
               (count[AGE_START] == 0 || age[count[AGE_START] - 1] < end);
    if (!good)
        PyErr_SetString(PyExc_ValueError, "steps or ages make no sense");
    return good;
}

static PyObject *regions_cuts(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers, *places = NULL, *stakes = NULL, *result = NULL;
    struct worth w;
    Py_buffer buffer[BUFFERS] = {{0}};
    size_t count[BUFFERS];
    if (!PyArg_ParseTuple(args, "OKIddd", &buffers, &w.end, &w.nothing, &w.unseen, &w.level, &w.age))
        return NULL;
    if (take_arrays(buffers, buffer, count, item_size, BUFFERS) == 0 && sound(buffer, count, w.end)) {
        Py_ssize_t most = (Py_ssize_t)(8 * (count[HEIGHT] + count[AGE_START]));
        places = PyByteArray_FromStringAndSize(NULL, most);
        stakes = PyByteArray_FromStringAndSize(NULL, most);
        if (places != NULL && stakes != NULL) {
            Py_ssize_t made = (Py_ssize_t)cuts(buffer, count, &w, (void *)PyByteArray_AsString(places),
                                               (void *)PyByteArray_AsString(stakes));
            if (PyByteArray_Resize(places, 8 * made) == 0 && PyByteArray_Resize(stakes, 8 * made) == 0)
                result = PyTuple_Pack(2, places, stakes);
        }
    }
    Py_XDECREF(places);
    Py_XDECREF(stakes);
    release_arrays(buffer, BUFFERS);
    return result;
}

PyMethodDef cuts_methods[] = {
    {"regions_cuts", regions_cuts, METH_VARARGS, "Where regions may be cut; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
