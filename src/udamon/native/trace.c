/* The text that perf script prints of DAMON's trace events, scanned line by line: regions in the usual form become
 * columns, in runs of neighbouring lines that belong together. Any other line that has one of the events in it is
 * handed back as it is, for a slower and more patient reader; the rest is passed over. */
#define ARGUMENTS(ARRAY, VALUE) ARRAY(text, B, READ, "") VALUE(event, I)
#define RESULTS(ARRAY, VALUE)                                                                                         \
    VALUE(done, Q) VALUE(lines, Q) VALUE(runs, O) ARRAY(time, q) ARRAY(start, Q) ARRAY(end, Q) ARRAY(nr_accesses, I)  \
    ARRAY(age, I) ARRAY(touched, Q)
#define CONSTANTS(C) C(AGGREGATED, AGGREGATED) C(BEFORE_APPLY, BEFORE_APPLY)
#include "interface.h"

#include <stdlib.h>
#include <string.h>

enum { AGGREGATED, BEFORE_APPLY, EVENTS }; /* damon_aggregated, damos_before_apply */
enum { MOST_IDS = 3 };

static const char *const event_name[EVENTS] = {"damon_aggregated:", "damos_before_apply:"};
static const char *const id_name[EVENTS][MOST_IDS] = {{"target_id="}, {"ctx_idx=", "scheme_idx=", "target_idx="}};
static const char tune[] = "damon_monitor_intervals_tune:";

typedef struct {
    uint64_t id[MOST_IDS], expected, start, end;
    uint32_t nr_accesses, age;
    int64_t time;
    const unsigned char *thread;
    size_t thread_length;
} Row;

/* Lines that belong together: `rows` of them, or none, when it is one line as it is, number `expected`. */
typedef struct {
    const unsigned char *what;
    size_t length;
    uint64_t rows, expected, id[MOST_IDS];
} Run;

/* Columns under construction, all malloc'd. */
typedef struct {
    uint64_t *start, *end, *touched;
    int64_t *time;
    uint32_t *nr_accesses, *age;
    Run *run;
    size_t count, room, runs, run_room;
    int joins; /* whether the next row may belong to the last run */
} Lines;

static int blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const unsigned char *past_blanks(const unsigned char *at, const unsigned char *end)
{
    while (at < end && blank(*at))
        at++;
    return at;
}

/* Where a word or a number ends; NULL when it is not there, or does not fit. */
static const unsigned char *word(const unsigned char *at, const unsigned char *end, const char *expected)
{
    size_t length = strlen(expected);
    return at != NULL && (size_t)(end - at) >= length && memcmp(at, expected, length) == 0 ? at + length : NULL;
}

static const unsigned char *number(const unsigned char *at, const unsigned char *end, uint64_t *value)
{
    const unsigned char *begin = at;
    uint64_t sum = 0;
    if (at == NULL)
        return NULL;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
            return NULL;
    *value = sum;
    return at > begin ? at : NULL;
}

/* `name` and a number behind at least one blank. */
static const unsigned char *field(const unsigned char *at, const unsigned char *end, const char *name, uint64_t *value)
{
    const unsigned char *begin = at;
    if (at == NULL || (at = past_blanks(at, end)) == begin)
        return NULL;
    return number(word(at, end, name), end, value);
}

/* What stands behind the name of the event. */
static int body(const unsigned char *at, const unsigned char *end, int event, Row *row)
{
    uint64_t nr_accesses = 0, age = 0;
    for (int i = 0; i < MOST_IDS; i++) {
        row->id[i] = 0;
        if (id_name[event][i] != NULL)
            at = field(at, end, id_name[event][i], &row->id[i]);
    }
    at = field(at, end, "nr_regions=", &row->expected);
    at = number(word(field(at, end, "", &row->start), end, "-"), end, &row->end);
    at = field(word(at, end, ":"), end, "", &nr_accesses);
    if (at == NULL)
        return 0;
    const unsigned char *after = past_blanks(at, end);
    if (after < end && (after == at || (after = number(after, end, &age)) == NULL || past_blanks(after, end) < end))
        return 0;
    row->nr_accesses = (uint32_t)nr_accesses;
    row->age = (uint32_t)age;
    return row->start < row->end && nr_accesses <= UINT32_MAX && age <= UINT32_MAX;
}

/* What stands before it, from the end: maybe "damon:", the time with six to nine digits behind the point, and who
 * it was, of which the processor in brackets and what follows is left out. */
static int head(const unsigned char *begin, const unsigned char *end, Row *row)
{
    uint64_t seconds, part = 0, scale = 1000000000;
    if (end - begin > 6 && memcmp(end - 6, "damon:", 6) == 0)
        end -= 6;
    const unsigned char *at = end, *point;
    while (at > begin && blank(at[-1]))
        at--;
    if (at == end || at == begin || *--at != ':')
        return 0;
    for (end = at; at > begin && at[-1] >= '0' && at[-1] <= '9';)
        at--;
    if (end - at < 6 || end - at > 9 || at == begin || *(point = at - 1) != '.')
        return 0;
    for (; at < end; at++)
        part += (uint64_t)(*at - '0') * (scale /= 10);
    for (at = point; at > begin && at[-1] >= '0' && at[-1] <= '9';)
        at--;
    if (number(at, point, &seconds) != point || seconds > 2300000000 || at == begin || !blank(at[-1]))
        return 0;
    row->time = (int64_t)(seconds * 1000000000 + part);
    while (at > begin && blank(at[-1]))
        at--;
    begin = past_blanks(begin, at);
    if (begin == at)
        return 0;
    const unsigned char *bracket = memchr(begin, '[', (size_t)(at - begin));
    for (at = bracket != NULL ? bracket : at; at > begin && blank(at[-1]);)
        at--;
    row->thread = begin;
    row->thread_length = (size_t)(at - begin);
    return 1;
}

static int larger(void **memory, size_t room, size_t size)
{
    void *found = realloc(*memory, room * size);
    if (found != NULL)
        *memory = found;
    return found != NULL;
}

/* A new run; NULL when memory is short. */
static Run *new_run(Lines *lines, const unsigned char *what, size_t length)
{
    if (lines->runs == lines->run_room) {
        size_t room = lines->run_room ? 2 * lines->run_room : 64;
        if (!larger((void **)&lines->run, room, sizeof(Run)))
            return NULL;
        lines->run_room = room;
    }
    Run *run = &lines->run[lines->runs++];
    *run = (Run){.what = what, .length = length};
    return run;
}

static int belongs(const Lines *lines, const Row *row)
{
    if (!lines->joins)
        return 0;
    const Run *run = &lines->run[lines->runs - 1];
    return row->expected == run->expected && memcmp(row->id, run->id, sizeof(row->id)) == 0 &&
           row->start >= lines->end[lines->count - 1] && row->thread_length == run->length &&
           memcmp(row->thread, run->what, run->length) == 0;
}

/* 0 when memory is short. */
static int keep(Lines *lines, const Row *row)
{
    if (lines->count == lines->room) {
        size_t room = lines->room ? 2 * lines->room : 1024;
        if (!larger((void **)&lines->start, room, 8) || !larger((void **)&lines->end, room, 8) ||
            !larger((void **)&lines->touched, room, 8) || !larger((void **)&lines->time, room, 8) ||
            !larger((void **)&lines->nr_accesses, room, 4) || !larger((void **)&lines->age, room, 4))
            return 0;
        lines->room = room;
    }
    if (!belongs(lines, row)) {
        Run *run = new_run(lines, row->thread, row->thread_length);
        if (run == NULL)
            return 0;
        run->expected = row->expected;
        memcpy(run->id, row->id, sizeof(run->id));
        lines->joins = 1;
    }
    lines->run[lines->runs - 1].rows++;
    size_t at = lines->count++;
    lines->start[at] = row->start;
    lines->end[at] = row->end;
    lines->touched[at] = row->nr_accesses ? row->end - row->start : 0;
    lines->time[at] = row->time;
    lines->nr_accesses[at] = row->nr_accesses;
    lines->age[at] = row->age;
    return 1;
}

/* All whole lines of a text: where they end, and how many they were; NULL when memory is short. */
static const unsigned char *scan(const unsigned char *at, const unsigned char *end, int event, Lines *lines, uint64_t *number_of)
{
    const unsigned char *after;
    for (; at < end && (after = memchr(at, '\n', (size_t)(end - at))) != NULL; at = after + 1) {
        size_t length = (size_t)(after - at);
        const unsigned char *name = memmem(at, length, event_name[event], strlen(event_name[event]));
        Row row;
        ++*number_of;
        if (name != NULL && head(at, name, &row) && body(name + strlen(event_name[event]), after, event, &row)) {
            if (!keep(lines, &row))
                return NULL;
        } else if (name != NULL || memmem(at, length, tune, sizeof(tune) - 1) != NULL) {
            Run *run = new_run(lines, at, length);
            if (run == NULL)
                return NULL;
            run->expected = *number_of;
            lines->joins = 0;
        }
    }
    return at;
}

static PyObject *runs_of(const Lines *lines)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < lines->runs; i++) {
        const Run *run = &lines->run[i];
        PyObject *item = Py_BuildValue("y#KK(KKK)", run->what, (Py_ssize_t)run->length, run->rows, run->expected,
                                       run->id[0], run->id[1], run->id[2]);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *trace_scan(PyObject *module, struct arguments *in)
{
    const unsigned char *begin = in->text.count > 0 ? in->text.at : (const void *)"", *after;
    Lines lines = {0};
    uint64_t number_of = 0;
    PyObject *runs = NULL, *result = NULL;
    if (in->event >= EVENTS) {
        PyErr_SetString(PyExc_ValueError, "there is no such event");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    after = scan(begin, begin + in->text.count, (int)in->event, &lines, &number_of);
    Py_END_ALLOW_THREADS
    if (after == NULL)
        PyErr_NoMemory();
    else
        runs = runs_of(&lines);
    size_t n = lines.count;
    struct results out = {
        .done = after != NULL ? (uint64_t)(after - begin) : 0, .lines = number_of, .runs = runs, .time = {lines.time, n},
        .start = {lines.start, n}, .end = {lines.end, n}, .nr_accesses = {lines.nr_accesses, n}, .age = {lines.age, n},
        .touched = {lines.touched, n},
    };
    if (runs != NULL)
        result = results_give(&trace_scan_interface, module, &out);
    else
        results_drop(&trace_scan_interface, &out);
    free(lines.run);
    return result;
}

INTERFACE(trace_scan, "TraceLines", "Regions of DAMON's trace lines as columns; see _native.pyi.")
