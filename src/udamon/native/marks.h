/* A page's mark: EARLIER, accessed before the second clear; THERE, resident at the last look; and the number of the look
 * after that clear that saw it accessed first, 0 for none. */
enum { MARK_LOOK = 15, MARK_THERE = 64, MARK_EARLIER = 128 };
