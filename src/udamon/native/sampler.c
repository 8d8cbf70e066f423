/* The native sampler: one whole stretch of ticks in one call, the interpreter's lock released.
 *
 * It only keeps time and order: on its tick a check picks a random page of its slot and prepares it; `span`
 * ticks later it is looked at. What a check does is the primitive's. There is no policy here.
 */
#include "sampler.h"
#include "native.h"
#include "order.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { LONG_TICK_NS = 20 * 1000 * 1000, LEAST_LEAD_NS = 2 * 1000 * 1000 };

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

static uint32_t *pending_of(struct stretch *s, uint64_t key)
{
    size_t place = mix(key) & s->pending_mask;
    while (s->pending[place] != NONE && s->checks[s->pending[place]].key != key)
        place = (place + 1) & s->pending_mask;
    return &s->pending[place];
}

/* Whether `older` was prepared in an earlier tick than `check`, of the same key, and is still to be looked at: that
 * of this tick comes after the marks. */
static int waits(const struct check *older, const struct check *check)
{
    return older->prepared < check->prepared && older->due >= check->prepared && !older->seen &&
           older->answer != NO_PAGE;
}

static int accessed(struct stretch *s, const struct check *waiting)
{
    struct check probe = *waiting;
    struct keyed one = {probe.key, &probe};
    s->primitive.read(s->primitive.self, &one, 1);
    return probe.answer == ACCESSED;
}

/* Clearing accessed state again would wipe out what a waiting check of that key has to see: look first. Those of
 * the same tick have nothing to see yet, for theirs is cleared together after this. */
static void keep_evidence(struct stretch *s, struct check *check)
{
    uint32_t *slot = pending_of(s, check->key), index = (uint32_t)(check - s->checks);
    const struct check *waiting = NULL;
    for (uint32_t i = *slot; i != NONE; i = s->checks[i].next)
        if (waits(&s->checks[i], check))
            waiting = &s->checks[i];
    if (waiting != NULL && accessed(s, waiting))
        for (uint32_t i = *slot; i != NONE; i = s->checks[i].next)
            if (waits(&s->checks[i], check))
                s->checks[i].seen = 1;
    check->next = *slot;
    *slot = index;
}

/* The same where all spans are one tick: what waits are the checks of the tick before, sorted as these are. */
static void keep_last_evidence(struct stretch *s, unsigned long tick)
{
    const struct keyed *new = s->keyed + s->first[tick], *end = new + s->prepared[tick];
    const struct keyed *old = s->keyed + s->first[tick - 1], *old_end = old + s->prepared[tick - 1];
    for (; new < end && old < old_end; new++) {
        while (old < old_end && old->key < new->key)
            old++;
        if (old < old_end && old->key == new->key && waits(old->check, new->check) && accessed(s, old->check))
            for (; old < old_end && old->key == new->key; old++)
                old->check->seen = 1;
    }
}

/* Choose the pages of a tick's checks and find their keys. */
static void find(struct stretch *s, unsigned long tick)
{
    const uint64_t *start = s->slot_start, *end = s->slot_end;
    size_t count = s->first[tick + 1] - s->first[tick];
    for (size_t i = 0; i < count; i++) {
        struct check *check = s->batch[i] = &s->checks[s->first[tick] + i];
        uint64_t first = start[check->slot] >> page_shift;
        uint64_t pages = ((end[check->slot] - 1) >> page_shift) - first + 1;
        s->seed = mix(s->seed);
        check->address = (first + (uint64_t)(((unsigned __int128)s->seed * pages) >> 64)) << page_shift;
        check->shift = page_shift;
        check->next = NONE;
    }
    sort_by_address(s->batch, count);
    const struct primitive *p = &s->primitive;
    p->find(p->self, s->batch, count);
    struct keyed *keyed = s->keyed + s->first[tick];
    size_t found = sort_by_key(s->batch, count, keyed);
    if (p->classify != NULL && p->classify(p->self, keyed, found))
        found = sort_by_key(s->batch, count, keyed);
    s->prepared[tick] = found;
}

/* Clear the accessed state of what was found for a tick, and have accesses seen from now on. */
static void mark(struct stretch *s, unsigned long tick)
{
    struct keyed *keyed = s->keyed + s->first[tick];
    size_t found = s->prepared[tick];
    if (found == 0)
        return;
    if (s->pending != NULL)
        for (size_t i = 0; i < found; i++)
            keep_evidence(s, keyed[i].check);
    else if (tick > 0)
        keep_last_evidence(s, tick);
    s->primitive.set(s->primitive.self, keyed, found);
    visits_make(&s->visits);
}

/* Read the bits of what is due; it stays in `batch`, to be confirmed. Returns its number. */
static size_t look(struct stretch *s, size_t from, size_t to, unsigned long tick)
{
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        if (s->by_due[i]->prepared < tick && s->by_due[i]->answer != NO_PAGE) {
            s->batch[count] = s->by_due[i];
            s->batch[count++]->due = (uint32_t)tick;
        }
    /* With spans of one tick these are the ones that the last tick prepared, and they are sorted already. */
    struct keyed *keyed = s->keyed + (s->pending == NULL && tick > 0 ? s->first[tick - 1] : s->total);
    size_t found = s->pending == NULL && tick > 0 ? s->prepared[tick - 1] : sort_by_key(s->batch, count, keyed);
    s->primitive.read(s->primitive.self, keyed, found);
    return count;
}

/* After the look: a page that went away after it was confirmed would read as accessed. */
static void confirm(struct stretch *s, size_t count)
{
    sort_by_address(s->batch, count);
    s->primitive.confirm(s->primitive.self, s->batch, count);
}

void stretch_run(struct stretch *s)
{
    int slack = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1);
    visits_begin(&s->visits);
    unsigned long tick;
    int stop = 0;
    int64_t lead = LEAST_LEAD_NS;
    for (tick = 0; tick < s->ticks; tick++) {
        int64_t deadline = s->begin_ns + (int64_t)tick * s->tick_ns;
        /* Pages are found before the tick begins; where ticks are long, not long before: what is found may move. */
        if (s->tick_ns > LONG_TICK_NS && (stop = sleep_until(s->event, deadline - lead)))
            break;
        int64_t began = now_ns();
        find(s, tick);
        int64_t took = now_ns() - began;
        lead = 2 * took > LEAST_LEAD_NS ? 2 * took : LEAST_LEAD_NS;
        stop = sleep_until(s->event, deadline);
        if (stop)
            break;
        s->late[tick] = now_ns() - deadline;
        /* Hurrying after lost time would look at pages sooner than a tick after they were prepared. */
        if (s->late[tick] > s->tick_ns / 2)
            s->begin_ns += s->late[tick];
        /* The marks first, so that a tick lies between them and their look however long looks take. */
        mark(s, tick);
        confirm(s, look(s, s->first_due[tick], s->first_due[tick + 1], tick));
    }
    if (!stop)
        sleep_until(s->event, s->begin_ns + (int64_t)tick * s->tick_ns);
    /* The last look; after an interrupt, of everything that still waits. */
    if (tick > 0)
        confirm(s, look(s, s->first_due[tick], s->total, tick));
    s->done = tick;
    s->made = s->first[tick];
    visits_end(&s->visits);
    prctl(PR_SET_TIMERSLACK, slack > 0 ? slack : 0);
}

/* Lay the checks out by their ticks. */
static int plan(struct stretch *s)
{
    const uint32_t *target = s->slot_target, *checks = s->slot_checks;
    const uint32_t *spans = s->slot_span;
    size_t slots = s->slots, ticks = s->ticks;
    int longer = 0;
    for (size_t i = 0; i < slots; i++) {
        s->total += checks[i];
        longer |= spans[i] > 1;
    }
    if (s->total > MOST_ITEMS)
        return 0;
    size_t buckets = 4;
    while (buckets < 2 * s->total)
        buckets *= 2;
    s->checks = calloc(s->total + 1, sizeof(*s->checks));
    s->by_due = calloc(s->total + 1, sizeof(*s->by_due));
    s->batch = calloc(s->total + 1, sizeof(*s->batch));
    s->keyed = calloc(2 * s->total + 1, sizeof(*s->keyed)); /* the second half is for looks that must sort */
    s->prepared = calloc(ticks + 1, sizeof(*s->prepared));
    s->first = calloc(ticks + 2, sizeof(*s->first));
    s->first_due = calloc(ticks + 2, sizeof(*s->first_due));
    s->late = calloc(ticks + 1, sizeof(*s->late));
    if (longer && (s->pending = malloc(buckets * sizeof(*s->pending))) != NULL)
        memset(s->pending, 0xFF, buckets * sizeof(*s->pending)); /* NONE everywhere */
    s->pending_mask = buckets - 1;
    size_t *place = calloc(ticks + 2, sizeof(*place));
    int ready = s->checks && s->by_due && s->batch && s->keyed && s->prepared && s->first && s->first_due && s->late && place &&
                (!longer || s->pending);
    if (ready) {
        for (size_t i = 0; i < slots; i++)
            for (uint32_t k = 0; k < checks[i]; k++)
                s->first[tick_of(i, k, checks[i], ticks, spans[i]) + 1]++;
        for (size_t t = 0; t <= ticks; t++)
            s->first[t + 1] += s->first[t];
        memcpy(place, s->first, (ticks + 2) * sizeof(*place));
        for (size_t i = 0; i < slots; i++)
            for (uint32_t k = 0; k < checks[i]; k++) {
                size_t tick = tick_of(i, k, checks[i], ticks, spans[i]);
                size_t due = spans[i] < ticks - tick ? tick + spans[i] : ticks;
                struct check *check = &s->checks[place[tick]++];
                *check = (struct check){.slot = (uint32_t)i, .target = target[i], .prepared = (uint32_t)tick,
                                        .due = (uint32_t)due, .answer = NO_PAGE};
                s->first_due[due + 1]++;
            }
        for (size_t t = 0; t <= ticks; t++)
            s->first_due[t + 1] += s->first_due[t];
        memcpy(place, s->first_due, (ticks + 2) * sizeof(*place));
        for (size_t i = 0; i < s->total; i++)
            s->by_due[place[s->checks[i].due]++] = &s->checks[i];
    }
    free(place);
    return ready;
}

int stretch_begin(struct stretch *s)
{
    for (size_t i = 0; i < s->slots; i++)
        if (s->slot_target[i] >= s->targets || s->slot_start[i] >= s->slot_end[i] || s->slot_span[i] == 0) {
            PyErr_SetString(PyExc_ValueError, "a slot is empty, has no span, or names no target");
            return -1;
        }
    if (s->ticks > MOST_TICKS || (s->ticks == 0 && s->slots > 0) || s->tick_ns < 0 || s->begin_ns < 0 ||
        s->begin_ns > INT64_MAX / 4 || s->tick_ns > INT64_MAX / 4 / ((int64_t)s->ticks + 1)) {
        PyErr_SetString(PyExc_ValueError, "a stretch has some ticks, and each some length");
        return -1;
    }
    if (!plan(s)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void stretch_answers(const struct stretch *s, const struct answers *out)
{
    for (size_t i = 0; i < s->made; i++) {
        const struct check *check = &s->checks[i];
        out->slot[i] = check->slot;
        out->span[i] = check->due - check->prepared;
        out->address[i] = check->address;
        out->answer[i] = check->answer;
        out->shift[i] = check->shift;
        out->hits[check->slot] += check->answer == ACCESSED;
        out->no_page[check->slot] += check->answer == NO_PAGE;
    }
    memcpy(out->late, s->late, s->done * sizeof(*s->late));
}

void stretch_end(struct stretch *s)
{
    free(s->checks);
    free(s->by_due);
    free(s->batch);
    free(s->keyed);
    free(s->prepared);
    free(s->first);
    free(s->first_due);
    free(s->late);
    free(s->pending);
}
