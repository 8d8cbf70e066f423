/* Bits of an entry of a page map (Documentation/admin-guide/mm/pagemap.rst). */
#ifndef UDAMON_PAGE_MAP_H
#define UDAMON_PAGE_MAP_H

#define MAP_PRESENT (1ull << 63)
#define MAP_FILE (1ull << 61)      /* of a file or of shared memory */
#define MAP_EXCLUSIVE (1ull << 56) /* no other process maps it */
#define MAP_FRAME ((1ull << 55) - 1)

#endif
