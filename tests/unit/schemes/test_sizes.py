"""Quotas by what is there: holes are not charged, not tried, and hide nothing that is less cold."""

from __future__ import annotations

from tests.unit.actors import COLD, PAGE, Bench, region
from udamon.core.attrs import Attrs
from udamon.core.scheme import Action, Quota, Scheme
from udamon.core.target import Target
from udamon.linux.procfs import ProcessId
from udamon.model import Range
from udamon.modules.resident_sizes import ResidentSizes

HUGE = 1 << 28
"""Pages: a tebibyte."""


class There:
    """Pages that are there, of one process; stands for the page map."""

    def __init__(self, *pages: int) -> None:
        self.pages = sorted(pages)

    def first(self, process: ProcessId, wanted: Range, most: int, root: object) -> tuple[int, int]:
        inside = [page for page in self.pages if wanted.start <= page * PAGE < wanted.end]
        if len(inside) * PAGE <= most:
            return wanted.end, len(inside) * PAGE
        return inside[most // PAGE] * PAGE, most // PAGE * PAGE

    def of(self, target: Target) -> list[int]:
        return [sum(PAGE for p in self.pages if r.start <= p * PAGE < r.end) for r in target.regions]

    @property
    def sizes(self) -> ResidentSizes:
        return ResidentSizes(self.of, first=self.first)


def bench(there: There, *regions: tuple[int, int, int], quota: Quota) -> Bench:
    made = [region(start, end, age=age) for start, end, age in regions]
    found = Bench(Scheme(COLD, Action.PAGEOUT, quotas=quota), regions=made, sizes=there.sizes)
    found.targets[0].pid, found.targets[0].start_time = 7, 8
    return found


def test_a_window_goes_on_until_its_bytes_are_there() -> None:
    """Ten pages, a terabyte apart from end to end: four in each window, and all that is there in three."""
    there = There(*(number * (HUGE // 10) + 5 for number in range(10)))
    found = bench(there, (0, HUGE, 9), quota=Quota(bytes=4 * PAGE, reset_interval_ms=100))
    covered = []
    for _ in range(3):
        (acted,) = found.apply() or [(0, 0)]
        covered.append(sum(acted[0] <= page < acted[1] for page in there.pages))
    assert covered == [4, 4, 2]
    assert found.stats().sz_tried == 10 * PAGE


def test_holes_have_no_priority() -> None:
    """An old hole of a terabyte does not use up what a quota would rather do: less old pages get their turn."""
    there = There(*range(HUGE + 10, HUGE + 14))
    found = bench(
        there, (0, HUGE, 99), (HUGE, HUGE + 64, 3), quota=Quota(bytes=4 * PAGE, reset_interval_ms=100)
    )
    assert found.apply() == [(HUGE, HUGE + 64)]
    assert found.stats().nr_tried == 1
    assert found.stats().sz_tried == 4 * PAGE


def test_nothing_there_is_not_tried() -> None:
    found = bench(There(), (0, HUGE, 9), quota=Quota())
    assert found.apply() == []
    assert found.stats().nr_tried == 0


def test_without_knowing_every_address_counts() -> None:
    """As in the kernel: no sizes, or a target that is no process."""
    for sizes in (None, There().sizes):
        scheme = Scheme(COLD, Action.PAGEOUT, quotas=Quota(bytes=4 * PAGE, reset_interval_ms=100))
        assert Bench(scheme, regions=[region(0, 64, age=9)], sizes=sizes).apply() == [(0, 4)]


def test_a_quota_keeps_up_with_long_aggregations() -> None:
    """With aggregations of 10 s and a quota for each second, the scheme is due each second; without one, as ever."""
    attrs = Attrs(sample_us=500_000, aggr_us=10_000_000, update_us=10_000_000)
    quota = Quota(bytes=4 * PAGE, reset_interval_ms=1_000)
    for keep_up, quotas, due in ((True, quota, 2), (False, quota, 20), (True, Quota(), 20)):
        scheme = Scheme(COLD, Action.PAGEOUT, quotas=quotas)
        found = Bench(scheme, regions=[region(0, 64, age=9)], attrs=attrs, keep_up=keep_up)
        assert found.schemes.next_due() == due
