/* Record batches that another library holds: Arrow's C data interface, whose two structures are the same
 * everywhere (https://arrow.apache.org/docs/format/CDataInterface.html). */
#ifndef UDAMON_ARROW_H
#define UDAMON_ARROW_H

#include "native.h"

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

/* A column of numbers: item i of the batch is item offset + i of `values`. */
typedef struct {
    const void *values;
    const unsigned char *valid; /* a bit for each item; NULL: none is null */
    int64_t offset;
} Column;

typedef struct {
    const char *name, *format;
} Wanted;

/* arrow.c: columns of the batch in two capsules, found by name; -1 with ValueError where one is not there or has
 * another type. The capsules own the memory: keep them while the columns are in use. */
int arrow_columns(PyObject *schema, PyObject *array, const Wanted *wanted, Column *column, int number, int64_t *rows);

static inline int column_has(const Column *column, int64_t row)
{
    int64_t at = column->offset + row;
    return column->valid == NULL || (column->valid[at >> 3] >> (at & 7) & 1);
}

#define COLUMN_AT(column, type, row) (((const type *)(column)->values)[(column)->offset + (row)])

#endif
