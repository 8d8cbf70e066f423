/* What idle page tracking says of the pages of a process, a byte for each as page tables give it, and marking them idle
 * again in the same pass. A page that was marked and is not idle any more was accessed, by whomever; so was, it seems, one
 * that was never marked, or lies in another frame since. */
#include "entry.h"
#include "idle.h"
#include "order.h"

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    VALUE(page_map, i) VALUE(flags_fd, i) VALUE(bitmap_fd, i) VALUE(first, Q) ARRAY(pieces, Q, READ, "")               \
    ARRAY(states, B, WRITE, "") VALUE(mark, p)
#define RESULTS(ARRAY, VALUE) VALUE(withheld, Q) VALUE(gone, i)
#include "interface.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 4096 };

struct look {
    struct files files;
    struct arguments *in;
    size_t count;
    int page_map;
    uint8_t gone;
    struct check check[BATCH], *batch[BATCH];
    struct keyed keyed[BATCH];
};

static void tell(struct look *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct check *one = &l->check[i];
        uint8_t state = one->answer == NO_PAGE ? STATE_NOT_COUNTED : one->answer == ACCESSED ? STATE_ACCESSED : 0;
        l->in->states.at[(one->address - l->in->first) >> page_shift] = (uint8_t)(STATE_MAPPED | state);
    }
}

/* Answer for the pages that were gathered. */
static void flush(struct look *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->batch[i] = &l->check[i];
    size_t number = sort_by_key(l->batch, l->count, l->keyed);
    if (idle_classify(&l->files, l->keyed, number))
        number = sort_by_key(l->batch, l->count, l->keyed);
    idle_read(&l->files, l->keyed, number);
    tell(l);
    if (l->in->mark)
        idle_set(&l->files, l->keyed, number);
    l->count = 0;
}

/* Gather what is present of neighbouring pages, TOGETHER at most. */
static void gather(struct look *l, uint64_t address, size_t number)
{
    struct check some[TOGETHER], *batch[TOGETHER];
    uint64_t entries[TOGETHER];
    for (size_t i = 0; i < number; i++) {
        some[i] = (struct check){.address = address + ((uint64_t)i << page_shift), .shift = (uint8_t)page_shift};
        batch[i] = &some[i];
    }
    for (size_t i = 0, n; i < number && !l->gone; i += n) {
        n = read_entries(&l->files, batch + i, number - i, entries);
        for (size_t k = 0; k < n; k++) {
            if (!(entries[k] & MAP_PRESENT))
                continue;
            struct check *check = batch[i + k];
            check->key = check->own_frame = entries[k] & MAP_FRAME;
            check->answer = check->key ? NOT_ACCESSED : NO_PAGE;
            l->files.errnos[WITHHELD] += check->key == 0;
            l->check[l->count++] = *check;
        }
    }
}

static void look(struct look *l)
{
    const struct arguments *in = l->in;
    uint64_t last = in->first + ((uint64_t)in->states.count << page_shift);
    for (size_t i = 0; i + 1 < in->pieces.count && !l->gone; i += 2) {
        uint64_t at = in->pieces.at[i] > in->first ? in->pieces.at[i] : in->first;
        uint64_t end = in->pieces.at[i + 1] < last ? in->pieces.at[i + 1] : last;
        while (at < end && !l->gone) {
            uint64_t left = (end - at) >> page_shift;
            size_t number = left < TOGETHER ? (size_t)left : TOGETHER;
            if (l->count + number > BATCH)
                flush(l);
            gather(l, at, number);
            at += (uint64_t)number << page_shift;
        }
    }
    flush(l);
}

static int sound(const struct arguments *in)
{
    const uint64_t mask = page_size - 1;
    int good = in->pieces.count % 2 == 0 && !(in->first & mask) && in->states.count <= (UINT64_MAX - in->first) >> page_shift;
    for (size_t i = 0; good && i < in->pieces.count; i++)
        good = !(in->pieces.at[i] & mask) && (i == 0 || in->pieces.at[i - 1] <= in->pieces.at[i]);
    if (!good)
        PyErr_SetString(PyExc_ValueError, "pages or ranges make no sense");
    return good;
}

static PyObject *idle_states(PyObject *module, struct arguments *in)
{
    if (!sound(in))
        return NULL;
    struct look *l = calloc(1, sizeof *l);
    if (l == NULL)
        return PyErr_NoMemory();
    l->in = in;
    l->page_map = in->page_map;
    l->files = (struct files){.pagemap = &l->page_map, .gone = &l->gone, .flags = in->flags_fd, .bitmap = in->bitmap_fd};
    Py_BEGIN_ALLOW_THREADS
    memset(in->states.at, 0, in->states.count);
    look(l);
    Py_END_ALLOW_THREADS
    struct results out = {l->files.errnos[WITHHELD], l->gone};
    free(l);
    return results_give(&idle_states_interface, module, &out);
}

INTERFACE(idle_states, "IdleStates", "What idle page tracking says of pages; see _native.pyi.")
