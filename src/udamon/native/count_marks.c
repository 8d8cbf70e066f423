/* How many pages were first seen accessed by which look, of stretches of marks. */
#include "marks.h"

#define ARGUMENTS(ARRAY, VALUE) ARRAY(marks, B, READ, "") VALUE(start, Q) VALUE(end, Q)
#define RESULTS(ARRAY, VALUE) VALUE(there, Q) VALUE(touched, Q) VALUE(earlier, Q) ARRAY(first, Q)
#define CONSTANTS(C) C(MOST_LOOKS, MARK_LOOK)
#include "interface.h"

static PyObject *count_marks(PyObject *module, struct arguments *in)
{
    if (in->start > in->end || in->end > in->marks.count) {
        PyErr_SetString(PyExc_ValueError, "there are no such marks");
        return NULL;
    }
    struct results out = {0};
    out.first.count = MARK_LOOK;
    if (results_make(&count_marks_interface, &out) < 0)
        return NULL;
    uint64_t number[256] = {0};
    for (uint64_t i = in->start; i < in->end; i++)
        number[in->marks.at[i]]++;
    for (int m = 0; m < 256; m++) {
        if (!(m & MARK_THERE))
            continue;
        out.there += number[m];
        out.touched += m & (MARK_EARLIER | MARK_LOOK) ? number[m] : 0;
        out.earlier += m & MARK_EARLIER ? number[m] : 0;
        if (m & MARK_LOOK)
            out.first.at[(m & MARK_LOOK) - 1] += number[m];
    }
    return results_give(&count_marks_interface, module, &out);
}

INTERFACE(count_marks, "Marks", "How many pages were first seen by which look; see _native.pyi.")
