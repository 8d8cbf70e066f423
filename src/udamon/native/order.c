#include "order.h"

#include <stdlib.h>

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* Keys beside the pointers spare the sort a look into every check. */
size_t sort_by_key(struct check **batch, size_t count, struct keyed *sorted)
{
    size_t kept = 0;
    int ascending = 1;
    for (size_t i = 0; i < count; i++) {
        if (batch[i]->answer == NO_PAGE)
            continue;
        sorted[kept] = (struct keyed){batch[i]->key, batch[i]};
        ascending &= kept == 0 || sorted[kept - 1].key <= sorted[kept].key;
        kept++;
    }
    if (!ascending)
        qsort(sorted, kept, sizeof(*sorted), by_key);
    return kept;
}

static int by_address(const void *a, const void *b)
{
    const struct check *x = *(struct check *const *)a, *y = *(struct check *const *)b;
    if (x->target != y->target)
        return x->target < y->target ? -1 : 1;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* Regions come in address order, so this hardly ever has to sort. */
void sort_by_address(struct check **batch, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (by_address(&batch[i - 1], &batch[i]) > 0) {
            qsort(batch, count, sizeof(*batch), by_address);
            return;
        }
}
