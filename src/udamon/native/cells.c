/* The cells of a heatmap: amounts of the regions in record batches, by place and column of time.
 * udamon/report/cells.py defines them (as SQL); this is the quick way to the same sums. */
#include "arrow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TIME, BEGIN, TARGET, START, END, NR_ACCESSES, TICKS, AGE, SAMPLE_NS, RESIDENT, TOUCHED, COLUMNS };
static const Wanted wanted[COLUMNS] = {
    {"time", "l"}, {"begin", "l"}, {"target", "i"}, {"start", "L"}, {"end", "L"},
    {"nr_accesses", "I"}, {"ticks", "I"}, {"age", "I"}, {"sample_ns", "l"},
    {"resident", "L"}, {"touched", "L"},
};

enum { BYTES, RATE, AGES, MOST };

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    VALUE(schema, O) VALUE(batch, O) /* capsules of Arrow's C data interface */                                       \
    ARRAY(target, i, READ, "n") ARRAY(low, Q, READ, "n") ARRAY(high, Q, READ, "n") ARRAY(line, i, READ, "n")          \
    ARRAY(cells, d, WRITE, "")                                                                                        \
    VALUE(columns, i) VALUE(amounts, i) VALUE(shares, i) VALUE(begin_ns, q) VALUE(width_ns, d) VALUE(first_ns, q) VALUE(last_ns, q)
#define CONSTANTS(C) C(MOST_AMOUNTS, MOST)
#include "interface.h"

/* Places are sorted by target and address and disjoint within a target. */
typedef struct {
    const int32_t *target, *line;
    const uint64_t *low, *high;
    size_t count;
} Places;

/* `cell` has `amounts` numbers for each column of each line; a window of which nothing lies in first..last is
 * left out. Times in ns. */
typedef struct {
    double *cell, width;
    int64_t begin, first, last;
    int32_t columns, amounts;
} Grid;

/* The rows of one snapshot, while they come: sums for each place, of which those from..until - 1 are the
 * target's and lo..hi - 1 are not all zero. */
typedef struct {
    double *sum;
    int64_t time, begin;
    int32_t target;
    int known, inside;
    size_t from, until, at, lo, hi;
} Window;

/* The first place from..until - 1 that ends beyond an address. */
static size_t beyond(const uint64_t *high, size_t from, size_t until, uint64_t address)
{
    while (from < until) {
        size_t middle = from + (until - from) / 2;
        if (high[middle] > address)
            until = middle;
        else
            from = middle + 1;
    }
    return from;
}

static int64_t minus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* Add the snapshot's sums to the columns that its window reaches into, each by the time that it has there. */
static void spread(const Places *places, const Grid *grid, Window *window)
{
    if (window->lo >= window->hi)
        return;
    double from = (double)minus(window->begin, grid->begin), to = (double)minus(window->time, grid->begin);
    double early = floor((from + 0.5) / grid->width), late = fmax(ceil((to - 0.5) / grid->width) - 1, early);
    int32_t first = early < 0 ? 0 : early < grid->columns ? (int32_t)early : grid->columns;
    int32_t last = late < 0 ? -1 : late < grid->columns ? (int32_t)late : grid->columns - 1;
    for (size_t place = window->lo; place < window->hi; place++) {
        double *sum = window->sum + place * MOST;
        if (sum[BYTES] == 0)
            continue;
        double *line = grid->cell + (size_t)places->line[place] * (size_t)grid->columns * (size_t)grid->amounts;
        for (int32_t column = first; column <= last; column++) {
            double weight = grid->width;
            if (column == early)
                weight = fmin(to, (early + 1) * grid->width) - from;
            else if (column == late)
                weight = to - late * grid->width;
            for (int32_t amount = 0; amount < grid->amounts; amount++)
                line[(size_t)column * (size_t)grid->amounts + (size_t)amount] += weight * sum[amount];
        }
        memset(sum, 0, MOST * sizeof(double));
    }
    window->lo = window->hi = 0;
}

static void begin_window(const Places *places, const Grid *grid, Window *window, int64_t time, int64_t begin, int32_t target)
{
    if (!window->known || target != window->target) {
        size_t low = 0, high = places->count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (places->target[middle] < target)
                low = middle + 1;
            else
                high = middle;
        }
        for (window->from = window->until = low; window->until < places->count && places->target[window->until] == target;)
            window->until++;
    }
    window->known = 1;
    window->time = time, window->begin = begin, window->target = target;
    window->at = window->from;
    window->inside = window->from < window->until && time >= grid->first && time <= grid->last;
}

static void region(const Places *places, Window *window, uint64_t start, uint64_t end, double there, double rate,
                   double age)
{
    size_t at = window->at;
    if (at >= window->until || places->high[at] <= start || (at > window->from && places->high[at - 1] > start))
        at = window->at = beyond(places->high, window->from, window->until, start);
    size_t first = at;
    for (; at < window->until && places->low[at] < end; at++) {
        uint64_t low = start > places->low[at] ? start : places->low[at];
        uint64_t high = end < places->high[at] ? end : places->high[at];
        if (low >= high)
            continue;
        double bytes = (double)(high - low) * there, *sum = window->sum + at * MOST;
        sum[BYTES] += bytes;
        sum[RATE] += bytes * rate;
        sum[AGES] += bytes * age;
    }
    if (at > first) {
        window->lo = window->lo < window->hi && window->lo < first ? window->lo : first;
        window->hi = window->hi > at ? window->hi : at;
    }
}

/* The share of a region that was touched, where that is known of what is there; else of ticks. */
static double rate_of(const Column *column, int64_t row, uint32_t ticks, int shares)
{
    if (shares && column_has(&column[TOUCHED], row) && column_has(&column[RESIDENT], row)) {
        double there = (double)COLUMN_AT(&column[RESIDENT], uint64_t, row);
        if (there > 0)
            return fmin(1.0, (double)COLUMN_AT(&column[TOUCHED], uint64_t, row) / there);
    }
    return (double)COLUMN_AT(&column[NR_ACCESSES], uint32_t, row) / ticks;
}

static void all_rows(const Column *column, int64_t rows, const Places *places, const Grid *grid, int shares, double *sum)
{
    Window window = {.sum = sum};
    for (int64_t row = 0; row < rows; row++) {
        if (!column_has(&column[START], row) || !column_has(&column[END], row) ||
            !column_has(&column[NR_ACCESSES], row) || !column_has(&column[TICKS], row) ||
            !column_has(&column[BEGIN], row) || !column_has(&column[TARGET], row))
            continue;
        uint32_t ticks = COLUMN_AT(&column[TICKS], uint32_t, row);
        if (ticks == 0)
            continue;
        int64_t time = COLUMN_AT(&column[TIME], int64_t, row), begin = COLUMN_AT(&column[BEGIN], int64_t, row);
        int32_t target = COLUMN_AT(&column[TARGET], int32_t, row);
        if (!window.known || time != window.time || begin != window.begin || target != window.target) {
            spread(places, grid, &window);
            begin_window(places, grid, &window, time, begin, target);
        }
        if (!window.inside)
            continue;
        double rate = rate_of(column, row, ticks, shares), age = 0;
        if (grid->amounts > AGES && column_has(&column[AGE], row) && column_has(&column[SAMPLE_NS], row))
            age = (double)COLUMN_AT(&column[AGE], uint32_t, row) * ticks *
                  (double)COLUMN_AT(&column[SAMPLE_NS], int64_t, row);
        uint64_t start = COLUMN_AT(&column[START], uint64_t, row), end = COLUMN_AT(&column[END], uint64_t, row);
        double there = 1; /* of each byte */
        if (column_has(&column[RESIDENT], row) && end > start)
            there = (double)COLUMN_AT(&column[RESIDENT], uint64_t, row) / (double)(end - start);
        region(places, &window, start, end, there, rate, age);
    }
    spread(places, grid, &window);
}

/* 1 when places and grid fit together; 0 with ValueError set. */
static int checked(const Places *places, const Grid *grid, size_t cells)
{
    const char *why = NULL;
    size_t row = 0;
    if (grid->columns < 1 || grid->amounts < 1 || grid->amounts > MOST || !(grid->width > 0) || !isfinite(grid->width))
        why = "a grid has columns of some width";
    else
        row = (size_t)grid->columns * (size_t)grid->amounts;
    for (size_t i = 0; i < places->count && why == NULL; i++) {
        if (places->line[i] < 0 || (size_t)places->line[i] >= cells / row)
            why = "a place is in no line";
        else if (places->low[i] >= places->high[i] ||
                 (i > 0 && (places->target[i - 1] > places->target[i] ||
                            (places->target[i - 1] == places->target[i] && places->high[i - 1] > places->low[i]))))
            why = "places overlap or are not sorted";
    }
    if (why != NULL)
        PyErr_SetString(PyExc_ValueError, why);
    return why == NULL;
}

static PyObject *add_cells(PyObject *Py_UNUSED(module), struct arguments *in)
{
    Column column[COLUMNS];
    int64_t rows;
    Grid grid = {in->cells.at, in->width_ns, in->begin_ns, in->first_ns, in->last_ns, in->columns, in->amounts};
    Places places = {in->target.at, in->line.at, in->low.at, in->high.at, in->low.count};
    if (!checked(&places, &grid, in->cells.count) || arrow_columns(in->schema, in->batch, wanted, column, COLUMNS, &rows) < 0)
        return NULL;
    double *sum = calloc(places.count + 1, MOST * sizeof(double));
    if (sum == NULL)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    all_rows(column, rows, &places, &grid, in->shares, sum);
    Py_END_ALLOW_THREADS
    free(sum);
    Py_RETURN_NONE;
}

INTERFACE(add_cells, NULL, "Add a record batch to the cells of a heatmap; see _native.pyi.")
