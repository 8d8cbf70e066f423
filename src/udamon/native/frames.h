/* Sets of page frames (frames.c), for others that go by the page map. */
#ifndef UDAMON_FRAMES_H
#define UDAMON_FRAMES_H

#include "native.h"

#define FRAME_BITS 40
#define MAP_PRESENT (1ull << 63) /* bits of an entry of the page map; FILE: of a file or of shared memory */
#define MAP_FILE (1ull << 61)
#define MAP_FRAME ((1ull << 55) - 1)

typedef struct frames Frames;

/* NULL with an exception set when the object is none. */
Frames *frames_of(PyObject *capsule);
/* 1 when the frame is new for the object, 0 when it was there, -1 for want of memory. */
int frames_add(Frames *set, uint64_t object, uint64_t frame);
int frames_have(const Frames *set, uint64_t object, uint64_t frame);

#endif
