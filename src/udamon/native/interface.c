/* Arguments and results of the functions that an interface describes. */
#include "interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An array as every struct of arguments and of results has it. */
struct items {
    void *at;
    size_t count;
};

static int wrong(const struct interface *about, const struct field *field, PyObject *kind, const char *what)
{
    PyErr_Format(kind, "%s: %s %s", about->name, field->name, what);
    return -1;
}

/* The letter of a buffer's items; 0 for any that are not those of an array, or not in this machine's order. */
static char format_of(const Py_buffer *buffer)
{
    const char *format = buffer->format != NULL ? buffer->format : "B";
    const int little = (union { uint16_t word; uint8_t byte; }){1}.byte;
    if (*format == '@' || *format == '=' || *format == (little ? '<' : '>'))
        format++;
    if (format[0] == 0 || format[1] != 0)
        return 0;
    switch (format[0]) { /* long has a letter of its own, and on 64 bits is the same as long long */
    case 'L': return buffer->itemsize == 8 ? 'Q' : 'I';
    case 'l': return buffer->itemsize == 8 ? 'q' : 'i';
    default: return format[0];
    }
}

static int take_array(const struct interface *about, const struct field *field, PyObject *object, Py_buffer *buffer,
                      struct items *into)
{
    char what[80];
    if (field->access == MAYBE && object == Py_None)
        return 0;
    if (PyObject_GetBuffer(object, buffer, field->access == READ ? PyBUF_FULL_RO : PyBUF_FULL) < 0) {
        PyErr_Clear();
        buffer->obj = NULL;
        return wrong(about, field, PyExc_TypeError, field->access == READ ? "must be an array" : "must be an array that may be written to");
    }
    char format = format_of(buffer);
    if (format != field->format) {
        snprintf(what, sizeof(what), "must be an array of items '%c', not of '%.20s'", field->format,
                 buffer->format != NULL ? buffer->format : "B");
        return wrong(about, field, PyExc_TypeError, what);
    }
    if (buffer->ndim != 1 || !PyBuffer_IsContiguous(buffer, 'C'))
        return wrong(about, field, PyExc_ValueError, "must be contiguous and of one dimension");
    if ((uintptr_t)buffer->buf % field->alignment != 0 && buffer->len > 0)
        return wrong(about, field, PyExc_ValueError, "must be aligned as its items are");
    if ((size_t)buffer->len % field->size != 0) {
        snprintf(what, sizeof(what), "must have whole records of %u bytes, not %zd bytes", (unsigned)field->size, buffer->len);
        return wrong(about, field, PyExc_ValueError, what);
    }
    into->at = buffer->buf;
    into->count = (size_t)buffer->len / field->size;
    return 0;
}

/* A whole number from `lowest` to `highest`, as the bits of a word. */
static int take_whole(const struct interface *about, const struct field *field, PyObject *object, void *into)
{
    char what[80];
    PyObject *number = PyNumber_Index(object);
    if (number == NULL) {
        PyErr_Clear();
        return wrong(about, field, PyExc_TypeError, "must be a whole number");
    }
    int with_sign = field->format == 'q' || field->format == 'i', failed;
    if (with_sign) {
        long long value = PyLong_AsLongLong(number);
        failed = PyErr_Occurred() != NULL || (field->format == 'i' && (value < INT32_MIN || value > INT32_MAX));
        if (field->format == 'i')
            *(int32_t *)into = (int32_t)value;
        else
            *(int64_t *)into = value;
    } else {
        unsigned long long value = PyLong_AsUnsignedLongLong(number);
        failed = PyErr_Occurred() != NULL || (field->format == 'I' && value > UINT32_MAX) || (field->format == 'B' && value > UINT8_MAX);
        if (field->format == 'I')
            *(uint32_t *)into = (uint32_t)value;
        else if (field->format == 'B')
            *(uint8_t *)into = (uint8_t)value;
        else
            *(uint64_t *)into = value;
    }
    Py_DECREF(number);
    if (!failed)
        return 0;
    PyErr_Clear();
    snprintf(what, sizeof(what), "must fit into %u bits %s a sign", 8u * field->size, with_sign ? "with" : "without");
    return wrong(about, field, PyExc_ValueError, what);
}

static int take_value(const struct interface *about, const struct field *field, PyObject *object, void *into)
{
    int truth;
    switch (field->format) {
    case 'O': *(PyObject **)into = object; return 0;
    case 'p':
        if ((truth = PyObject_IsTrue(object)) < 0)
            return -1;
        *(int *)into = truth;
        return 0;
    case 'd':
        *(double *)into = PyFloat_AsDouble(object);
        if (PyErr_Occurred() == NULL)
            return 0;
        PyErr_Clear();
        return wrong(about, field, PyExc_TypeError, "must be a number");
    default: return take_whole(about, field, object, into);
    }
}

/* A shape in its parts: a factor, a letter (0: none) and what is added. */
static char parts_of(const char *shape, long long *factor, long long *added)
{
    char *end;
    long long number = strtoll(shape, &end, 10);
    *factor = end > shape ? number : 1;
    *added = *end != 0 ? strtoll(end + 1, NULL, 10) : 0;
    return *end;
}

/* Whether all arrays have the lengths that they should. */
static int fit(const struct interface *about, const Py_buffer *held, const void *in)
{
    size_t length[26];
    const struct field *of[26] = {NULL};
    char what[120];
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < about->arguments; i++) {
            const struct field *field = &about->argument[i];
            if (field->shape == NULL || field->shape[0] == 0 || held[i].obj == NULL)
                continue;
            size_t count = ((const struct items *)(const void *)((const char *)in + field->offset))->count;
            long long factor, added;
            char letter = parts_of(field->shape, &factor, &added);
            int alone = letter != 0 && factor == 1 && added == 0, k = letter != 0 ? letter - 'a' : 0;
            if (pass == 0 && alone && of[k] == NULL) {
                length[k] = count;
                of[k] = field;
            } else if (pass == 1) {
                long long wanted = letter == 0 ? factor : factor * (long long)length[k] + added;
                if ((long long)count == wanted)
                    continue;
                if (letter == 0)
                    snprintf(what, sizeof(what), "must have %lld items, not %zu", wanted, count);
                else
                    snprintf(what, sizeof(what), "must have %s = %lld items, not %zu (%c is the length of %s)", field->shape, wanted,
                             count, letter, of[k]->name);
                return wrong(about, field, PyExc_ValueError, what);
            }
        }
    return 0;
}

int arguments_take(const struct interface *about, PyObject *module, PyObject *args, PyObject *keywords, Py_buffer *held,
                   void *in)
{
    PyObject *names = ((const struct state *)PyModule_GetState(module))->names[about->index];
    Py_ssize_t given = keywords != NULL ? PyDict_Size(keywords) : 0;
    if (PyTuple_Size(args) > 0) {
        PyErr_Format(PyExc_TypeError, "%s takes keywords only", about->name);
        return -1;
    }
    for (int i = 0; i < about->arguments; i++) {
        const struct field *field = &about->argument[i];
        void *into = (char *)in + field->offset;
        PyObject *object = keywords != NULL ? PyDict_GetItemWithError(keywords, PyTuple_GetItem(names, i)) : NULL;
        if (object == NULL)
            return wrong(about, field, PyExc_TypeError, "is missing");
        if ((field->shape != NULL ? take_array(about, field, object, &held[i], into)
                                  : take_value(about, field, object, into)) < 0)
            return -1;
    }
    if (given != about->arguments) {
        PyErr_Format(PyExc_TypeError, "%s takes %d arguments, not %zd", about->name, about->arguments, given);
        return -1;
    }
    return fit(about, held, in);
}

void arguments_release(const struct interface *about, Py_buffer *held)
{
    for (int i = 0; i < about->arguments; i++)
        if (held[i].obj != NULL)
            PyBuffer_Release(&held[i]);
}

static struct items *items_of(const struct field *field, void *out)
{
    return (void *)((char *)out + field->offset);
}

void results_drop(const struct interface *about, void *out)
{
    for (int i = 0; i < about->results; i++) {
        if (about->result[i].shape != NULL) {
            free(items_of(&about->result[i], out)->at);
            items_of(&about->result[i], out)->at = NULL;
        } else if (about->result[i].format == 'O') {
            Py_CLEAR(*(PyObject **)(void *)((char *)out + about->result[i].offset));
        }
    }
}

/* Memory goes into a struct of the file's own, by an offset: there the analyser loses sight of it. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
int results_make(const struct interface *about, void *out)
{
    for (int i = 0; i < about->results; i++)
        if (about->result[i].shape != NULL && items_of(&about->result[i], out)->at == NULL) {
            struct items *items = items_of(&about->result[i], out);
            items->at = items->count < SIZE_MAX ? calloc(items->count + 1, about->result[i].size) : NULL;
            if (items->at == NULL) {
                results_drop(about, out);
                PyErr_NoMemory();
                return -1;
            }
        }
    return 0;
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* bytes for items of one byte, else an array. */
static PyObject *give_array(PyObject *array_type, const struct field *field, const struct items *items)
{
    Py_ssize_t size = (Py_ssize_t)(items->count * field->size);
    const char *from = items->at != NULL ? items->at : ""; /* where there is nothing, NULL would give None */
    if (field->format == 'B')
        return PyBytes_FromStringAndSize(from, size);
    return PyObject_CallFunction(array_type, "Cy#", (int)field->format, from, size);
}

static PyObject *give_value(const struct field *field, void *from)
{
    PyObject *object;
    switch (field->format) {
    case 'O':
        object = *(PyObject **)from;
        *(PyObject **)from = NULL;
        return object;
    case 'z': return Py_BuildValue("z", *(const char **)from);
    case 'd': return PyFloat_FromDouble(*(double *)from);
    case 'p': return PyBool_FromLong(*(int *)from);
    case 'i': return PyLong_FromLong(*(int32_t *)from);
    case 'q': return PyLong_FromLongLong(*(int64_t *)from);
    case 'I': return PyLong_FromUnsignedLong(*(uint32_t *)from);
    case 'B': return PyLong_FromUnsignedLong(*(uint8_t *)from);
    default: return PyLong_FromUnsignedLongLong(*(uint64_t *)from);
    }
}

PyObject *results_give(const struct interface *about, PyObject *module, void *out)
{
    const struct state *state = PyModule_GetState(module);
    PyObject *made = about->results > 1 ? PyStructSequence_New((PyTypeObject *)state->result_type[about->index]) : NULL;
    for (int i = 0; i < about->results; i++) {
        const struct field *field = &about->result[i];
        if (about->results > 1 && made == NULL)
            break;
        PyObject *item = field->shape != NULL ? give_array(state->array_type, field, items_of(field, out))
                                              : give_value(field, (char *)out + field->offset);
        if (about->results == 1)
            made = item;
        else if (item == NULL)
            Py_CLEAR(made);
        else
            PyStructSequence_SetItem(made, i, item);
    }
    results_drop(about, out);
    return made;
}
