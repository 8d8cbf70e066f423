/* Touches memory as a workload says, at the speed of the machine, with the interpreter's lock released.
 *
 * The loop goes in rounds. A round gives every pattern its share of accesses by weight (fractions are
 * carried over), so that within a round's time, well below any sampling interval, every pattern had its
 * turn. It touches no memory of its own beyond a few lines, so the working set is the workload's.
 */
#include "clock.h"
#include "native.h"

#include <errno.h>
#include <sys/mman.h>

#define SECOND 1000000000ll
#define SIGNALS_NS (50 * 1000000ll) /* how often Python may see a signal */
#define ROUND 16384                 /* accesses a round: 0.1 to 1 ms */
#define ROUND_NS 1000000.0          /* a limited rate is kept from one such time to the next */
#define POPULATE (64u << 20)        /* bytes between two looks for signals */

enum mode { READ = 1, WRITE = 2 };

struct pattern {
    uint8_t *base;
    uint64_t length, stride, slots; /* slots: places at multiples of the stride */
    uint64_t *cursor;               /* of its region; NULL for random access */
    double share, due;              /* of all accesses; accesses owed, with the fraction */
    unsigned mode;
    uint64_t done;
};

static void sleep_until(int64_t ns)
{
    struct timespec time = {ns / SECOND, ns % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL); /* a signal ends it, which is as well */
}

static inline uint64_t xorshift(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static inline void access_byte(volatile uint8_t *byte, unsigned mode)
{
    uint8_t value = 0;
    if (mode & READ)
        value = *byte;
    if (mode & WRITE)
        *byte = (uint8_t)(value + 1);
}

static void run_random(struct pattern *p, uint64_t count, uint64_t *state)
{
    for (; count; count--) {
        /* 32 random bits scaled to the slots; more slots than that take the remainder instead */
        uint64_t bits = xorshift(state);
        uint64_t slot = p->slots >> 32 ? bits % p->slots : ((bits >> 32) * p->slots) >> 32;
        access_byte(p->base + slot * p->stride, p->mode);
    }
}

static void run_sequential(struct pattern *p, uint64_t count)
{
    uint64_t offset = *p->cursor;
    if (offset >= p->length)
        offset = 0;
    for (; count; count--) {
        access_byte(p->base + offset, p->mode);
        offset = p->length - offset > p->stride ? offset + p->stride : 0;
    }
    *p->cursor = offset;
}

static void run_round(struct pattern *patterns, Py_ssize_t n, double accesses, uint64_t *state)
{
    for (struct pattern *p = patterns; p < patterns + n; p++) {
        p->due += accesses * p->share;
        uint64_t count = (uint64_t)p->due;
        p->due -= (double)count;
        if (p->cursor)
            run_sequential(p, count);
        else
            run_random(p, count, state);
        p->done += count;
    }
}

struct pace {
    double rate; /* accesses a second, 0 for as fast as it goes */
    int64_t begin;
    double given; /* accesses handed out to rounds since `begin` */
};

/* How many accesses the next round may make: 0 where it is too early for one. */
static double wanted(const struct pace *pace, int64_t now)
{
    if (pace->rate <= 0)
        return ROUND;
    double owed = pace->rate * (double)(now - pace->begin) / SECOND - pace->given;
    return owed < 1 ? 0 : owed < ROUND ? owed : ROUND;
}

/* Rounds until `end`. */
static void run_until(struct pattern *patterns, Py_ssize_t n, int64_t end, struct pace *pace, uint64_t *state)
{
    for (int64_t now = now_ns(); now < end; now = now_ns()) {
        if (n == 0) {
            sleep_until(end);
            continue;
        }
        double accesses = wanted(pace, now);
        run_round(patterns, n, accesses, state);
        pace->given += accesses;
        if (accesses < ROUND) {
            double wait = 1 / pace->rate * SECOND; /* until one access is due, or a round's time */
            int64_t next = now + (int64_t)(wait < ROUND_NS ? ROUND_NS : wait < SIGNALS_NS ? wait : SIGNALS_NS);
            sleep_until(next < end ? next : end);
        }
    }
}

/* Between two slices Python may run its signal handlers; one that raises ends the call. */
static int run(struct pattern *patterns, Py_ssize_t n, int64_t deadline, double rate, uint64_t seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    if (state == 0)
        state = 1;
    struct pace pace = {rate, now_ns(), 0};
    for (int64_t now = pace.begin; now < deadline; now = now_ns()) {
        int64_t end = deadline - now > SIGNALS_NS ? now + SIGNALS_NS : deadline;
        Py_BEGIN_ALLOW_THREADS
        run_until(patterns, n, end, &pace, &state);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
    return 0;
}

/* One (offset, length, region, stride, weight, random, mode): in bounds, or ValueError. */
static int read_pattern(PyObject *item, const Py_buffer *memory, const Py_buffer *cursors, struct pattern *p)
{
    unsigned long long offset, length, region, stride;
    int random, mode;
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_TypeError, "a pattern is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(item, "KKKKdpi", &offset, &length, &region, &stride, &p->share, &random, &mode))
        return -1;
    uint64_t size = (uint64_t)memory->len;
    if (length == 0 || length > size || offset > size - length || stride == 0 || mode < 1 || mode > 3 ||
        region >= (uint64_t)cursors->len / 8 || !(p->share >= 0 && p->share <= 1e18)) {
        PyErr_SetString(PyExc_ValueError, "a pattern reaches outside the memory or is no pattern");
        return -1;
    }
    p->base = (uint8_t *)memory->buf + offset;
    p->length = length;
    p->stride = stride;
    p->slots = length / stride ? length / stride : 1;
    p->cursor = random ? NULL : (uint64_t *)cursors->buf + region;
    p->mode = (unsigned)mode;
    p->due = 0;
    p->done = 0;
    return 0;
}

/* Turns weights into shares; false when there is nothing to share. */
static int set_shares(struct pattern *patterns, Py_ssize_t n)
{
    double total = 0;
    for (Py_ssize_t i = 0; i < n; i++)
        total += patterns[i].share;
    for (Py_ssize_t i = 0; i < n && total > 0; i++)
        patterns[i].share /= total;
    return total > 0;
}

static PyObject *counts(const struct pattern *patterns, Py_ssize_t n)
{
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list && i < n; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(patterns[i].done);
        if (!count || PyList_SetItem(list, i, count) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static struct pattern *read_patterns(PyObject *tuple, const Py_buffer *memory, const Py_buffer *cursors)
{
    Py_ssize_t n = PyTuple_Size(tuple);
    struct pattern *patterns = PyMem_Calloc((size_t)n + 1, sizeof(*patterns));
    if (!patterns) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (read_pattern(PyTuple_GetItem(tuple, i), memory, cursors, &patterns[i]) < 0) {
            PyMem_Free(patterns);
            return NULL;
        }
    }
    return patterns;
}

static PyObject *touch(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *tuple, *result = NULL;
    Py_buffer memory, cursors;
    long long deadline;
    unsigned long long seed;
    double rate;
    if (!PyArg_ParseTuple(args, "w*O!w*LdK", &memory, &PyTuple_Type, &tuple, &cursors, &deadline, &rate, &seed))
        return NULL;
    struct pattern *patterns = NULL;
    if ((uintptr_t)cursors.buf % sizeof(uint64_t) != 0)
        PyErr_SetString(PyExc_ValueError, "cursors are not aligned");
    else
        patterns = read_patterns(tuple, &memory, &cursors);
    if (patterns) {
        Py_ssize_t n = PyTuple_Size(tuple);
        Py_ssize_t active = set_shares(patterns, n) ? n : 0;
        if (run(patterns, active, deadline, rate, seed) == 0)
            result = counts(patterns, n);
        PyMem_Free(patterns);
    }
    PyBuffer_Release(&memory);
    PyBuffer_Release(&cursors);
    return result;
}

static int part(const Py_buffer *memory, unsigned long long offset, unsigned long long length)
{
    uint64_t size = (uint64_t)memory->len;
    if (length <= size && offset <= size - length)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the part is outside the memory");
    return -1;
}

static PyObject *populate(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer memory;
    unsigned long long offset, length;
    if (!PyArg_ParseTuple(args, "w*KK", &memory, &offset, &length))
        return NULL;
    int failed = part(&memory, offset, length);
    for (uint64_t at = 0; !failed && at < length; at += POPULATE) {
        uint64_t end = length - at < POPULATE ? length : at + POPULATE;
        volatile uint8_t *base = (uint8_t *)memory.buf + offset;
        Py_BEGIN_ALLOW_THREADS
        for (uint64_t page = at; page < end; page += page_size)
            base[page] = 1; /* reading alone would map the one shared page of zeros */
        Py_END_ALLOW_THREADS
        failed = PyErr_CheckSignals();
    }
    PyBuffer_Release(&memory);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *guard(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer memory;
    unsigned long long offset, length;
    if (!PyArg_ParseTuple(args, "w*KK", &memory, &offset, &length))
        return NULL;
    int failed = part(&memory, offset, length);
    if (!failed && mprotect((uint8_t *)memory.buf + offset, length, PROT_NONE) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        failed = -1;
    }
    PyBuffer_Release(&memory);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *address_of(PyObject *Py_UNUSED(self), PyObject *object)
{
    Py_buffer memory;
    if (PyObject_GetBuffer(object, &memory, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *address = PyLong_FromUnsignedLongLong((uintptr_t)memory.buf);
    PyBuffer_Release(&memory);
    return address;
}

PyMethodDef touch_methods[] = {
    {"touch", touch, METH_VARARGS,
     "touch(memory, patterns, cursors, deadline_ns, rate, seed) -> accesses made, a pattern each"},
    {"populate", populate, METH_VARARGS, "populate(memory, offset, length): write a byte of every page"},
    {"guard", guard, METH_VARARGS, "guard(memory, offset, length): make whole pages inaccessible"},
    {"address_of", address_of, METH_O, "address_of(buffer) -> address of its first byte"},
    {NULL, NULL, 0, NULL},
};
