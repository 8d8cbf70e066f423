/* A set of page frames, filled from page maps: how many bytes several processes have together.
 *
 * A frame counts once for each object (a number of the caller's) that it is of. The set is a table of 64-bit
 * keys with open addressing: the frame in the low 40 bits (page maps have at most 55; 2^40 frames are 4 PiB), and
 * the object above them. It grows with the frames that differ, not with the pages that are read.
 */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK 4096 /* entries a read */
#define NAME "udamon.frames"

struct frames {
    uint64_t *key; /* 0 is an empty place: no key is 0, for objects are stored from 1 on */
    size_t used, room;
};

static void destroy(PyObject *capsule)
{
    Frames *set = frames_of(capsule);
    free(set->key);
    free(set);
}

static PyObject *new_frames(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    Frames *set = calloc(1, sizeof *set);
    if (set != NULL)
        set->key = calloc(set->room = 1024, sizeof *set->key);
    if (set == NULL || set->key == NULL) {
        free(set);
        return PyErr_NoMemory();
    }
    PyObject *capsule = PyCapsule_New(set, NAME, destroy);
    if (capsule == NULL) {
        free(set->key);
        free(set);
    }
    return capsule;
}

static uint64_t key_of(uint64_t object, uint64_t frame)
{
    return (object + 1) << FRAME_BITS | (frame & ((1ull << FRAME_BITS) - 1));
}

/* Where the key is, or the empty place where it belongs. */
static size_t place(const uint64_t *table, size_t room, uint64_t key)
{
    size_t at = (size_t)mix(key) & (room - 1);
    while (table[at] != 0 && table[at] != key)
        at = (at + 1) & (room - 1);
    return at;
}

static int grow(Frames *set)
{
    uint64_t *larger = calloc(set->room * 2, sizeof *larger);
    if (larger == NULL)
        return -1;
    for (size_t i = 0; i < set->room; i++)
        if (set->key[i] != 0)
            larger[place(larger, set->room * 2, set->key[i])] = set->key[i];
    free(set->key);
    set->key = larger;
    set->room *= 2;
    return 0;
}

Frames *frames_of(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, NAME);
}

int frames_have(const Frames *set, uint64_t object, uint64_t frame)
{
    return set->key[place(set->key, set->room, key_of(object, frame))] != 0;
}

int frames_add(Frames *set, uint64_t object, uint64_t frame)
{
    if (set->used * 2 >= set->room && grow(set) < 0)
        return -1;
    uint64_t key = key_of(object, frame), *at = &set->key[place(set->key, set->room, key)];
    if (*at != 0)
        return 0;
    *at = key;
    set->used++;
    return 1;
}

/* Pages of which the frame is new to the set; -1 with errno set. `hidden` counts those whose frame is not told. */
static int64_t add(Frames *set, int map, uint64_t object, uint64_t page, uint64_t last, uint64_t *hidden)
{
    uint64_t entry[CHUNK];
    int64_t fresh = 0;
    while (page < last) {
        size_t wanted = last - page < CHUNK ? (size_t)(last - page) : CHUNK;
        ssize_t got = pread(map, entry, wanted * sizeof *entry, (off_t)(page * sizeof *entry));
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        size_t count = (size_t)got / sizeof *entry;
        if (count == 0)
            break; /* above the highest address of a process */
        for (size_t i = 0; i < count; i++) {
            if (!(entry[i] & MAP_PRESENT))
                continue;
            uint64_t frame = entry[i] & MAP_FRAME;
            if (frame == 0) {
                ++*hidden;
                continue;
            }
            int added = frames_add(set, object, frame);
            if (added < 0) {
                errno = ENOMEM;
                return -1;
            }
            fresh += added;
        }
        page += count;
    }
    return fresh;
}

static PyObject *add_frames(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *capsule;
    int map;
    unsigned long long object, page, last;
    if (!PyArg_ParseTuple(args, "OiKKK", &capsule, &map, &object, &page, &last))
        return NULL;
    Frames *set = frames_of(capsule);
    if (set == NULL)
        return NULL;
    if (object >= (1ull << (64 - FRAME_BITS)) - 1 || page > last || last > MAP_FRAME) {
        PyErr_SetString(PyExc_ValueError, "an object's number is below 2**24 - 1, and pages are in order");
        return NULL;
    }
    uint64_t hidden = 0;
    int64_t fresh;
    Py_BEGIN_ALLOW_THREADS;
    fresh = add(set, map, object, page, last, &hidden);
    Py_END_ALLOW_THREADS;
    if (fresh < 0)
        return errno == ENOMEM ? PyErr_NoMemory() : PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("LK", (long long)fresh, (unsigned long long)hidden);
}

PyMethodDef frames_methods[] = {
    {"new_frames", new_frames, METH_NOARGS, "A new, empty set of page frames."},
    {"add_frames", add_frames, METH_VARARGS,
     "add_frames(set, page_map_fd, object, first_page, last_page) -> (frames new to the set, pages whose frame is hidden)"},
    {NULL, NULL, 0, NULL},
};
