/* One description of what a function takes and gives. From it come a struct of its arguments and one of its results, with
 * their types; the checks of item types, lengths and ranges; the keywords; and the named fields of the result.
 *
 * A file that has such a function writes, before it includes this header,
 *
 *     #define ARGUMENTS(ARRAY, VALUE) ARRAY(start, Q, READ, "n") ARRAY(end, Q, READ, "n") VALUE(limit, Q)
 *     #define RESULTS(ARRAY, VALUE) ARRAY(sum, Q) VALUE(count, Q)
 *
 * and at its end INTERFACE(function, "Result", "what it does"). It defines `static PyObject *function(PyObject *module,
 * struct arguments *in)`, in which `in->start.at[i]` is an item, `in->start.count` how many there are, and `in->limit` a
 * number. Python calls it by keywords alone. Results go like this: set the counts, results_make (which makes arrays of
 * zeros), fill them, perhaps make a count smaller, results_give.
 *
 * An item is one of the letters of Python's array (B I Q i q d) or a record of the file's own, for which it defines
 * ITEM_name (its type) and FORMAT_name (the letter of the array that holds it). A value is one of those letters, or
 * p (truth), O (an object; in results one that is given away) and z (text that may be NULL; results only).
 *
 * A shape says how long an array must be: "512", or multiples of a letter such as "n", "n+1", "n-1" and "10s", where
 * arrays that have the letter alone must be of one length. "" is any length. */
#ifndef UDAMON_INTERFACE_H
#define UDAMON_INTERFACE_H

#include "native.h"

#include <stddef.h>

#define FORMAT_B 'B'
#define FORMAT_I 'I'
#define FORMAT_Q 'Q'
#define FORMAT_i 'i'
#define FORMAT_q 'q'
#define FORMAT_d 'd'
#define FORMAT_p 'p'
#define FORMAT_O 'O'
#define FORMAT_z 'z'
#define ITEM_B uint8_t
#define ITEM_I uint32_t
#define ITEM_Q uint64_t
#define ITEM_i int32_t
#define ITEM_q int64_t
#define ITEM_d double
#define ITEM_p int
#define ITEM_O PyObject *
#define ITEM_z const char *

enum access { READ, WRITE, MAYBE }; /* MAYBE: None, or an array that is written to */
#define QUALIFIER_READ const
#define QUALIFIER_WRITE
#define QUALIFIER_MAYBE

struct field {
    const char *name, *shape; /* no shape: a value */
    size_t offset;            /* in the struct of arguments or results */
    uint16_t size, alignment; /* of an item */
    char format;
    uint8_t access;
};

struct constant {
    const char *name;
    long long value;
};

struct interface {
    const char *name, *result_name, *doc;
    const struct field *argument, *result;
    int arguments, results, index;
    const struct constant *constant; /* what Python must know as well; ends with a NULL */
    PyCFunctionWithKeywords call;
};

/* -1 with TypeError or ValueError, which name the argument. `held` has room for all; release it also after a failure. */
int arguments_take(const struct interface *about, PyObject *module, PyObject *args, PyObject *keywords, Py_buffer *held,
                   void *in);
void arguments_release(const struct interface *about, Py_buffer *held);
/* Arrays of zeros, as many items as each has a count; -1 with MemoryError, and nothing is left of them. One that has
 * memory already (of malloc, for large ones that need no zeros) keeps it. */
int results_make(const struct interface *about, void *out);
/* Free what the arrays hold, which was made by malloc. */
void results_drop(const struct interface *about, void *out);
/* The result, of the first `count` items of each array; the memory of `out` is gone in any case. */
PyObject *results_give(const struct interface *about, PyObject *module, void *out);

#define AS_TEXT_(number) #number
#define AS_TEXT(number) AS_TEXT_(number) /* a shape of a macro's value */

#define AS_MEMBER(name, item, access, shape)                                                                          \
    struct {                                                                                                          \
        QUALIFIER_##access ITEM_##item *at;                                                                           \
        size_t count;                                                                                                 \
    } name;
#define AS_RESULT_MEMBER(name, item) AS_MEMBER(name, item, WRITE, "")
#define AS_VALUE_MEMBER(name, item) ITEM_##item name;

#define AS_FIELD(name, item, access, shape)                                                                           \
    {#name, shape, offsetof(struct arguments, name), sizeof(ITEM_##item), _Alignof(ITEM_##item), FORMAT_##item, access},
#define AS_VALUE_FIELD(name, item)                                                                                    \
    {#name, NULL, offsetof(struct arguments, name), sizeof(ITEM_##item), _Alignof(ITEM_##item), FORMAT_##item, READ},
#define AS_RESULT_FIELD(name, item)                                                                                   \
    {#name, "", offsetof(struct results, name), sizeof(ITEM_##item), _Alignof(ITEM_##item), FORMAT_##item, WRITE},
#define AS_RESULT_VALUE_FIELD(name, item)                                                                             \
    {#name, NULL, offsetof(struct results, name), sizeof(ITEM_##item), _Alignof(ITEM_##item), FORMAT_##item, WRITE},
#define AS_CONSTANT(name, value) {#name, value},

#define INTERFACE(function, result, doc)                                                                              \
    static const struct constant constants[] = {CONSTANTS(AS_CONSTANT){NULL, 0}};                                     \
    enum { ARGUMENTS_COUNT = sizeof(argument_fields) / sizeof(*argument_fields) };                                    \
    static PyObject *function##_call(PyObject *module, PyObject *args, PyObject *keywords)                            \
    {                                                                                                                 \
        struct arguments in = {0};                                                                                    \
        Py_buffer held[ARGUMENTS_COUNT] = {{0}};                                                                      \
        PyObject *made = NULL;                                                                                        \
        if (arguments_take(&function##_interface, module, args, keywords, held, &in) == 0)                                    \
            made = function(module, &in);                                                                             \
        arguments_release(&function##_interface, held);                                                               \
        return made;                                                                                                  \
    }                                                                                                                 \
    const struct interface function##_interface = {                                                                   \
        #function, result, doc, argument_fields, result_fields, ARGUMENTS_COUNT, RESULTS_COUNT, INDEX_##function,     \
        constants, function##_call,                                                                                   \
    };

#endif

#ifdef ARGUMENTS
struct arguments {
    ARGUMENTS(AS_MEMBER, AS_VALUE_MEMBER)
};
#ifdef RESULTS
struct results {
    RESULTS(AS_RESULT_MEMBER, AS_VALUE_MEMBER)
};
#endif
#ifndef INTERFACE_TYPES_ONLY
static const struct field argument_fields[] = {ARGUMENTS(AS_FIELD, AS_VALUE_FIELD)};
#ifdef RESULTS
static const struct field result_fields[] = {RESULTS(AS_RESULT_FIELD, AS_RESULT_VALUE_FIELD)};
enum { RESULTS_COUNT = sizeof(result_fields) / sizeof(*result_fields) };
#else
static const struct field *const result_fields = NULL;
enum { RESULTS_COUNT = 0 };
#endif
#ifndef CONSTANTS
#define CONSTANTS(C)
#endif
#endif
#endif
