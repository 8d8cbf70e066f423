/* The native sampler: one whole stretch of ticks in one call, the interpreter's lock released.
 *
 * It only keeps time and order: on its tick a check picks a random page of its slot and prepares it; `span`
 * ticks later it is looked at. What a check does is in idle.c. There is no policy here.
 */
#include "idle.h"
#include "native.h"
#include "order.h"
#include "visits.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(pagemaps, i, READ, "") /* descriptors, one a target; GONE, PHYSICAL */                                      \
    ARRAY(slot_target, I, READ, "n") ARRAY(slot_start, Q, READ, "n") ARRAY(slot_end, Q, READ, "n")                    \
    ARRAY(slot_checks, I, READ, "n") ARRAY(slot_span, I, READ, "n")                                                   \
    ARRAY(visited, i, READ, "") /* processors to visit after each tick's preparations */                              \
    VALUE(flags_fd, i) VALUE(bitmap_fd, i) VALUE(event_fd, i) VALUE(begin_ns, q) VALUE(ticks, I) VALUE(tick_ns, q)    \
    VALUE(seed, Q)
#define RESULTS(ARRAY, VALUE)                                                                                         \
    VALUE(done, I) ARRAY(hits, I) ARRAY(no_page, I) ARRAY(slot, I) ARRAY(address, Q) ARRAY(span, I) ARRAY(answer, B)  \
    ARRAY(shift, B) ARRAY(late_ns, q) ARRAY(gone, B) ARRAY(errnos, I) ARRAY(calls, Q)
#define CONSTANTS(C) C(GONE, GONE) C(PHYSICAL, PHYSICAL) C(WITHHELD, WITHHELD) C(ERRNOS, ERRNOS)
#include "interface.h"

enum { LONG_TICK_NS = 20 * 1000 * 1000, LEAST_LEAD_NS = 2 * 1000 * 1000 };

struct call {
    const struct arguments *in;
    struct files files;
    struct visits visits;
    int event;
    unsigned long ticks;
    long long begin_ns, tick_ns;
    uint64_t seed;
    /* working memory */
    struct check *checks;     /* in order of their tick */
    struct check **by_due;    /* the same, in order of when they are looked at */
    size_t *first, *first_due; /* where each tick begins in those: ticks + 2 entries */
    struct check **batch;
    struct keyed *framed;      /* what each tick prepares, by frame: first[tick] + 0 … prepared[tick] */
    size_t *prepared;
    uint32_t *pending; /* hash table of checks that wait, by frame; NULL when none can share a frame */
    size_t pending_mask;
    int64_t *late;
    size_t total;
    unsigned long done;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Sleep until `deadline`; 1 when the eventfd was written to. */
static int sleep_until(int event, int64_t deadline)
{
    struct pollfd waited = {.fd = event, .events = POLLIN};
    for (;;) {
        int64_t left = deadline - now_ns();
        if (left < 0)
            left = 0;
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        int found = ppoll(&waited, 1, &timeout, NULL);
        if (found > 0)
            return 1;
        if (found == 0)
            return 0;
    }
}

static uint32_t *pending_of(struct call *c, uint64_t frame)
{
    size_t place = mix(frame) & c->pending_mask;
    while (c->pending[place] != NONE && c->checks[c->pending[place]].frame != frame)
        place = (place + 1) & c->pending_mask;
    return &c->pending[place];
}

/* Whether `older` was prepared in an earlier tick than `check`, of the same frame, and is still to be looked at: that
 * of this tick comes after the marks. */
static int waits(const struct check *older, const struct check *check)
{
    return older->prepared < check->prepared && older->due >= check->prepared && !older->seen;
}

static int accessed(struct call *c, uint64_t frame)
{
    struct check probe = {.frame = frame};
    struct keyed one = {frame, &probe};
    idle_read(&c->files, &one, 1);
    return probe.answer == ACCESSED;
}

/* Setting an idle bit again would wipe out what a waiting check of that frame has to see: look first. Those of
 * the same tick have nothing to see yet, for their bits are set together after this. */
static void keep_evidence(struct call *c, struct check *check)
{
    uint32_t *slot = pending_of(c, check->frame), index = (uint32_t)(check - c->checks);
    int waiting = 0;
    for (uint32_t i = *slot; i != NONE; i = c->checks[i].next)
        waiting |= waits(&c->checks[i], check);
    if (waiting && accessed(c, check->frame))
        for (uint32_t i = *slot; i != NONE; i = c->checks[i].next)
            if (waits(&c->checks[i], check))
                c->checks[i].seen = 1;
    check->next = *slot;
    *slot = index;
}

/* The same where all spans are one tick: what waits are the checks of the tick before, sorted as these are. */
static void keep_last_evidence(struct call *c, unsigned long tick)
{
    const struct keyed *new = c->framed + c->first[tick], *end = new + c->prepared[tick];
    const struct keyed *old = c->framed + c->first[tick - 1], *old_end = old + c->prepared[tick - 1];
    for (; new < end && old < old_end; new++) {
        while (old < old_end && old->key < new->key)
            old++;
        if (old < old_end && old->key == new->key && accessed(c, new->key))
            for (; old < old_end && old->key == new->key; old++)
                old->check->seen = 1;
    }
}

/* Choose the pages of a tick's checks and find their frames. */
static void find(struct call *c, unsigned long tick)
{
    const uint64_t *start = c->in->slot_start.at, *end = c->in->slot_end.at;
    size_t count = c->first[tick + 1] - c->first[tick];
    for (size_t i = 0; i < count; i++) {
        struct check *check = c->batch[i] = &c->checks[c->first[tick] + i];
        uint64_t first = start[check->slot] >> page_shift;
        uint64_t pages = ((end[check->slot] - 1) >> page_shift) - first + 1;
        c->seed = mix(c->seed);
        check->address = (first + (uint64_t)(((unsigned __int128)c->seed * pages) >> 64)) << page_shift;
        check->shift = page_shift;
        check->next = NONE;
    }
    sort_by_address(c->batch, count);
    idle_find(&c->files, c->batch, count);
    struct keyed *framed = c->framed + c->first[tick];
    size_t found = sort_by_frame(c->batch, count, framed);
    if (idle_classify(&c->files, framed, found)) /* heads have taken the place of tails, or pages fell away */
        found = sort_by_frame(c->batch, count, framed);
    c->prepared[tick] = found;
}

/* Set the idle bits of what was found for a tick, and have accesses seen from now on. */
static void mark(struct call *c, unsigned long tick)
{
    struct keyed *framed = c->framed + c->first[tick];
    size_t found = c->prepared[tick];
    if (found == 0)
        return;
    if (c->pending != NULL)
        for (size_t i = 0; i < found; i++)
            keep_evidence(c, framed[i].check);
    else if (tick > 0)
        keep_last_evidence(c, tick);
    idle_set(&c->files, framed, found);
    visits_make(&c->visits);
}

/* Read the bits of what is due; it stays in `batch`, to be confirmed. Returns its number. */
static size_t look(struct call *c, size_t from, size_t to, unsigned long tick)
{
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        if (c->by_due[i]->prepared < tick && c->by_due[i]->answer != NO_PAGE) {
            c->batch[count] = c->by_due[i];
            c->batch[count++]->due = (uint32_t)tick;
        }
    /* With spans of one tick these are the ones that the last tick prepared, and they are sorted already. */
    struct keyed *framed = c->framed + (c->pending == NULL && tick > 0 ? c->first[tick - 1] : c->total);
    size_t found = c->pending == NULL && tick > 0 ? c->prepared[tick - 1] : sort_by_frame(c->batch, count, framed);
    idle_read(&c->files, framed, found);
    return count;
}

/* After the look: a page that went away after it was confirmed would read as accessed. */
static void confirm(struct call *c, size_t count)
{
    sort_by_address(c->batch, count);
    idle_confirm(&c->files, c->batch, count);
}

static void run(struct call *c)
{
    int slack = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1);
    visits_begin(&c->visits);
    unsigned long tick;
    int stop = 0;
    int64_t lead = LEAST_LEAD_NS;
    for (tick = 0; tick < c->ticks; tick++) {
        int64_t deadline = c->begin_ns + (int64_t)tick * c->tick_ns;
        /* Pages are found before the tick begins; where ticks are long, not long before: what is found may move. */
        if (c->tick_ns > LONG_TICK_NS && (stop = sleep_until(c->event, deadline - lead)))
            break;
        int64_t began = now_ns();
        find(c, tick);
        int64_t took = now_ns() - began;
        lead = 2 * took > LEAST_LEAD_NS ? 2 * took : LEAST_LEAD_NS;
        stop = sleep_until(c->event, deadline);
        if (stop)
            break;
        c->late[tick] = now_ns() - deadline;
        /* Hurrying after lost time would look at pages sooner than a tick after they were prepared. */
        if (c->late[tick] > c->tick_ns / 2)
            c->begin_ns += c->late[tick];
        /* The marks first, so that a tick lies between them and their look however long looks take. */
        mark(c, tick);
        confirm(c, look(c, c->first_due[tick], c->first_due[tick + 1], tick));
    }
    if (!stop)
        sleep_until(c->event, c->begin_ns + (int64_t)tick * c->tick_ns);
    /* The last look; after an interrupt, of everything that still waits. */
    if (tick > 0)
        confirm(c, look(c, c->first_due[tick], c->total, tick));
    c->done = tick;
    visits_end(&c->visits);
    prctl(PR_SET_TIMERSLACK, slack > 0 ? slack : 0);
}

/* Lay the checks out by their ticks. */
static int plan(struct call *c)
{
    const uint32_t *target = c->in->slot_target.at, *checks = c->in->slot_checks.at;
    const uint32_t *spans = c->in->slot_span.at;
    size_t slots = c->in->slot_start.count, ticks = c->ticks;
    int longer = 0;
    for (size_t i = 0; i < slots; i++) {
        c->total += checks[i];
        longer |= spans[i] > 1;
    }
    if (c->total > MOST_ITEMS)
        return 0;
    size_t buckets = 4;
    while (buckets < 2 * c->total)
        buckets *= 2;
    c->checks = calloc(c->total + 1, sizeof(*c->checks));
    c->by_due = calloc(c->total + 1, sizeof(*c->by_due));
    c->batch = calloc(c->total + 1, sizeof(*c->batch));
    c->framed = calloc(2 * c->total + 1, sizeof(*c->framed)); /* the second half is for looks that must sort */
    c->prepared = calloc(ticks + 1, sizeof(*c->prepared));
    c->first = calloc(ticks + 2, sizeof(*c->first));
    c->first_due = calloc(ticks + 2, sizeof(*c->first_due));
    c->late = calloc(ticks + 1, sizeof(*c->late));
    if (longer && (c->pending = malloc(buckets * sizeof(*c->pending))) != NULL)
        memset(c->pending, 0xFF, buckets * sizeof(*c->pending)); /* NONE everywhere */
    c->pending_mask = buckets - 1;
    size_t *place = calloc(ticks + 2, sizeof(*place));
    int ready = c->checks && c->by_due && c->batch && c->framed && c->prepared && c->first && c->first_due && c->late && place &&
                (!longer || c->pending);
    if (ready) {
        for (size_t i = 0; i < slots; i++)
            for (uint32_t k = 0; k < checks[i]; k++)
                c->first[tick_of(i, k, checks[i], ticks, spans[i]) + 1]++;
        for (size_t t = 0; t <= ticks; t++)
            c->first[t + 1] += c->first[t];
        memcpy(place, c->first, (ticks + 2) * sizeof(*place));
        for (size_t i = 0; i < slots; i++)
            for (uint32_t k = 0; k < checks[i]; k++) {
                size_t tick = tick_of(i, k, checks[i], ticks, spans[i]);
                size_t due = spans[i] < ticks - tick ? tick + spans[i] : ticks;
                struct check *check = &c->checks[place[tick]++];
                *check = (struct check){.slot = (uint32_t)i, .target = target[i], .prepared = (uint32_t)tick,
                                        .due = (uint32_t)due, .answer = NO_PAGE};
                c->first_due[due + 1]++;
            }
        for (size_t t = 0; t <= ticks; t++)
            c->first_due[t + 1] += c->first_due[t];
        memcpy(place, c->first_due, (ticks + 2) * sizeof(*place));
        for (size_t i = 0; i < c->total; i++)
            c->by_due[place[c->checks[i].due]++] = &c->checks[i];
    }
    free(place);
    return ready;
}

static void release(struct call *c)
{
    free(c->checks);
    free(c->by_due);
    free(c->batch);
    free(c->framed);
    free(c->prepared);
    free(c->first);
    free(c->first_due);
    free(c->late);
    free(c->pending);
    free(c->files.gone);
}

static int begin(struct call *c)
{
    const struct arguments *in = c->in;
    for (size_t i = 0; i < in->slot_target.count; i++)
        if (in->slot_target.at[i] >= in->pagemaps.count || in->slot_start.at[i] >= in->slot_end.at[i] || in->slot_span.at[i] == 0) {
            PyErr_SetString(PyExc_ValueError, "a slot is empty, has no span, or names no target");
            return -1;
        }
    if (in->ticks > MOST_TICKS || (in->ticks == 0 && in->slot_target.count > 0) || in->tick_ns < 0 || in->begin_ns < 0 ||
        in->begin_ns > INT64_MAX / 4 || in->tick_ns > INT64_MAX / 4 / ((int64_t)in->ticks + 1)) {
        PyErr_SetString(PyExc_ValueError, "a stretch has some ticks, and each some length");
        return -1;
    }
    c->files.flags = in->flags_fd;
    c->files.bitmap = in->bitmap_fd;
    c->files.pagemap = in->pagemaps.at;
    c->visits.cpu = in->visited.at;
    c->visits.count = in->visited.count;
    c->files.gone = calloc(in->pagemaps.count + 1, 1);
    if (c->files.gone == NULL || !plan(c)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static void fill(const struct call *c, struct results *out)
{
    for (size_t i = 0; i < out->slot.count; i++) {
        const struct check *check = &c->checks[i];
        out->slot.at[i] = check->slot;
        out->span.at[i] = check->due - check->prepared;
        out->address.at[i] = check->address;
        out->answer.at[i] = check->answer;
        out->shift.at[i] = check->shift;
        out->hits.at[check->slot] += check->answer == ACCESSED;
        out->no_page.at[check->slot] += check->answer == NO_PAGE;
    }
    memcpy(out->late_ns.at, c->late, c->done * sizeof(*c->late));
    memcpy(out->gone.at, c->files.gone, out->gone.count);
    memcpy(out->errnos.at, c->files.errnos, sizeof(c->files.errnos));
    memcpy(out->calls.at, c->files.calls, sizeof(c->files.calls));
}

static PyObject *give(PyObject *module, const struct call *c)
{
    size_t slots = c->in->slot_start.count, made = c->first[c->done];
    struct results out = {
        .done = (uint32_t)c->done, .hits.count = slots, .no_page.count = slots, .slot.count = made, .address.count = made,
        .span.count = made, .answer.count = made, .shift.count = made, .late_ns.count = c->done,
        .gone.count = c->in->pagemaps.count, .errnos.count = ERRNOS, .calls.count = CALLS,
    };
    if (results_make(&idle_sample_interface, &out) < 0)
        return NULL;
    fill(c, &out);
    return results_give(&idle_sample_interface, module, &out);
}

static PyObject *idle_sample(PyObject *module, struct arguments *in)
{
    struct call c = {.in = in, .event = in->event_fd, .begin_ns = in->begin_ns, .ticks = in->ticks, .tick_ns = in->tick_ns,
                     .seed = mix(in->seed)};
    PyObject *result = NULL;
    if (begin(&c) == 0) {
        Py_BEGIN_ALLOW_THREADS
        run(&c);
        Py_END_ALLOW_THREADS
        result = give(module, &c);
    }
    release(&c);
    return result;
}

INTERFACE(idle_sample, "Sampled", "Checks by idle page tracking; see _native.pyi.")
