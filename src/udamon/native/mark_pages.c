/* By which look each page was first seen accessed. Marks are written only where they change: most memory of a sparse
 * target has none. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                        \
    ARRAY(states, B, WRITE, "")                                                                                        \
    ARRAY(marks, B, WRITE, "") VALUE(at, Q) ARRAY(kinds, B, READ, "256") VALUE(look, I) VALUE(last, p)
#include "interface.h"

#include "marks.h"

static PyObject *mark_pages(PyObject *module, struct arguments *in)
{
    (void)module;
    if (in->at > in->marks.count || in->marks.count - in->at < in->states.count || in->look > MARK_LOOK) {
        PyErr_SetString(PyExc_ValueError, "pages cannot be marked so");
        return NULL;
    }
    uint8_t *state = in->states.at, *mark = in->marks.at + in->at;
    for (size_t i = 0; i < in->states.count; i++) {
        uint8_t now = mark[i];
        if (!in->kinds.at[state[i]])
            continue;
        if (state[i] & STATE_ACCESSED) {
            if (in->look == 0)
                now |= MARK_EARLIER;
            else if (!(now & MARK_LOOK))
                now |= (uint8_t)in->look;
        }
        if (in->last) {
            if (now)
                state[i] |= STATE_ACCESSED;
            now |= MARK_THERE;
        }
        if (now != mark[i])
            mark[i] = now;
    }
    Py_RETURN_NONE;
}

INTERFACE(mark_pages, NULL, "By which look pages were first seen accessed; see _native.pyi.")
