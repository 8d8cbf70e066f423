/* Checks on a simulated address space whose truth is known.
 *
 * Whether page P is accessed in tick T is a fixed fact: hash(truth seed, P, T) against the chance of P in T.
 * So two checks of one page in one tick agree, and a longer span is the OR of its ticks.
 */
#include "check.h"

/* `width` bytes that slide by `step` bytes a tick through [base, base + length) and wrap. A page is inside
 * where the window overlaps it. `position` is where it starts on tick 0. */
struct window {
    double base, length, width, position, step, chance;
};

#define ITEM_window struct window
#define FORMAT_window 'd'
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    /* Sets of truth: what holds from a tick on begins at that segment and that window. */                            \
    ARRAY(set_tick, I, READ, "s") ARRAY(set_segment, I, READ, "s") ARRAY(set_window, I, READ, "s")                    \
    ARRAY(segment_start, Q, READ, "n") ARRAY(segment_end, Q, READ, "n") ARRAY(segment_chance, d, READ, "n")           \
    ARRAY(windows, window, READ, "")                                                                                  \
    ARRAY(resident_start, Q, READ, "r") ARRAY(resident_end, Q, READ, "r")                                             \
    ARRAY(slot_start, Q, READ, "k") ARRAY(slot_end, Q, READ, "k") ARRAY(slot_checks, I, READ, "k")                    \
    ARRAY(slot_span, I, READ, "k")                                                                                    \
    VALUE(ticks, I) VALUE(first_tick, Q) VALUE(truth_seed, Q) VALUE(draw_seed, Q)
#define RESULTS(ARRAY, VALUE)                                                                                         \
    ARRAY(hits, I) ARRAY(no_page, I) ARRAY(slot, I) ARRAY(address, Q) ARRAY(span, I) ARRAY(answer, B)
#define CONSTANTS(C) C(NOT_ACCESSED, NOT_ACCESSED) C(ACCESSED, ACCESSED) C(NO_PAGE, NO_PAGE) C(MOST_TICKS, MOST_TICKS)
#include "interface.h"

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
    return (double)((uint64_t)bytes >> page_shift << page_shift);
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

struct call {
    const struct arguments *in;
    uint64_t truth, draw;
};

static struct space space_at(const struct arguments *in, uint64_t tick)
{
    const uint32_t *segment = in->set_segment.at, *window = in->set_window.at;
    size_t set = 0;
    while (set + 1 < in->set_tick.count && in->set_tick.at[set + 1] <= tick)
        set++;
    int last = set + 1 == in->set_tick.count;
    size_t segment_end = last ? in->segment_start.count : segment[set + 1];
    size_t window_end = last ? in->windows.count : window[set + 1];
    return (struct space){
        .start = in->segment_start.at + segment[set],
        .end = in->segment_end.at + segment[set],
        .chance = in->segment_chance.at + segment[set],
        .segments = segment_end - segment[set],
        .windows = in->windows.at + window[set],
        .windows_count = window_end - window[set],
    };
}

static uint8_t check(const struct call *c, const struct space *spaces, uint64_t address, uint64_t tick,
                     uint64_t span)
{
    if (find(c->in->resident_start.at, c->in->resident_end.at, c->in->resident_start.count, address) < 0)
        return NO_PAGE;
    uint64_t page = mix(c->truth ^ mix(address >> page_shift));
    for (uint64_t t = tick; t < tick + span; t++) {
        double chance = chance_at(&spaces[t], address, t);
        if (chance > 0 && unit(mix(page ^ mix(c->in->first_tick + t))) < chance)
            return ACCESSED;
    }
    return NOT_ACCESSED;
}

static void run(const struct call *c, const struct space *spaces, struct results *out)
{
    const uint64_t *start = c->in->slot_start.at, *end = c->in->slot_end.at;
    const uint32_t *checks = c->in->slot_checks.at, *spans = c->in->slot_span.at;
    size_t ticks = c->in->ticks;
    uint64_t state = c->draw;
    size_t n = 0;
    for (size_t i = 0; i < c->in->slot_start.count; i++) {
        uint64_t first = start[i] >> page_shift;
        uint64_t pages = ((end[i] + page_size - 1) >> page_shift) - first;
        for (uint32_t k = 0; k < checks[i]; k++, n++) {
            uint64_t tick = tick_of(i, k, checks[i], ticks, spans[i]);
            uint64_t span = spans[i] < ticks - tick ? spans[i] : ticks - tick;
            uint64_t bits = mix(state++);
            uint64_t address = (first + (uint64_t)(unit(bits) * (double)pages)) << page_shift;
            uint8_t answer = check(c, spaces, address, tick, span);
            out->slot.at[n] = (uint32_t)i;
            out->span.at[n] = (uint32_t)span;
            out->address.at[n] = address;
            out->answer.at[n] = answer;
            out->hits.at[i] += answer == ACCESSED;
            out->no_page.at[i] += answer == NO_PAGE;
        }
    }
}

static int sound(const struct arguments *in)
{
    const uint32_t *segment = in->set_segment.at, *window = in->set_window.at;
    const char *why = in->set_tick.count == 0 ? "there is no set of truth; arrays must begin with one"
                      : in->ticks > MOST_TICKS ? "no stretch has so many ticks" : NULL;
    for (size_t i = 0; why == NULL && i < in->set_tick.count; i++)
        if (segment[i] > in->segment_start.count || window[i] > in->windows.count ||
            (i && (segment[i] < segment[i - 1] || window[i] < window[i - 1])))
            why = "sets must begin in order, within their arrays";
    uint64_t total = 0;
    for (size_t i = 0; why == NULL && i < in->slot_start.count; i++) {
        total += in->slot_checks.at[i];
        if (in->slot_start.at[i] >= in->slot_end.at[i] || in->slot_end.at[i] > UINT64_MAX - page_size)
            why = "a slot is empty or too high";
        else if (in->slot_checks.at[i] > 0 && in->ticks == 0)
            why = "checks need a tick to be made on";
        else if (total > MOST_ITEMS)
            why = "no stretch has so many checks";
    }
    if (why != NULL)
        PyErr_SetString(PyExc_ValueError, why);
    return why == NULL;
}

static PyObject *sim_sample(PyObject *module, struct arguments *in)
{
    struct call c = {.in = in, .truth = mix(in->truth_seed), .draw = mix(in->draw_seed)};
    size_t total = 0;
    if (!sound(in))
        return NULL;
    for (size_t i = 0; i < in->slot_start.count; i++)
        total += in->slot_checks.at[i];
    struct results out = {.hits.count = in->slot_start.count, .no_page.count = in->slot_start.count,
                          .slot.count = total, .address.count = total, .span.count = total, .answer.count = total};
    struct space *spaces = PyMem_Malloc((in->ticks + 1) * sizeof(*spaces));
    PyObject *result = NULL;
    if (spaces == NULL) {
        PyErr_NoMemory();
    } else if (results_make(&sim_sample_interface, &out) == 0) {
        for (uint32_t t = 0; t < in->ticks; t++)
            spaces[t] = space_at(in, t);
        Py_BEGIN_ALLOW_THREADS
        run(&c, spaces, &out);
        Py_END_ALLOW_THREADS
        result = results_give(&sim_sample_interface, module, &out);
    }
    PyMem_Free(spaces);
    return result;
}

INTERFACE(sim_sample, "Simulated", "Checks on a simulated space; see _native.pyi.")
