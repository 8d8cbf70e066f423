/* Checks on a simulated address space whose truth is known.
 *
 * Whether page P is accessed in tick T is a fixed fact: hash(truth seed, P, T) against the chance of P in T.
 * So two checks of one page in one tick agree, and a longer span is the OR of its ticks.
 */
#include "native.h"

#include <string.h>

enum { NOT_ACCESSED, ACCESSED, NO_PAGE };
enum { PAGE_SHIFT = 12 };

/* `width` bytes that slide by `step` bytes a tick through [base, base + length) and wrap. A page is inside
 * where the window overlaps it. `position` is where it starts on tick 0. */
struct window {
    double base, length, width, position, step, chance;
};

struct space {
    const uint64_t *start, *end; /* segments, sorted and disjoint */
    const double *chance;
    size_t segments;
    const struct window *windows;
    size_t windows_count;
};

static double unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1.0p-53;
}

/* Index of the segment that holds `address`, or -1. */
static long find(const uint64_t *start, const uint64_t *end, size_t count, uint64_t address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end[middle] <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && start[low] <= address ? (long)low : -1;
}

static double page_floor(double bytes)
{
    return (double)((uint64_t)bytes >> PAGE_SHIFT << PAGE_SHIFT);
}

static int in_window(const struct window *w, double address, double tick)
{
    double offset = address - w->base;
    if (offset < 0 || offset >= w->length)
        return 0;
    double start = w->position + w->step * tick;
    if (start < 0)
        return 0;
    start -= w->length * (double)(uint64_t)(start / w->length);
    double end = start + w->width;
    return (offset >= page_floor(start) && offset < end) || offset < end - w->length;
}

static double chance_at(const struct space *s, uint64_t address, uint64_t tick)
{
    double miss = 1;
    long i = find(s->start, s->end, s->segments, address);
    if (i >= 0)
        miss = 1 - s->chance[i];
    for (size_t k = 0; k < s->windows_count; k++)
        if (in_window(&s->windows[k], (double)address, (double)tick))
            miss *= 1 - s->windows[k].chance;
    return 1 - miss;
}

/* Everything one call works on; buffers are released together. */
enum { SET_TICK, SET_SEGMENT, SET_WINDOW, SEG_START, SEG_END, SEG_CHANCE, WINDOWS, RES_START, RES_END,
       SLOT_START, SLOT_END, SLOT_CHECKS, SLOT_SPAN, BUFFERS };
static const size_t item_size[BUFFERS] = {4, 4, 4, 8, 8, 8, sizeof(struct window), 8, 8, 8, 8, 4, 4};

struct call {
    Py_buffer buffer[BUFFERS];
    size_t count[BUFFERS];
    unsigned long ticks;
    uint64_t first_tick, truth, draw;
};

static struct space space_at(const struct call *c, uint64_t tick)
{
    const uint32_t *from = c->buffer[SET_TICK].buf;
    const uint32_t *segment = c->buffer[SET_SEGMENT].buf, *window = c->buffer[SET_WINDOW].buf;
    size_t set = 0;
    while (set + 1 < c->count[SET_TICK] && from[set + 1] <= tick)
        set++;
    int last = set + 1 == c->count[SET_TICK];
    size_t segment_end = last ? c->count[SEG_START] : segment[set + 1];
    size_t window_end = last ? c->count[WINDOWS] : window[set + 1];
    return (struct space){
        .start = (const uint64_t *)c->buffer[SEG_START].buf + segment[set],
        .end = (const uint64_t *)c->buffer[SEG_END].buf + segment[set],
        .chance = (const double *)c->buffer[SEG_CHANCE].buf + segment[set],
        .segments = segment_end - segment[set],
        .windows = (const struct window *)c->buffer[WINDOWS].buf + window[set],
        .windows_count = window_end - window[set],
    };
}

static uint8_t check(const struct call *c, const struct space *spaces, uint64_t address, uint64_t tick,
                     uint64_t span)
{
    if (find(c->buffer[RES_START].buf, c->buffer[RES_END].buf, c->count[RES_START], address) < 0)
        return NO_PAGE;
    uint64_t page = mix(c->truth ^ mix(address >> PAGE_SHIFT));
    for (uint64_t t = tick; t < tick + span; t++) {
        double chance = chance_at(&spaces[t], address, t);
        if (chance > 0 && unit(mix(page ^ mix(c->first_tick + t))) < chance)
            return ACCESSED;
    }
    return NOT_ACCESSED;
}

struct output {
    uint32_t *hits, *no_page, *slot, *span;
    uint64_t *address;
    uint8_t *answer;
};

static void run(const struct call *c, const struct space *spaces, struct output *out)
{
    const uint64_t *start = c->buffer[SLOT_START].buf, *end = c->buffer[SLOT_END].buf;
    const uint32_t *checks = c->buffer[SLOT_CHECKS].buf, *spans = c->buffer[SLOT_SPAN].buf;
    uint64_t state = c->draw;
    size_t n = 0;
    for (size_t i = 0; i < c->count[SLOT_START]; i++) {
        uint64_t first = start[i] >> PAGE_SHIFT;
        uint64_t pages = ((end[i] + (1u << PAGE_SHIFT) - 1) >> PAGE_SHIFT) - first;
        for (uint32_t k = 0; k < checks[i]; k++, n++) {
            uint64_t tick = tick_of(i, k, checks[i], c->ticks, spans[i]);
            uint64_t span = spans[i] < c->ticks - tick ? spans[i] : c->ticks - tick;
            uint64_t bits = mix(state++);
            uint64_t address = (first + (uint64_t)(unit(bits) * (double)pages)) << PAGE_SHIFT;
            uint8_t answer = check(c, spaces, address, tick, span);
            out->slot[n] = (uint32_t)i;
            out->span[n] = (uint32_t)span;
            out->address[n] = address;
            out->answer[n] = answer;
            out->hits[i] += answer == ACCESSED;
            out->no_page[i] += answer == NO_PAGE;
        }
    }
}

static int take_buffers(struct call *c, PyObject *sequence)
{
    if (take_arrays(sequence, c->buffer, c->count, item_size, BUFFERS) < 0 ||
        !same_length(c->count, SET_TICK, SET_WINDOW) || !same_length(c->count, SEG_START, SEG_CHANCE) ||
        !same_length(c->count, RES_START, RES_END) || !same_length(c->count, SLOT_START, SLOT_SPAN))
        return -1;
    if (c->count[SET_TICK] == 0) {
        PyErr_SetString(PyExc_ValueError, "there is no set of truth; arrays must begin with one");
        return -1;
    }
    const uint32_t *segment = c->buffer[SET_SEGMENT].buf, *window = c->buffer[SET_WINDOW].buf;
    for (size_t i = 0; i < c->count[SET_TICK]; i++)
        if (segment[i] > c->count[SEG_START] || window[i] > c->count[WINDOWS] ||
            (i && (segment[i] < segment[i - 1] || window[i] < window[i - 1]))) {
            PyErr_SetString(PyExc_ValueError, "sets must begin in order, within their arrays");
            return -1;
        }
    const uint64_t *start = c->buffer[SLOT_START].buf, *end = c->buffer[SLOT_END].buf;
    for (size_t i = 0; i < c->count[SLOT_START]; i++)
        if (start[i] >= end[i] || end[i] > UINT64_MAX - (1u << PAGE_SHIFT)) {
            PyErr_SetString(PyExc_ValueError, "a slot is empty or too high");
            return -1;
        }
    return 0;
}

static PyObject *zeros(size_t items, size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(items * size));
    if (bytes != NULL)
        memset(PyBytes_AsString(bytes), 0, items * size);
    return bytes;
}

enum { HITS, ABSENT, SLOT, ADDRESS, SPAN, ANSWER, OUTPUTS };
static const size_t output_size[OUTPUTS] = {4, 4, 4, 8, 4, 1};

static PyObject *sample(const struct call *c)
{
    size_t slots = c->count[SLOT_START], total = 0;
    const uint32_t *checks = c->buffer[SLOT_CHECKS].buf;
    for (size_t i = 0; i < slots; i++)
        total += checks[i];
    PyObject *made[OUTPUTS] = {NULL}, *result = NULL;
    struct space *spaces = PyMem_Malloc((c->ticks + 1) * sizeof(*spaces));
    int ready = spaces != NULL;
    for (int i = 0; ready && i < OUTPUTS; i++)
        ready = (made[i] = zeros(i < SLOT ? slots : total, output_size[i])) != NULL;
    if (ready) {
        struct output out = {
            .hits = (uint32_t *)(void *)PyBytes_AsString(made[HITS]),
            .no_page = (uint32_t *)(void *)PyBytes_AsString(made[ABSENT]),
            .slot = (uint32_t *)(void *)PyBytes_AsString(made[SLOT]),
            .address = (uint64_t *)(void *)PyBytes_AsString(made[ADDRESS]),
            .span = (uint32_t *)(void *)PyBytes_AsString(made[SPAN]),
            .answer = (uint8_t *)PyBytes_AsString(made[ANSWER]),
        };
        for (unsigned long t = 0; t < c->ticks; t++)
            spaces[t] = space_at(c, t);
        Py_BEGIN_ALLOW_THREADS
        run(c, spaces, &out);
        Py_END_ALLOW_THREADS
        result = PyTuple_Pack(OUTPUTS, made[0], made[1], made[2], made[3], made[4], made[5]);
    } else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    PyMem_Free(spaces);
    for (int i = 0; i < OUTPUTS; i++)
        Py_XDECREF(made[i]);
    return result;
}

static PyObject *sim_sample(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers;
    unsigned long long first_tick, truth, draw;
    struct call c = {0};
    if (!PyArg_ParseTuple(args, "OkKKK", &buffers, &c.ticks, &first_tick, &truth, &draw))
        return NULL;
    c.first_tick = first_tick;
    c.truth = mix(truth);
    c.draw = mix(draw);
    PyObject *result = NULL;
    if (take_buffers(&c, buffers) == 0)
        result = sample(&c);
    release_arrays(c.buffer, BUFFERS);
    return result;
}

PyMethodDef sim_methods[] = {
    {"sim_sample", sim_sample, METH_VARARGS, "Checks on a simulated space; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
