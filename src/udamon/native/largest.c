#include "largest.h"

#include <stdlib.h>
#include <string.h>

static void swap(double *a, double *b)
{
    double was = *a;
    *a = *b;
    *b = was;
}

/* The number that `wanted` - 1 of them come before when they fall (1 <= wanted <= count), by quickselect, which leaves them
 * in another order. */
static double nth(double *number, size_t count, size_t wanted)
{
    while (count > 1) {
        double pivot = number[count / 2];
        size_t above = 0, at = 0, below = count; /* [0, above) are larger, [above, at) equal, [below, count) smaller */
        while (at < below) {
            if (number[at] > pivot)
                swap(&number[above++], &number[at++]);
            else if (number[at] < pivot)
                swap(&number[at], &number[--below]);
            else
                at++;
        }
        if (wanted <= above) {
            count = above;
        } else if (wanted <= below) {
            return pivot;
        } else {
            wanted -= below;
            number += below;
            count -= below;
        }
    }
    return number[0];
}

uint8_t *largest(const double *number, size_t count, size_t wanted)
{
    uint8_t *chosen = PyMem_Calloc(count + 1, 1);
    double *spare = PyMem_Malloc((count + 1) * sizeof(*spare));
    if (chosen == NULL || spare == NULL) {
        PyMem_Free(chosen);
        chosen = NULL;
    } else if (wanted >= count) {
        memset(chosen, 1, count);
    } else if (wanted > 0) {
        memcpy(spare, number, count * sizeof(*spare));
        double least = nth(spare, count, wanted);
        for (size_t i = 0; i < count; i++)
            wanted -= chosen[i] = number[i] > least;
        for (size_t i = 0; i < count && wanted > 0; i++)
            if (number[i] == least) {
                chosen[i] = 1;
                wanted--;
            }
    }
    PyMem_Free(spare);
    return chosen;
}

static int falling(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? 1 : -1;
    return x->at < y->at ? -1 : x->at > y->at;
}

void sort_falling(struct ranked *ranked, size_t count)
{
    qsort(ranked, count, sizeof(*ranked), falling);
}
