/* Columns of a record batch, found by name and checked. */
#include "arrow.h"

#include <string.h>

static int wrong(const char *what, const char *column)
{
    PyErr_Format(PyExc_ValueError, "%s: %s", column, what);
    return -1;
}

static int take(const struct ArrowSchema *about, const struct ArrowArray *array, int64_t offset, int64_t rows,
                const Wanted *wanted, Column *column)
{
    if (about->format == NULL || strcmp(about->format, wanted->format) != 0)
        return wrong("the column has another type", wanted->name);
    /* Text has offsets before its bytes: what is null can be told, and nothing more is asked of it here. */
    if (array->n_buffers != (wanted->format[0] == 'u' ? 3 : 2) || array->offset < 0 || array->length - offset < rows)
        return wrong("the column is too short", wanted->name);
    column->valid = array->null_count != 0 ? array->buffers[0] : NULL;
    column->values = array->buffers[1];
    column->offset = array->offset + offset;
    return rows > 0 && column->values == NULL ? wrong("the column has no values", wanted->name) : 0;
}

int arrow_columns(PyObject *schema, PyObject *array, const Wanted *wanted, Column *column, int number, int64_t *rows)
{
    const struct ArrowSchema *about = PyCapsule_GetPointer(schema, "arrow_schema");
    const struct ArrowArray *batch = about == NULL ? NULL : PyCapsule_GetPointer(array, "arrow_array");
    if (batch == NULL)
        return -1;
    if (about->release == NULL || batch->release == NULL || about->format == NULL || strcmp(about->format, "+s") != 0 ||
        about->n_children != batch->n_children || batch->null_count != 0 || batch->offset < 0 || batch->length < 0) {
        PyErr_SetString(PyExc_ValueError, "this is no record batch");
        return -1;
    }
    *rows = batch->length;
    for (int i = 0; i < number; i++) {
        int64_t child = 0;
        while (child < about->n_children && strcmp(about->children[child]->name, wanted[i].name) != 0)
            child++;
        if (child == about->n_children)
            return wrong("there is no such column", wanted[i].name);
        if (take(about->children[child], batch->children[child], batch->offset, *rows, &wanted[i], &column[i]) < 0)
            return -1;
    }
    return 0;
}
