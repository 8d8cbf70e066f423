"""Many vectors, few calls: what becomes of holes, refusals and processes that go."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from itertools import pairwise

import pytest

from udamon.acting.advising import STRETCH, advise_all
from udamon.linux.process_madvise import COLLAPSE, PAGEOUT
from udamon.model import HUGE_PAGE_SIZE as HUGE
from udamon.model import Range

MIB = 1 << 20


class Kernel:
    """Takes vectors in order up to one that meets a bad address, as process_madvise does."""

    def __init__(
        self, bad: Sequence[int] = (), error: int = errno.ENOMEM, dies_at: int | None = None
    ) -> None:
        self.bad = bad
        self.error = error
        self.dies_at = dies_at
        self.calls: list[list[Range]] = []

    def __call__(self, pidfd: int, vectors: Sequence[Range], advice: int) -> int:
        if self.dies_at == len(self.calls):
            raise ProcessLookupError(errno.ESRCH, "gone")
        self.calls.append(list(vectors))
        done = 0
        for vector in vectors:
            if any(vector.start <= address < vector.end for address in self.bad):
                if not done:
                    raise OSError(self.error, "bad")
                return done
            done += vector.size
        return done


def same(vector: Range) -> list[Range]:
    return [vector]


def spread(count: int, size: int = 4096) -> list[Range]:
    return [Range(n * 2 * size, n * 2 * size + size) for n in range(count)]


def test_a_call_has_at_most_1024_vectors() -> None:
    kernel, vectors = Kernel(), spread(2500)
    assert advise_all(1, vectors, PAGEOUT, same, kernel) == vectors
    assert [len(call) for call in kernel.calls] == [1024, 1024, 452]


def test_large_vectors_are_cut_so_that_the_target_waits_less() -> None:
    kernel, start = Kernel(), 3 * MIB
    done = advise_all(1, [Range(start, start + 100 * MIB)], PAGEOUT, same, kernel)
    assert done[0].start == start
    assert done[-1].end == start + 100 * MIB
    assert all(a.end == b.start for a, b in pairwise(done))
    assert all(sum(v.size for v in call) <= STRETCH for call in kernel.calls)
    assert all(v.end % HUGE == 0 for v in done[:-1]), "no huge page is cut"


def test_the_next_call_begins_behind_a_vector_that_failed() -> None:
    vectors = spread(10)
    kernel = Kernel(bad=[vectors[0].start, vectors[4].start, vectors[5].start])
    done = advise_all(1, vectors, PAGEOUT, same, kernel)
    assert done == [v for n, v in enumerate(vectors) if n not in (0, 4, 5)]
    assert len(kernel.calls) == 4, "two calls find a failure first, two go on to one or the end"


def test_a_hole_is_cut_out_and_the_rest_tried_once_more() -> None:
    whole = Range(0, 10 * 4096)
    parts = [Range(0, 4096), Range(3 * 4096, 10 * 4096)]
    kernel = Kernel(bad=[2 * 4096])
    assert advise_all(1, [whole], PAGEOUT, lambda _: parts, kernel) == parts


def test_what_is_unmapped_by_now_is_not_tried_again() -> None:
    kernel = Kernel(bad=[0])
    assert advise_all(1, [Range(0, 4096)], PAGEOUT, lambda _: [], kernel) == []
    assert len(kernel.calls) == 1


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EAGAIN, errno.EBUSY])
def test_a_kind_that_takes_no_advice_is_left(error: int) -> None:
    vectors = spread(3)
    kernel = Kernel(bad=[vectors[1].start], error=error)
    assert advise_all(1, vectors, PAGEOUT, same, kernel) == [vectors[0], vectors[2]]


@pytest.mark.parametrize("error", [errno.EPERM, errno.ESRCH])
def test_what_concerns_the_whole_process_is_raised(error: int) -> None:
    with pytest.raises(OSError, match="bad") as raised:
        advise_all(1, spread(2), PAGEOUT, same, Kernel(bad=[0], error=error))
    assert raised.value.errno == error


def test_a_target_that_dies_between_two_calls_is_raised() -> None:
    with pytest.raises(ProcessLookupError):
        advise_all(1, spread(2000), PAGEOUT, same, Kernel(dies_at=1))


def test_huge_pages_are_collapsed_one_a_vector_and_never_cut_again() -> None:
    kernel = Kernel(bad=[3 * HUGE], error=errno.EAGAIN)
    done = advise_all(1, [Range(0, 6 * HUGE)], COLLAPSE, lambda _: pytest.fail("not asked for"), kernel)
    assert done == [Range(n * HUGE, (n + 1) * HUGE) for n in (0, 1, 2, 4, 5)]


def test_an_interrupted_call_is_made_again() -> None:
    interrupted = [InterruptedError(errno.EINTR, "signal")]

    def call(pidfd: int, vectors: Sequence[Range], advice: int) -> int:
        if interrupted:
            raise interrupted.pop()
        return 4096

    assert advise_all(1, [Range(0, 4096)], PAGEOUT, same, call) == [Range(0, 4096)]
