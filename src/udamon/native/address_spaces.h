/* Address spaces that a processor is switched through, so that it forgets what its TLB holds of any other one. */
#ifndef UDAMON_ADDRESS_SPACES_H
#define UDAMON_ADDRESS_SPACES_H

#include <stdbool.h>
#include <stddef.h>

/* Switches the processor `cpu`, to which the calling thread is confined. Returns false where that is not enough or not
 * possible: on other architectures, with broadcast flushes, or where processes for it cannot be started. */
bool switch_address_spaces(size_t cpu);

#endif
