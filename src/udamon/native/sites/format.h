/* What the preload library writes into a ring and udamon.sites.ring reads there: docs/recording.md#the-ring.
 *
 * The one place of these numbers: the library has them as RING_NAME, and Python as udamon.native._native.RING_NAME. */
#ifndef UDAMON_SITES_FORMAT_H
#define UDAMON_SITES_FORMAT_H

#define RING_CONSTANTS(CONSTANT)                                                                                      \
    CONSTANT(HEAD, 4096)           /* bytes before the records */                                                     \
    CONSTANT(READ_AT, 192)         /* where in the head the recorder says how far it has read */                      \
    CONSTANT(MAX_FRAMES, 64)       /* calls of a stack */                                                             \
    CONSTANT(MAX_BUILD_ID, 64)     /* bytes */                                                                        \
    CONSTANT(MAX_NAME, 4096)       /* bytes of a module's path */                                                     \
    CONSTANT(MAX_FUNCTION, 512)    /* bytes of the name of a call of Python */                                        \
    CONSTANT(MAX_FILE, 1024)       /* bytes of the name of its file */                                                \
    CONSTANT(PYTHON_CALL_BIT, 63)  /* that hashes of calls of Python have, and no address */                          \
    CONSTANT(ALLOCATED, 1)         /* kinds of records */                                                             \
    CONSTANT(FREED, 2)                                                                                                \
    CONSTANT(STACK, 3)                                                                                                \
    CONSTANT(MODULE, 4)                                                                                               \
    CONSTANT(PYTHON, 5)

#define RING_ENUM(name, value) RING_##name = (value),
enum { RING_CONSTANTS(RING_ENUM) };
#undef RING_ENUM

#endif
