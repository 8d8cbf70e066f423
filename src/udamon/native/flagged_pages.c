/* Pages of files and of shared memory that smaps may call referenced without an access through this page map: by the
 * flags of their frames (/proc/kpageflags).
 *
 * The kernel marks a frame itself as referenced for read(2), for accesses by others of the process's memory, and when who
 * had it mapped and accessed it ends; marked again, it becomes active and is not referenced any more. So a page that is
 * active and was not at the last look (it is not in `before`) may have been marked, too. A frame that somebody samples by
 * its idle flag (in-kernel DAMON, idle page tracking) may be young without a flag that shows. Of a larger folio the first
 * frame alone has flags in some kernels, and one fault maps all of it. */
#define ARGUMENTS(ARRAY, VALUE) VALUE(map, i) VALUE(flags, i) VALUE(first, Q) VALUE(last, Q) VALUE(before, O) VALUE(now, O)
#define RESULTS(ARRAY, VALUE) VALUE(pages, Q) VALUE(flagged, Q)
#include "interface.h"

#include <errno.h>
#include <unistd.h>

#include "frames.h"

enum { CHUNK = 4096, GAP = 128 }; /* entries a read; frames that cost less than another system call */
enum { REFERENCED = 1 << 2, ACTIVE = 1 << 6, COMPOUND = 3 << 15, IDLE = 1 << 25 };

static ssize_t read_words(int fd, uint64_t *word, uint64_t first, size_t count)
{
    ssize_t got;
    while ((got = pread(fd, word, count * sizeof *word, (off_t)(first * sizeof *word))) < 0 && errno == EINTR)
        ;
    return got < 0 ? -1 : got / (ssize_t)sizeof *word;
}

/* 1 where the frame may be marked, 0 where it is not, -1 for want of memory. */
static int is_flagged(uint64_t frame, uint64_t word, const Frames *before, Frames *now)
{
    if ((word & ACTIVE) && frames_add(now, 0, frame) < 0)
        return -1;
    return (word & (REFERENCED | COMPOUND | IDLE)) || ((word & ACTIVE) && !frames_have(before, 0, frame));
}

struct span {
    uint64_t first, last;
};

/* Whether the frame lies so near that one call reads the flags of all of them; then the span reaches to it. Frames of
 * neighbours follow each other upwards or downwards in most memory, so they need not be sorted. */
static int reach(struct span *span, uint64_t frame)
{
    uint64_t first = frame < span->first ? frame : span->first, last = frame > span->last ? frame : span->last;
    if (last - first >= CHUNK || span->first - first > GAP || last - span->last > GAP)
        return 0;
    span->first = first;
    span->last = last;
    return 1;
}

/* How many of these frames may be marked; -1 with errno set. */
static int64_t count(int flags, const uint64_t *frame, size_t frames, const Frames *before, Frames *now)
{
    uint64_t word[CHUNK];
    int64_t found = 0;
    for (size_t at = 0, end; at < frames; at = end) {
        struct span span = {frame[at], frame[at]};
        for (end = at + 1; end < frames && reach(&span, frame[end]); end++)
            ;
        ssize_t got = read_words(flags, word, span.first, (size_t)(span.last - span.first) + 1);
        if (got < 0)
            return -1;
        for (size_t i = at; i < end; i++) {
            uint64_t place = frame[i] - span.first;
            int flagged = place >= (uint64_t)got ? 1 : is_flagged(frame[i], word[place], before, now);
            if (flagged < 0) {
                errno = ENOMEM;
                return -1;
            }
            found += flagged;
        }
    }
    return found;
}

static int look(const struct arguments *in, const Frames *before, Frames *now, struct results *out)
{
    uint64_t entry[CHUNK];
    for (uint64_t page = in->first; page < in->last;) {
        size_t wanted = in->last - page < CHUNK ? (size_t)(in->last - page) : CHUNK, frames = 0;
        ssize_t got = read_words(in->map, entry, page, wanted);
        if (got <= 0)
            return (int)got; /* 0: above the highest address of a process */
        for (ssize_t i = 0; i < got; i++)
            if ((entry[i] & MAP_PRESENT) && (entry[i] & MAP_FILE) && (entry[i] & MAP_FRAME))
                entry[frames++] = entry[i] & MAP_FRAME;
        int64_t flagged = count(in->flags, entry, frames, before, now);
        if (flagged < 0)
            return -1;
        out->pages += frames;
        out->flagged += (uint64_t)flagged;
        page += (uint64_t)got;
    }
    return 0;
}

static PyObject *flagged_pages(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    const Frames *before = frames_of(in->before);
    Frames *now = frames_of(in->now);
    if (before == NULL || now == NULL)
        return NULL;
    if (in->first > in->last || in->last > MAP_FRAME) {
        PyErr_SetString(PyExc_ValueError, "pages are in order");
        return NULL;
    }
    if (results_make(&flagged_pages_interface, &out) < 0)
        return NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS;
    failed = look(in, before, now, &out);
    Py_END_ALLOW_THREADS;
    if (failed)
        return errno == ENOMEM ? PyErr_NoMemory() : PyErr_SetFromErrno(PyExc_OSError);
    return results_give(&flagged_pages_interface, module, &out);
}

INTERFACE(flagged_pages, "FlaggedPages", "Pages that may be referenced by nobody's access; see _native.pyi.")
