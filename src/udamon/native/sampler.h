/* The native sampler: one whole stretch of ticks in one call, with any primitive. */
#ifndef UDAMON_SAMPLER_H
#define UDAMON_SAMPLER_H

#include "check.h"
#include "clock.h"
#include "visits.h"

/* What is asked of a stretch, and what comes of it, as functions that run one say in ARGUMENTS and RESULTS. */
#define STRETCH_ARGUMENTS(ARRAY, VALUE)                                                                               \
    ARRAY(pagemaps, i, READ, "t") /* descriptors, one a target; GONE, PHYSICAL */                                     \
    ARRAY(slot_target, I, READ, "n") ARRAY(slot_start, Q, READ, "n") ARRAY(slot_end, Q, READ, "n")                    \
    ARRAY(slot_checks, I, READ, "n") ARRAY(slot_span, I, READ, "n")                                                   \
    ARRAY(visited, i, READ, "") /* processors to visit after each tick's preparations */                              \
    VALUE(flags_fd, i) VALUE(bitmap_fd, i) VALUE(event_fd, i) VALUE(begin_ns, q) VALUE(ticks, I) VALUE(tick_ns, q)    \
    VALUE(seed, Q)
#define STRETCH_RESULTS(ARRAY, VALUE)                                                                                 \
    VALUE(done, I) ARRAY(hits, I) ARRAY(no_page, I) ARRAY(slot, I) ARRAY(address, Q) ARRAY(span, I) ARRAY(answer, B)  \
    ARRAY(shift, B) ARRAY(late_ns, q) ARRAY(gone, B) ARRAY(errnos, I) ARRAY(calls, Q)

/* A struct stretch of what such a function was given. */
#define STRETCH_OF(in)                                                                                                \
    {                                                                                                                 \
        .slots = (in)->slot_target.count, .targets = (in)->pagemaps.count, .slot_target = (in)->slot_target.at,       \
        .slot_start = (in)->slot_start.at, .slot_end = (in)->slot_end.at, .slot_checks = (in)->slot_checks.at,        \
        .slot_span = (in)->slot_span.at, .visits = {.cpu = (in)->visited.at, .count = (in)->visited.count},           \
        .event = (in)->event_fd, .begin_ns = (in)->begin_ns, .ticks = (in)->ticks, .tick_ns = (in)->tick_ns,          \
        .seed = mix((in)->seed)                                                                                       \
    }
/* How many items its results have. */
#define STRETCH_COUNTS(s)                                                                                             \
    .done = (uint32_t)(s)->done, .hits.count = (s)->slots, .no_page.count = (s)->slots, .slot.count = (s)->made,      \
    .address.count = (s)->made, .span.count = (s)->made, .answer.count = (s)->made, .shift.count = (s)->made,         \
    .late_ns.count = (s)->done, .gone.count = (s)->targets
/* Where they go. */
#define STRETCH_ANSWERS(out)                                                                                          \
    (&(struct answers){(out)->hits.at, (out)->no_page.at, (out)->slot.at, (out)->span.at, (out)->address.at,          \
                       (out)->answer.at, (out)->shift.at, (out)->late_ns.at})

struct answers {
    uint32_t *hits, *no_page, *slot, *span;
    uint64_t *address;
    uint8_t *answer, *shift;
    int64_t *late;
};

struct stretch {
    struct primitive primitive;
    size_t slots, targets;
    const uint32_t *slot_target, *slot_checks, *slot_span;
    const uint64_t *slot_start, *slot_end;
    struct visits visits;
    int event;
    uint32_t ticks;
    int64_t begin_ns, tick_ns;
    uint64_t seed;
    unsigned long done; /* ticks */
    size_t made;        /* checks of those ticks */
    size_t total;       /* checks of all ticks; known after stretch_begin */
    /* working memory */
    struct check *checks;     /* in order of their tick */
    struct check **by_due;    /* the same, in order of when they are looked at */
    size_t *first, *first_due; /* where each tick begins in those: ticks + 2 entries */
    struct check **batch;
    struct keyed *keyed;       /* what each tick prepares, by key: first[tick] + 0 … prepared[tick] */
    size_t *prepared;
    uint32_t *pending; /* hash table of checks that wait, by key; NULL when none can share one */
    size_t pending_mask;
    int64_t *late;
};

/* -1 with ValueError or MemoryError. stretch_end comes in any case. */
int stretch_begin(struct stretch *s);
/* Without the interpreter's lock. */
void stretch_run(struct stretch *s);
void stretch_answers(const struct stretch *s, const struct answers *out);
void stretch_end(struct stretch *s);

#endif
