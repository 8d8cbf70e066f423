"""Checks that span an aggregation that is cut into stretches: looks at their pages in one after another."""

from __future__ import annotations

from array import array
from dataclasses import replace

from udamon.core.policy import ACCESSED, NOT_ACCESSED, Answers, Slots


class Relay:
    """Pages of one target whose checks are continued in each stretch of an aggregation, until one sees an access.

    No check outlasts a stretch. But the looks at a page in all stretches, one prepared when the one before ends,
    together say whether it was accessed in any of them. They are one answer, which is given when the aggregation ends:
    accesses are seen sooner than that there was none, so that all answers before would be accesses.
    """

    def __init__(self) -> None:
        self._accessed: dict[int, bool] = {}  # by page (address)
        self._shift: dict[int, int] = {}  # of the last answer
        self._ticks = 0  # since they were chosen
        self._slots = range(0)

    @property
    def running(self) -> bool:
        """Whether pages were chosen in this aggregation."""
        return self._ticks > 0

    def begin(self) -> None:
        """A new aggregation."""
        self._accessed, self._shift, self._ticks, self._slots = {}, {}, 0, range(0)

    def pages(self, room: int) -> array[int]:
        """Addresses ('Q') of the pages that were not seen accessed so far, at most `room`.

        Where more were chosen, every other one is given up, whatever was seen of it: what is left is no other sample.
        """
        while len(self._accessed) > room:
            self._accessed = {page: self._accessed[page] for page in sorted(self._accessed)[1::2]}
        return array("Q", sorted(page for page, seen in self._accessed.items() if not seen))

    def ask(self, slots: range) -> None:
        """These slots of the stretch, of one check each, are those of the pages, or choose them."""
        self._slots = slots

    def take(
        self, target: int, slots: Slots, answers: Answers, *, whole: int, last: bool
    ) -> tuple[Slots, Answers]:
        """Slots and answers of a stretch without those that are continued.

        `last`: the aggregation of `whole` ticks ends with the stretch; then each page has its one answer among them,
        unless the pages were chosen when more than a quarter of it was over. Of the slots, the target alone is of use.
        """
        if not self._ticks and not self._slots:
            return slots, answers
        mine = self._slots
        for i, slot in enumerate(answers.slot):
            if slot in mine:
                page = answers.address[i]
                self._accessed[page] = self._accessed.get(page, False) or answers.answer[i] == ACCESSED
                self._shift[page] = answers.shift[i]
        self._ticks += answers.ticks
        self._slots = range(0)
        of = array("I", slots.target)
        of[mine.start : mine.stop] = array("I", [target + 1]) * len(mine)
        if not last or 4 * self._ticks < 3 * whole:
            return Slots(target=of), answers
        pages, number = sorted(self._accessed), len(self._accessed)
        of.append(target)
        return Slots(target=of), replace(
            answers,
            slot=answers.slot + array("I", [len(of) - 1]) * number,
            address=answers.address + array("Q", pages),
            span=answers.span + array("I", [whole]) * number,
            answer=answers.answer
            + bytes(ACCESSED if self._accessed[page] else NOT_ACCESSED for page in pages),
            shift=answers.shift + bytes(self._shift[page] for page in pages),
        )
