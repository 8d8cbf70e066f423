/* What the C files of the extension share. Limited API: no macro that reaches into an object. */
#ifndef UDAMON_NATIVE_H
#define UDAMON_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* touch.c */
extern PyMethodDef touch_methods[];
/* sim.c */
extern PyMethodDef sim_methods[];

/* sampler.c */
extern PyMethodDef sampler_methods[];

#endif
