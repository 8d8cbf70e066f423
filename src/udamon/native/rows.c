/* The rows of a recording, checked where they enter: what every later reader may rely on. */
#include "arrow.h"

#include <string.h>

enum { TIME, BEGIN, SEQ, TARGET, PID, START, END, NR_ACCESSES, TICKS, SAMPLE_NS, AGE, TOUCHED, RESIDENT, EVENT, DATA,
       PRIVATE, ANONYMOUS, TOUCHED_MIN, OBJECT, FILE_OFFSET, DISTINCT, SAME_AS, ACCESS_RATE, RATE_LOW, RATE_HIGH,
       TOUCHED_LOW, TOUCHED_HIGH, IDLE_CHECKS, IDLE_HITS, IDLE_BYTES, IDLE_MIXED, COLUMNS };
static const Wanted wanted[COLUMNS] = {
    {"time", "l"}, {"begin", "l"}, {"seq", "l"}, {"target", "i"}, {"pid", "i"}, {"start", "L"}, {"end", "L"},
    {"nr_accesses", "I"}, {"ticks", "I"}, {"sample_ns", "l"}, {"age", "I"}, {"touched", "L"}, {"resident", "L"},
    {"event", "u"}, {"data", "u"}, {"private", "L"}, {"anonymous", "L"}, {"touched_min", "L"}, {"object", "L"},
    {"file_offset", "L"}, {"distinct", "L"}, {"same_as", "i"}, {"access_rate", "g"}, {"rate_low", "g"}, {"rate_high", "g"},
    {"touched_low", "L"}, {"touched_high", "L"}, {"idle_checks", "I"}, {"idle_hits", "I"},
    {"idle_bytes", "L"}, {"idle_mixed", "L"},
};

/* Sums and differences of two of these fit into 64 bits: 73 years in ns. */
#define FARTHEST ((int64_t)1 << 61)
enum { SMALLEST_PAGE = 4096 }; /* of all machines: the recording may be of another one */

/* The last snapshot of a target; a slot is shared by all targets whose index is the same modulo the slots. */
typedef struct {
    int64_t time, seq;
    int32_t target, used;
} Last;

#define ITEM_last Last
#define FORMAT_last 'B'
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    VALUE(schema, O) VALUE(batch, O) /* capsules of Arrow's C data interface */                                       \
    ARRAY(state, last, WRITE, "") VALUE(strict, p)
#define RESULTS(ARRAY, VALUE) VALUE(why, z) VALUE(row, q) VALUE(snapshots, q) VALUE(events, q)
#define CONSTANTS(C) C(ROW_STATE_BYTES, sizeof(Last)) C(SMALLEST_PAGE, SMALLEST_PAGE)
#include "interface.h"

static int far(int64_t value)
{
    return value > FARTHEST || value < -FARTHEST;
}

/* Whether two rows have the same value, or both none, in a column of 4 or 8 bytes. */
static int same(const Column *column, int64_t a, int64_t b, int wide)
{
    int there = column_has(column, a);
    if (there != column_has(column, b))
        return 0;
    return !there || (wide ? COLUMN_AT(column, int64_t, a) == COLUMN_AT(column, int64_t, b)
                           : COLUMN_AT(column, int32_t, a) == COLUMN_AT(column, int32_t, b));
}

/* What is wrong with the columns that all rows of a snapshot share; NULL for nothing. */
static const char *wrong_snapshot(const Column *column, int64_t row, Last *last, size_t slots, int strict)
{
    for (int i = BEGIN; i <= TARGET; i++)
        if (!column_has(&column[i], row))
            return "a snapshot has no begin, seq or target";
    if (!column_has(&column[TICKS], row) || !column_has(&column[SAMPLE_NS], row))
        return "a snapshot has no ticks or no length of a tick";
    int64_t time = COLUMN_AT(&column[TIME], int64_t, row), begin = COLUMN_AT(&column[BEGIN], int64_t, row);
    int64_t seq = COLUMN_AT(&column[SEQ], int64_t, row), sample = COLUMN_AT(&column[SAMPLE_NS], int64_t, row);
    int32_t target = COLUMN_AT(&column[TARGET], int32_t, row);
    uint32_t ticks = COLUMN_AT(&column[TICKS], uint32_t, row);
    if (far(time) || far(begin) || far(seq))
        return "a time or the number of an aggregation is too far from 0";
    if (begin > time)
        return "a window ends before it begins";
    if (ticks == 0 || sample <= 0 || sample > FARTHEST / ticks)
        return "the ticks of a window or their length are not possible";
    if (target < 0 || (column_has(&column[PID], row) && COLUMN_AT(&column[PID], int32_t, row) < 0))
        return "the index or the pid of a target is negative";
    if (column_has(&column[SAME_AS], row) && COLUMN_AT(&column[SAME_AS], int32_t, row) < 0)
        return "the target whose address space this one's is is negative";
    int bounded = column_has(&column[TOUCHED_LOW], row);
    if (column_has(&column[TOUCHED_HIGH], row) != bounded)
        return "the bytes touched have one bound";
    if (bounded && COLUMN_AT(&column[TOUCHED_LOW], uint64_t, row) > COLUMN_AT(&column[TOUCHED_HIGH], uint64_t, row))
        return "the lower bound of the bytes touched is above the upper one";
    Last *mine = &last[(size_t)target % slots];
    if (mine->used && mine->target == target && (seq <= mine->seq || (strict && time < mine->time)))
        return "a snapshot is not later than the one before it of its target";
    int checked = column_has(&column[IDLE_CHECKS], row);
    for (int i = IDLE_HITS; i <= IDLE_MIXED; i++)
        if (column_has(&column[i], row) != checked)
            return "what is known of idle memory lacks some of its values";
    if (checked && COLUMN_AT(&column[IDLE_HITS], uint32_t, row) > COLUMN_AT(&column[IDLE_CHECKS], uint32_t, row))
        return "more checks of idle memory met accesses than there were";
    *mine = (Last){time, seq, target, 1};
    return NULL;
}

/* What is wrong with what a row says of others who have the same pages. */
static const char *wrong_sharing(const Column *column, int64_t row, uint64_t size)
{
    static const int amounts[] = {PRIVATE, ANONYMOUS, TOUCHED_MIN, DISTINCT};
    int known = column_has(&column[PRIVATE], row);
    if (column_has(&column[ANONYMOUS], row) != known || column_has(&column[TOUCHED_MIN], row) != known ||
        column_has(&column[OBJECT], row) != known ||
        (!known && (column_has(&column[FILE_OFFSET], row) || column_has(&column[DISTINCT], row))))
        return "what is known of the pages of a region lacks some of its values";
    for (size_t i = 0; i < sizeof(amounts) / sizeof(*amounts); i++)
        if (column_has(&column[amounts[i]], row) && COLUMN_AT(&column[amounts[i]], uint64_t, row) > size)
            return "more of a region is private, anonymous, touched or distinct than there is";
    if (column_has(&column[FILE_OFFSET], row) && COLUMN_AT(&column[FILE_OFFSET], uint64_t, row) > UINT64_MAX - size)
        return "a region lies beyond the end of every file";
    return NULL;
}

/* What is wrong with how often a row says that its pages were accessed. */
static const char *wrong_rate(const Column *column, int64_t row)
{
    int known = column_has(&column[ACCESS_RATE], row);
    if (column_has(&column[RATE_LOW], row) != known || column_has(&column[RATE_HIGH], row) != known)
        return "a rate has no interval, or an interval no rate";
    if (!known)
        return NULL;
    double rate = COLUMN_AT(&column[ACCESS_RATE], double, row), low = COLUMN_AT(&column[RATE_LOW], double, row);
    double high = COLUMN_AT(&column[RATE_HIGH], double, row);
    return 0 <= low && low <= rate && rate <= high && high <= 1 ? NULL : "a rate is not within its interval";
}

/* What is wrong with the region of a row that has one. */
static const char *wrong_region(const Column *column, int64_t row, int first, int strict)
{
    for (int i = START; i <= TOUCHED; i++)
        if (!column_has(&column[i], row))
            return "a region lacks some of its values";
    uint64_t start = COLUMN_AT(&column[START], uint64_t, row), end = COLUMN_AT(&column[END], uint64_t, row);
    if (start >= end)
        return "a region ends where it begins, or before";
    if (strict && ((start | end) & (SMALLEST_PAGE - 1)) != 0)
        return "a region does not begin or end at a page";
    if (!first && start < COLUMN_AT(&column[END], uint64_t, row - 1))
        return "regions of a snapshot overlap or are out of order";
    if (COLUMN_AT(&column[NR_ACCESSES], uint32_t, row) > COLUMN_AT(&column[TICKS], uint32_t, row))
        return "a region was accessed in more ticks than there were";
    if (COLUMN_AT(&column[TOUCHED], uint64_t, row) > end - start)
        return "more of a region was touched than there is";
    if (column_has(&column[RESIDENT], row) && COLUMN_AT(&column[RESIDENT], uint64_t, row) > end - start)
        return "more of a region is resident than there is";
    const char *why = wrong_rate(column, row);
    return why != NULL ? why : wrong_sharing(column, row, end - start);
}

static const char *wrong_row(const Column *column, int64_t row, int first, int strict)
{
    static const int shared[] = {BEGIN, SAMPLE_NS, TOUCHED_LOW, TOUCHED_HIGH, IDLE_BYTES, IDLE_MIXED,
                                 PID, TICKS, SAME_AS, IDLE_CHECKS, IDLE_HITS};
    enum { WIDE = 6 }; /* the first of them have 8 bytes */
    for (size_t i = 0; !first && i < sizeof(shared) / sizeof(*shared); i++)
        if (!same(&column[shared[i]], row, row - 1, i < WIDE))
            return "rows of one snapshot contradict each other";
    if (column_has(&column[START], row)) {
        if (!first && (!column_has(&column[START], row - 1) || column_has(&column[RESIDENT], row) != column_has(&column[RESIDENT], row - 1)))
            return "rows of one snapshot contradict each other";
        return wrong_region(column, row, first, strict);
    }
    for (int i = END; i <= RESIDENT; i++)
        if (i != TICKS && i != SAMPLE_NS && column_has(&column[i], row))
            return "a region lacks some of its values";
    for (int i = PRIVATE; i < COLUMNS; i++) /* the bounds, too: where nothing is, nothing is estimated */
        if (i != SAME_AS && column_has(&column[i], row))
            return "a region lacks some of its values";
    return first ? NULL : "a snapshot without regions has several rows";
}

static void check(const Column *column, int64_t rows, Last *last, size_t slots, int strict, struct results *found)
{
    for (int64_t row = 0; row < rows; row++) {
        found->row = row;
        if (!column_has(&column[TIME], row)) {
            found->why = "a row has no time";
            return;
        }
        int event = column_has(&column[EVENT], row);
        if (event != column_has(&column[DATA], row)) {
            found->why = "an event has no name or no data";
            return;
        }
        if (row && event != (found->events > 0)) {
            found->why = "events and snapshots are in one batch";
            return;
        }
        if (event) {
            if (far(COLUMN_AT(&column[TIME], int64_t, row))) {
                found->why = "the time of an event is too far from 0";
                return;
            }
            found->events++;
            continue;
        }
        int first = row == 0 || !same(&column[TIME], row, row - 1, 1) || !same(&column[SEQ], row, row - 1, 1) ||
                    !same(&column[TARGET], row, row - 1, 0);
        if (first && (found->why = wrong_snapshot(column, row, last, slots, strict)) != NULL)
            return;
        if ((found->why = wrong_row(column, row, first, strict)) != NULL)
            return;
        found->snapshots += first;
    }
}

static PyObject *check_rows(PyObject *module, struct arguments *in)
{
    Column column[COLUMNS];
    struct results found = {0}; /* why is NULL: nothing is wrong */
    int64_t rows = 0;
    if (in->state.count == 0) {
        PyErr_SetString(PyExc_ValueError, "there is no room for the state");
        return NULL;
    }
    if (arrow_columns(in->schema, in->batch, wanted, column, COLUMNS, &rows) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    check(column, rows, in->state.at, in->state.count, in->strict, &found);
    Py_END_ALLOW_THREADS
    return results_give(&check_rows_interface, module, &found);
}

INTERFACE(check_rows, "RowsChecked", "What is wrong with a record batch; see _native.pyi.")
