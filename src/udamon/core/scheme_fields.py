"""The fields of a scheme in one table: DAMON's files, the kernel versions, the syntax in files of schemes, the
defaults.

From it come the tree of `udamon control` (control/nodes.py, scheme_files.py), what is written to in-kernel DAMON
(engine/kernel/scheme_plan.py), the reader of YAML and TOML (schemes/config/reading.py) and the table of docs/acting.md.
A field of udamon's own value (core/scheme.py) has a row here, and no other place spells it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from operator import attrgetter
from typing import Any

from udamon.core.scheme import (
    CORE_FILTERS,
    U32_MAX,
    U64_MAX,
    AccessPattern,
    Action,
    Bounds,
    Destination,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
    Weights,
)
from udamon.model import Range

Version = tuple[int, int]

FIRST: Version = (5, 18)
"""The kernel that brought the tree of files (docs/damon.md#when-features-arrived)."""

ACTIONS: dict[str, Version] = {
    Action.WILLNEED: FIRST, Action.COLD: FIRST, Action.PAGEOUT: FIRST, Action.HUGEPAGE: FIRST,
    Action.NOHUGEPAGE: FIRST, Action.COLLAPSE: (7, 2), Action.LRU_PRIO: (6, 0), Action.LRU_DEPRIO: (6, 0),
    Action.MIGRATE_HOT: (6, 11), Action.MIGRATE_COLD: (6, 11), Action.STAT: FIRST,
}  # fmt: skip
MIGRATIONS = (Action.MIGRATE_HOT, Action.MIGRATE_COLD)
METRICS: dict[str, Version] = {
    GoalMetric.USER_INPUT: (6, 8), GoalMetric.SOME_MEM_PSI_US: (6, 9), GoalMetric.NODE_MEM_USED_BP: (6, 16),
    GoalMetric.NODE_MEM_FREE_BP: (6, 16), GoalMetric.NODE_MEMCG_USED_BP: (6, 19),
    GoalMetric.NODE_MEMCG_FREE_BP: (6, 19), GoalMetric.ACTIVE_MEM_BP: (7, 0), GoalMetric.INACTIVE_MEM_BP: (7, 0),
    GoalMetric.NODE_ELIGIBLE_MEM_BP: (7, 2),
}  # fmt: skip
"""Metrics that in-kernel DAMON has; the others are udamon's own."""
CORE_TYPES: dict[str, Version] = {FilterType.ADDR: (6, 6), FilterType.TARGET: (6, 6)}
OPS_TYPES: dict[str, Version] = {
    FilterType.ANON: (6, 3), FilterType.ACTIVE: (6, 15), FilterType.MEMCG: (6, 3), FilterType.YOUNG: (6, 10),
    FilterType.HUGEPAGE_SIZE: (6, 15), FilterType.UNMAPPED: (6, 15),
}  # fmt: skip


def always(values: type[StrEnum]) -> dict[str, Version]:
    """Words that the first kernel with the tree has."""
    return dict.fromkeys(values, FIRST)


class StoredAs(Enum):
    """What the kernel's file holds. Those of quotas answer EINVAL to every mistake."""

    ULONG = auto()
    ULONG_EINVAL = auto()
    UINT = auto()
    UINT_EINVAL = auto()
    INT = auto()
    BOOL = auto()
    TEXT = auto()
    WORD = auto()


class FieldSyntax(Enum):
    """The syntax of a field in a file of schemes; the values are the words in documents."""

    NUMBER = "a number"
    U32 = "a number up to 4294967295"
    FLAG = "`true`, `false`"
    TEXT = "text"
    WORD = ""
    BYTES = "bytes: `4 KiB`, `max`"
    TIME_US = "`1s`; a bare number of µs where the key ends in `_us`"
    TIME_MS = "`1s`, or a bare number of ms"
    PERMIL = "permil, or `10%`"
    RATE = "`10%` of an aggregation's samples, or a number of samples, `max`"
    AGE = "`5s`, or a number of aggregations, `max`"
    OF_METRIC = "a number; `10%` or `1s` where the metric ends in `_bp` or `_us`"


@dataclass(frozen=True, slots=True)
class SchemeField:
    """One field. `path` below the scheme's directory, with a capital letter for 0, 1, …; `attribute` of the value.

    `what` a kernel before `since` lacks; `words` it may hold, with their own versions; `also`: other names in files of
    schemes; `left_out`: what holds without it there, where that is not the default; `most`: what the kernel keeps of a
    larger number. `needed`: it must be given there.
    """

    path: str
    stored: StoredAs
    written: FieldSyntax
    since: Version = FIRST
    default: int | bool | str = 0
    what: str = ""
    words: Mapping[str, Version] | None = None
    kind: type[StrEnum] | None = None
    attribute: str = ""
    key: str = ""
    also: tuple[str, ...] = ()
    left_out: str = ""
    needed: str = ""
    most: int = U64_MAX

    @property
    def file(self) -> str:
        """Its path from the directory of the value that it is of: the scheme, or a goal, a filter, a destination."""
        parts = self.path.split("/")
        last = next((i for i, part in enumerate(parts) if len(part) == 1 and part.isupper()), -1)
        return "/".join(parts[last + 1 :])

    @property
    def name(self) -> str:
        """Attribute of that value."""
        return self.attribute or self.file.replace("/", ".")

    @property
    def written_key(self) -> str:
        """Its key in a file of schemes, within the table that it stands in."""
        return self.key or self.path.rpartition("/")[2]

    @property
    def group(self) -> str:
        """The table that it stands in there: "", "quotas", "quotas/goals/G", …"""
        return "" if self.attribute and "." not in self.attribute else self.path.rpartition("/")[0]

    def of(self, item: object) -> Any:
        """The field's value."""
        return attrgetter(self.name)(item)

    def text(self, item: object) -> str:
        """As the kernel's file takes it."""
        value = self.of(item)
        if self.stored is StoredAs.BOOL:
            return "NY"[value]
        return str(min(value, self.most) if isinstance(value, int) else value)

    def value(self, stored: int | bool | str) -> Any:
        """What stands in a file of the tree, as udamon's value."""
        if self.kind is not None:
            return self.kind(str(stored))
        if self.stored is StoredAs.BOOL:
            return bool(stored)
        if self.stored is StoredAs.TEXT:
            return str(stored).removesuffix("\n")
        number = int(stored)
        return number & self.most if number > self.most else number


@dataclass(frozen=True, slots=True)
class SchemeList:
    """A directory of numbered ones, `count` of them; `attribute` of the scheme that has the values."""

    path: str
    letter: str
    count: str
    attribute: str
    since: Version
    what: str


LISTS = (
    SchemeList("quotas/goals", "G", "nr_goals", "quotas.goals", (6, 8), "goals of quotas"),
    SchemeList("filters", "F", "nr_filters", "", (6, 3), "filters"),
    SchemeList("dests", "D", "nr_dests", "dests", (6, 17), "weighted destinations"),
)
FILTER_DIRECTORIES: dict[str, tuple[dict[str, Version], Version]] = {
    "core_filters": (CORE_TYPES, (6, 15)),
    "ops_filters": (OPS_TYPES, (6, 15)),
    "filters": (OPS_TYPES | CORE_TYPES, (6, 3)),
}
"""Where filters are: the types there, and since when. Each has the files of `filters`."""


def _bounds(name: str, written: FieldSyntax, most: int) -> list[SchemeField]:
    path = f"access_pattern/{name}"
    return [
        SchemeField(f"{path}/{end}", StoredAs.ULONG, written, most=most, left_out="no bound")
        for end in ("min", "max")
    ]


_S, _W = StoredAs, FieldSyntax
FIELDS: tuple[SchemeField, ...] = (
    SchemeField("action", _S.WORD, _W.WORD, default="stat", words=ACTIONS, kind=Action,
                needed=f"one of {', '.join(Action)}"),
    SchemeField("apply_interval_us", _S.ULONG, _W.TIME_US, (6, 7), what="apply intervals of schemes",
                also=("apply_interval",), left_out="each aggregation"),
    SchemeField("target_nid", _S.INT, _W.U32, (6, 11), -1, "migration between NUMA nodes",
                left_out="none; `migrate_*` needs it, or `dests`"),
    *_bounds("sz", _W.BYTES, U64_MAX),
    # The kernel would take these modulo 2**32.
    *_bounds("nr_accesses", _W.RATE, U32_MAX),
    *_bounds("age", _W.AGE, U32_MAX),
    SchemeField("quotas/ms", _S.ULONG_EINVAL, _W.TIME_MS, left_out="no limit"),
    SchemeField("quotas/bytes", _S.ULONG_EINVAL, _W.BYTES, left_out="no limit"),
    SchemeField("quotas/reset_interval_ms", _S.ULONG_EINVAL, _W.TIME_MS, left_out="needed with a limit or goal"),
    SchemeField("quotas/goal_tuner", _S.WORD, _W.WORD, (7, 1), "consist", "choice of goal tuners", always(GoalTuner),
                GoalTuner),
    SchemeField("quotas/fail_charge_num", _S.UINT_EINVAL, _W.U32, (7, 2), what="charge for what failed",
                left_out="what failed is charged in full"),
    SchemeField("quotas/fail_charge_denom", _S.UINT_EINVAL, _W.U32, (7, 2), what="charge for what failed",
                left_out="what failed is charged in full"),
    *(
        SchemeField(f"quotas/weights/{name}_permil", _S.UINT, _W.U32, key=name, also=(f"{name}_permil",))
        for name in ("sz", "nr_accesses", "age")
    ),
    SchemeField("quotas/goals/G/target_metric", _S.WORD, _W.WORD, (6, 9), "user_input", "choice of goal metrics",
                METRICS, GoalMetric, needed="what it looks at"),
    SchemeField("quotas/goals/G/target_value", _S.ULONG, _W.OF_METRIC, (6, 8), needed="what it aims at"),
    SchemeField("quotas/goals/G/current_value", _S.ULONG, _W.OF_METRIC, (6, 8)),
    SchemeField("quotas/goals/G/nid", _S.INT, _W.U32, (6, 16), what="goals of a NUMA node"),
    SchemeField("quotas/goals/G/path", _S.TEXT, _W.TEXT, (6, 19), "", "goals of a control group",
                left_out="some metrics need it"),
    SchemeField("watermarks/metric", _S.WORD, _W.WORD, default="none", words=always(WatermarkMetric),
                kind=WatermarkMetric, needed=", ".join(WatermarkMetric)),
    SchemeField("watermarks/interval_us", _S.ULONG, _W.TIME_US, also=("interval",)),
    SchemeField("watermarks/high", _S.ULONG, _W.PERMIL),
    SchemeField("watermarks/mid", _S.ULONG, _W.PERMIL),
    SchemeField("watermarks/low", _S.ULONG, _W.PERMIL),
    SchemeField("filters/F/type", _S.WORD, _W.WORD, (6, 3), "anon", words=OPS_TYPES | CORE_TYPES, kind=FilterType,
                needed=", ".join(FilterType)),
    SchemeField("filters/F/matching", _S.BOOL, _W.FLAG, (6, 3), False, left_out="`true`"),
    SchemeField("filters/F/allow", _S.BOOL, _W.FLAG, (6, 14), False, "filters that allow"),
    SchemeField("filters/F/memcg_path", _S.TEXT, _W.TEXT, (6, 3), "", left_out="`memcg` needs it"),
    SchemeField("filters/F/addr_start", _S.ULONG, _W.BYTES, (6, 6), attribute="addr.start", left_out="`addr` needs it"),
    SchemeField("filters/F/addr_end", _S.ULONG, _W.BYTES, (6, 6), attribute="addr.end", left_out="`addr` needs it"),
    SchemeField("filters/F/min", _S.ULONG, _W.BYTES, (6, 15), what="filters by the size of pages",
                attribute="size.min", left_out="`hugepage_size` needs it"),
    SchemeField("filters/F/max", _S.ULONG, _W.BYTES, (6, 15), what="filters by the size of pages",
                attribute="size.max", left_out="`hugepage_size` needs it"),
    SchemeField("filters/F/damon_target_idx", _S.INT, _W.NUMBER, (6, 6), left_out="`target` needs it"),
    SchemeField("dests/D/id", _S.UINT, _W.U32, (6, 17), needed="the number of a node"),
    SchemeField("dests/D/weight", _S.UINT, _W.U32, (6, 17), left_out="1"),
    SchemeField("stats/max_nr_snapshots", _S.ULONG, _W.NUMBER, (7, 0), what="limit on the number of snapshots",
                attribute="max_nr_snapshots", left_out="no limit"),
)  # fmt: skip

FILTER_OPERANDS = {
    FilterType.ADDR: ("addr_start", "addr_end"),
    FilterType.TARGET: ("damon_target_idx",),
    FilterType.MEMCG: ("memcg_path",),
    FilterType.HUGEPAGE_SIZE: ("min", "max"),
}
"""The fields that say what a type of filter looks for; they are needed, and go with no other type."""

_CLASSES: dict[str, type] = {
    "": Scheme, "access_pattern": AccessPattern, "access_pattern.sz": Bounds, "access_pattern.nr_accesses": Bounds,
    "access_pattern.age": Bounds, "quotas": Quota, "quotas.weights": Weights, "watermarks": Watermarks,
    "quotas/goals": Goal, "filters": Filter, "filters.addr": Range, "filters.size": Bounds, "dests": Destination,
}  # fmt: skip


def of_list(path: str) -> tuple[SchemeField, ...]:
    """The fields of each of a list's values ("quotas/goals", "filters", "dests")."""
    (one,) = (known for known in LISTS if known.path == path)
    return tuple(field for field in FIELDS if field.path.startswith(f"{path}/{one.letter}/"))


def of_filter(kind: FilterType) -> tuple[SchemeField, ...]:
    """The fields of filters of that type."""
    others = {key for owner, keys in FILTER_OPERANDS.items() for key in keys if owner is not kind}
    return tuple(field for field in of_list("filters") if field.file not in others)


def single() -> tuple[SchemeField, ...]:
    """The fields that a scheme has once."""
    return tuple(field for field in FIELDS if not any(field.path.startswith(f"{one.path}/") for one in LISTS))


def in_table(group: str) -> tuple[SchemeField, ...]:
    """The fields that stand in one table of a file of schemes: "", "quotas", "quotas/weights", "watermarks"."""
    return tuple(field for field in single() if field.group == group)


def made(path: str, values: Mapping[str, Any]) -> Any:
    """The value of a list ("quotas/goals", …), or the scheme (""), with these attributes; "a.b" is b of its a."""
    return _made(path, {tuple(name.split(".")): value for name, value in values.items()})


def _made(at: str, values: Mapping[tuple[str, ...], Any]) -> Any:
    found: dict[str, Any] = {names[0]: value for names, value in values.items() if len(names) == 1}
    for first in {names[0] for names in values if len(names) > 1}:
        inner = {names[1:]: value for names, value in values.items() if names[0] == first and len(names) > 1}
        found[first] = _made(f"{at}.{first}".lstrip("."), inner)
    return _CLASSES[at](**found)


def what_lacks(path: str) -> tuple[str, Version] | None:
    """What a kernel without a file at `path` (below the scheme, with real numbers) lacks, and which version brought
    it."""
    parts = path.split("/")
    for directory in FILTER_DIRECTORIES:
        if parts[0] == directory:
            parts[0] = "filters"
    for one in LISTS:
        if parts[: one.path.count("/") + 1] != one.path.split("/"):
            continue
        for field in of_list(one.path):
            if field.what and field.file == parts[-1]:
                return field.what, field.since
        return one.what, one.since
    for field in single():
        if field.what and field.path == "/".join(parts):
            return field.what, field.since
    return None


def rows() -> Iterator[tuple[str, str, str, str]]:
    """The table for documents: key, how it is written, what holds without it, in-kernel DAMON since."""
    for field in FIELDS:
        path = field.group
        for one in LISTS:
            path = path.replace(f"{one.path}/{one.letter}", f"{one.path}[]")
        keys = [f"{path.replace('/', '.')}.{key}".lstrip(".") for key in (field.written_key, *field.also)]
        words = field.kind or ()
        value = field.written.value or ", ".join(f"`{word}`" for word in words)
        without = "must be given" if field.needed else field.left_out or f"`{field.default}`".lower()
        yield " or ".join(f"`{key}`" for key in keys), value, without, "{}.{}".format(*field.since)


def table() -> str:
    """All keys of a file of schemes as a table in Markdown: docs/acting.md has it (scripts/tables.py)."""
    head = ["| key | value | left out | `--via kernel` from |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows())]) + "\n"


def of_core(filters: Iterable[Filter], *, core: bool) -> tuple[Filter, ...]:
    """Those filters that are tested on regions, or those on pages."""
    return tuple(each for each in filters if (each.type in CORE_FILTERS) == core)
