"""Which memory is left alone although a scheme chose it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exclusions:
    """True leaves that kind alone. It holds for what takes memory away or moves it (pageout, cold, lru_deprio,
    migrate_*); willneed and collapse take nothing.

    `locked`: mappings of mlock. For pageout and cold the kernel leaves them in any case.
    `shared`: pages that another process maps as well. For pageout and cold the kernel leaves these, too.
    `text`: executable mappings.
    """

    locked: bool = True
    shared: bool = True
    text: bool = True


LEAVE_ALL = Exclusions()
