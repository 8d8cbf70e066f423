"""Many ranges advised with few system calls, whatever becomes of single ones."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence

from udamon.linux.process_madvise import COLLAPSE, MAX_VECTORS, advise
from udamon.model import HUGE_PAGE_SIZE, Range

STRETCH = 32 << 20
"""Bytes a call: the target's own mmap and munmap wait while a call runs, some ms for this much."""

_NOT_NOW = {errno.ENOMEM, errno.EINVAL, errno.EAGAIN, errno.EBUSY, errno.EFAULT}

Advise = Callable[[int, Sequence[Range], int], int]


def advise_all(
    pidfd: int,
    vectors: Sequence[Range],
    advice: int,
    cut_again: Callable[[Range], list[Range]],
    call: Advise = advise,
) -> list[Range]:
    """Those of `vectors`, in part or whole, that took the advice, in the order of the calls.

    The next call begins behind a vector that failed. `cut_again` says what is mapped of such a vector now: where
    that has changed, the rest of it is tried once more. Raises OSError for what concerns all of the
    process: ESRCH (gone) and EPERM.
    """
    waiting = list(_split(vectors, HUGE_PAGE_SIZE if advice == COLLAPSE else STRETCH))
    done: list[Range] = []
    failed: list[Range] = []
    position = 0
    while position < len(waiting):
        batch = _batch(waiting, position)
        count = _advised(pidfd, batch, advice, call)
        done += batch[:count]
        if count < len(batch):
            failed.append(batch[count])
        position += count + (count < len(batch))
    for vector in failed if advice != COLLAPSE else ():
        parts = cut_again(vector)
        if parts != [vector]:
            done += [part for part in parts if _advised(pidfd, [part], advice, call)]
    return done


def _advised(pidfd: int, batch: Sequence[Range], advice: int, call: Advise) -> int:
    """How many vectors took the advice before one failed."""
    while True:
        try:
            answer = call(pidfd, batch, advice)
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno in _NOT_NOW:
                return 0
            raise
        break
    count = 0
    for vector in batch:
        answer -= vector.size
        if answer < 0:
            break
        count += 1
    return count


def _split(vectors: Sequence[Range], size: int) -> Iterator[Range]:
    """Cut where addresses are multiples of `size`, so that no huge page is cut."""
    for start, end in vectors:
        while start < end:
            cut = min(start - start % size + size, end)
            yield Range(start, cut)
            start = cut


def _batch(waiting: Sequence[Range], position: int) -> list[Range]:
    """The vectors of the next call: at least one, at most MAX_VECTORS and STRETCH bytes."""
    batch: list[Range] = []
    total = 0
    for vector in waiting[position : position + MAX_VECTORS]:
        total += vector.size
        if batch and total > STRETCH:
            break
        batch.append(vector)
    return batch
