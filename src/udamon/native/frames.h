/* Sets of page frames (frames.c), for others that go by the page map. */
#ifndef UDAMON_FRAMES_H
#define UDAMON_FRAMES_H

#include "native.h"
#include "page_map.h"

#define FRAME_BITS 40

typedef struct frames Frames;

/* NULL with an exception set when the object is none. */
Frames *frames_of(PyObject *capsule);
/* 1 when the frame is new for the object, 0 when it was there, -1 for want of memory. */
int frames_add(Frames *set, uint64_t object, uint64_t frame);
int frames_have(const Frames *set, uint64_t object, uint64_t frame);

#endif
