"""The tree as data: every file of /sys/kernel/mm/damon/admin, from which all else about the tree follows.

Facts from docs/damon.md#sysfs and #when-features-arrived (when a file arrived). A path has a capital
letter where directories 0, 1, … stand, as many as the file `nr_…` beside them says. The served files, their
tests and the table of docs/control.md are made from this list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from udamon.control import kinds
from udamon.control.kinds import Kind, Value
from udamon.core.scheme import Action, FilterType, GoalMetric, GoalTuner, WatermarkMetric
from udamon.errors import UsageError

Version = tuple[int, int]

FIRST: Version = (5, 18)
"""The kernel that brought the tree."""
BASELINE: Version = (7, 2)


@dataclass(frozen=True, slots=True)
class KeywordVersions:
    """Keywords, and since which kernel each is known."""

    since: dict[str, Version]

    def at(self, version: Version) -> kinds.Keyword:
        return kinds.Keyword(tuple(word for word, since in self.since.items() if since <= version))


@dataclass(frozen=True, slots=True)
class Node:
    """One file. `kind` None: a file with a meaning of its own, `state` and `avail_operations`."""

    path: str
    kind: Kind | KeywordVersions | None
    default: Value = 0
    since: Version = FIRST
    writable: bool = True

    @property
    def mode(self) -> int:
        return 0o600 if self.writable else 0o400

    @property
    def counts(self) -> bool:
        """True for a file `nr_…`, which makes directories."""
        return isinstance(self.kind, kinds.Count)

    def kind_at(self, version: Version) -> Kind | None:
        return self.kind.at(version) if isinstance(self.kind, KeywordVersions) else self.kind


STATE_WORDS: dict[str, Version] = {
    "on": FIRST,
    "off": FIRST,
    "commit": (5, 19),
    "commit_schemes_quota_goals": (6, 8),
    "update_schemes_stats": FIRST,
    "update_schemes_tried_bytes": (6, 6),
    "update_schemes_tried_regions": (6, 2),
    "clear_schemes_tried_regions": (6, 2),
    "update_schemes_effective_quotas": (6, 9),
    "update_tuned_intervals": (6, 15),
}
OPERATIONS: dict[str, Version] = {"vaddr": FIRST, "fvaddr": (5, 19), "paddr": FIRST}
ACTIONS: dict[str, Version] = {
    Action.WILLNEED.value: FIRST,
    Action.COLD.value: FIRST,
    Action.PAGEOUT.value: FIRST,
    Action.HUGEPAGE.value: FIRST,
    Action.NOHUGEPAGE.value: FIRST,
    Action.COLLAPSE.value: (7, 2),
    Action.LRU_PRIO.value: (6, 0),
    Action.LRU_DEPRIO.value: (6, 0),
    Action.MIGRATE_HOT.value: (6, 11),
    Action.MIGRATE_COLD.value: (6, 11),
    Action.STAT.value: FIRST,
}
METRICS: dict[str, Version] = {
    GoalMetric.USER_INPUT.value: (6, 8),
    GoalMetric.SOME_MEM_PSI_US.value: (6, 9),
    GoalMetric.NODE_MEM_USED_BP.value: (6, 16),
    GoalMetric.NODE_MEM_FREE_BP.value: (6, 16),
    GoalMetric.NODE_MEMCG_USED_BP.value: (6, 19),
    GoalMetric.NODE_MEMCG_FREE_BP.value: (6, 19),
    GoalMetric.ACTIVE_MEM_BP.value: (7, 0),
    GoalMetric.INACTIVE_MEM_BP.value: (7, 0),
    GoalMetric.NODE_ELIGIBLE_MEM_BP.value: (7, 2),
}
CORE_TYPES: dict[str, Version] = {FilterType.ADDR.value: (6, 6), FilterType.TARGET.value: (6, 6)}
OPS_TYPES: dict[str, Version] = {
    FilterType.ANON.value: (6, 3),
    FilterType.ACTIVE.value: (6, 15),
    FilterType.MEMCG.value: (6, 3),
    FilterType.YOUNG.value: (6, 10),
    FilterType.HUGEPAGE_SIZE.value: (6, 15),
    FilterType.UNMAPPED.value: (6, 15),
}
_K, _C = "kdamonds/K", "kdamonds/K/contexts/C"
_A, _T, _S = f"{_C}/monitoring_attrs", f"{_C}/targets", f"{_C}/schemes/S"
ULONG, UINT, INT, BOOL, TEXT = kinds.ULONG, kinds.UINT, kinds.INT, kinds.BOOL, kinds.TEXT


def _always(values: type[GoalTuner] | type[WatermarkMetric], since: Version = FIRST) -> KeywordVersions:
    return KeywordVersions({value.value: since for value in values})


def _range(path: str, low: int = 0, high: int = 0, since: Version = FIRST) -> list[Node]:
    return [Node(f"{path}/min", ULONG, low, since), Node(f"{path}/max", ULONG, high, since)]


def _filters(directory: str, types: dict[str, Version], since: Version) -> list[Node]:
    f = f"{_S}/{directory}/F"
    return [
        Node(f"{_S}/{directory}/nr_filters", kinds.count(), 0, since),
        Node(f"{f}/type", KeywordVersions(types), "anon", since),
        Node(f"{f}/matching", BOOL, False, since),
        Node(f"{f}/allow", BOOL, False, max(since, (6, 14))),
        Node(f"{f}/memcg_path", TEXT, "", since),
        Node(f"{f}/addr_start", ULONG, 0, max(since, (6, 6))),
        Node(f"{f}/addr_end", ULONG, 0, max(since, (6, 6))),
        *_range(f, since=max(since, (6, 15))),
        Node(f"{f}/damon_target_idx", INT, 0, max(since, (6, 6))),
    ]


def _results(path: str, *files: tuple[str, Version]) -> list[Node]:
    return [Node(f"{path}/{name}", ULONG, 0, since, writable=False) for name, since in files]


NODES: tuple[Node, ...] = (
    Node("kdamonds/nr_kdamonds", kinds.count()),
    Node(f"{_K}/state", None, "off"),
    Node(f"{_K}/pid", INT, -1, writable=False),
    Node(f"{_K}/refresh_ms", UINT, 0, (6, 17)),
    Node(f"{_K}/contexts/nr_contexts", kinds.count(1)),
    Node(f"{_C}/avail_operations", None, "", (5, 19), writable=False),
    Node(f"{_C}/operations", KeywordVersions(OPERATIONS), "vaddr"),
    Node(f"{_C}/addr_unit", kinds.positive(), 1, (6, 18)),
    Node(f"{_C}/pause", BOOL, False, (7, 2)),
    Node(f"{_A}/intervals/sample_us", ULONG, 5_000),
    Node(f"{_A}/intervals/aggr_us", ULONG, 100_000),
    Node(f"{_A}/intervals/update_us", ULONG, 60_000_000),
    *(
        Node(f"{_A}/intervals/intervals_goal/{name}", ULONG, 0, (6, 15))
        for name in ("access_bp", "aggrs", "min_sample_us", "max_sample_us")
    ),
    *_range(f"{_A}/nr_regions", 10, 1_000),
    Node(f"{_A}/probes/nr_probes", kinds.count(4), 0, (7, 2)),
    Node(f"{_A}/probes/P/filters/nr_filters", kinds.count(), 0, (7, 2)),
    Node(f"{_A}/probes/P/filters/F/type", KeywordVersions({"anon": (7, 2), "memcg": (7, 2)}), "anon", (7, 2)),
    Node(f"{_A}/probes/P/filters/F/matching", BOOL, False, (7, 2)),
    Node(f"{_A}/probes/P/filters/F/allow", BOOL, False, (7, 2)),
    Node(f"{_A}/probes/P/filters/F/path", TEXT, "", (7, 2)),
    Node(f"{_T}/nr_targets", kinds.count()),
    Node(f"{_T}/T/pid_target", kinds.INT_EINVAL, 0),
    Node(f"{_T}/T/obsolete_target", BOOL, False, (6, 19)),
    Node(f"{_T}/T/regions/nr_regions", kinds.count()),
    Node(f"{_T}/T/regions/R/start", ULONG),
    Node(f"{_T}/T/regions/R/end", ULONG),
    Node(f"{_C}/schemes/nr_schemes", kinds.count()),
    Node(f"{_S}/action", KeywordVersions(ACTIONS), "stat"),
    Node(f"{_S}/apply_interval_us", ULONG, 0, (6, 7)),
    Node(f"{_S}/target_nid", INT, -1, (6, 11)),
    *_range(f"{_S}/access_pattern/sz"),
    *_range(f"{_S}/access_pattern/nr_accesses"),
    *_range(f"{_S}/access_pattern/age"),
    Node(f"{_S}/quotas/ms", kinds.ULONG_EINVAL),
    Node(f"{_S}/quotas/bytes", kinds.ULONG_EINVAL),
    Node(f"{_S}/quotas/reset_interval_ms", kinds.ULONG_EINVAL),
    Node(f"{_S}/quotas/effective_bytes", ULONG, 0, (6, 9), writable=False),
    Node(f"{_S}/quotas/goal_tuner", _always(GoalTuner), "consist", (7, 1)),
    Node(f"{_S}/quotas/fail_charge_num", kinds.UINT_EINVAL, 0, (7, 2)),
    Node(f"{_S}/quotas/fail_charge_denom", kinds.UINT_EINVAL, 0, (7, 2)),
    *(Node(f"{_S}/quotas/weights/{name}_permil", UINT) for name in ("sz", "nr_accesses", "age")),
    Node(f"{_S}/quotas/goals/nr_goals", kinds.count(), 0, (6, 8)),
    Node(f"{_S}/quotas/goals/G/target_metric", KeywordVersions(METRICS), "user_input", (6, 9)),
    Node(f"{_S}/quotas/goals/G/target_value", ULONG, 0, (6, 8)),
    Node(f"{_S}/quotas/goals/G/current_value", ULONG, 0, (6, 8)),
    Node(f"{_S}/quotas/goals/G/nid", INT, 0, (6, 16)),
    Node(f"{_S}/quotas/goals/G/path", TEXT, "", (6, 19)),
    Node(f"{_S}/watermarks/metric", _always(WatermarkMetric), "none"),
    *(Node(f"{_S}/watermarks/{name}", ULONG) for name in ("interval_us", "high", "mid", "low")),
    *_filters("core_filters", CORE_TYPES, (6, 15)),
    *_filters("ops_filters", OPS_TYPES, (6, 15)),
    *_filters("filters", OPS_TYPES | CORE_TYPES, (6, 3)),
    Node(f"{_S}/dests/nr_dests", kinds.count(), 0, (6, 17)),
    Node(f"{_S}/dests/D/id", UINT, 0, (6, 17)),
    Node(f"{_S}/dests/D/weight", UINT, 0, (6, 17)),
    *_results(
        f"{_S}/stats", ("nr_tried", FIRST), ("sz_tried", FIRST), ("nr_applied", FIRST), ("sz_applied", FIRST),
        ("sz_ops_filter_passed", (6, 14)), ("qt_exceeds", FIRST), ("nr_snapshots", (7, 0)),
    ),
    Node(f"{_S}/stats/max_nr_snapshots", ULONG, 0, (7, 0)),
    *_results(f"{_S}/tried_regions", ("total_bytes", (6, 6))),
    *_results(
        f"{_S}/tried_regions/R", ("start", (6, 2)), ("end", (6, 2)), ("nr_accesses", (6, 2)), ("age", (6, 2)),
        ("sz_filter_passed", (6, 14)),
    ),
    *_results(f"{_S}/tried_regions/R/probes/P", ("hits", (7, 2))),
)  # fmt: skip


@dataclass(slots=True)
class Shape:
    """What a directory has: files, fixed directories, and what each numbered directory is like (`each`)."""

    files: dict[str, Node] = field(default_factory=dict)
    directories: dict[str, Shape] = field(default_factory=dict)
    each: Shape | None = None


def shape_at(version: Version = BASELINE) -> Shape:
    """The shape of `admin` in the kernel `version`. Raises UsageError for one that had no tree."""
    if version < FIRST:
        raise UsageError(f"Linux {version[0]}.{version[1]} had no such tree; give 5.18 or later.")
    root = Shape()
    for node in NODES:
        if node.since > version:
            continue
        *directories, name = node.path.split("/")
        place = root
        for part in directories:
            if len(part) == 1 and part.isupper():
                place.each = place.each or Shape()
                place = place.each
            else:
                place = place.directories.setdefault(part, Shape())
        place.files[name] = replace(node, kind=node.kind_at(version))
    return root


def state_words(version: Version) -> tuple[str, ...]:
    return tuple(word for word, since in STATE_WORDS.items() if since <= version)


def parse_version(text: str) -> Version:
    """A kernel version as people write it: 6.12. Raises UsageError."""
    found = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", text)
    if found is None:
        raise UsageError(f"{text!r} is not a kernel version; give it like 6.12.")
    return int(found[1]), int(found[2])


def rows() -> Iterator[tuple[str, str, str, str, str]]:
    """The table for documents: path, mode, type, default, since."""
    for node in NODES:
        kind = node.kind
        if kind is None:
            word = ", ".join(STATE_WORDS) if node.path.endswith("state") else "names, one a line"
        else:
            word = ", ".join(kind.since) if isinstance(kind, KeywordVersions) else kind.word
        shown = node.kind_at(BASELINE)
        default = str(node.default) if shown is None else shown.show(node.default)
        yield node.path, f"{node.mode:o}", word, default, "{}.{}".format(*node.since)


def table() -> str:
    """All files as a table in Markdown: docs/control.md has it, and a test holds the two together."""
    lines = ["| file below admin/ | mode | takes | at first | since |", "|---|---|---|---|---|"]
    for path, mode, word, default, since in rows():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{path}` | {mode} | {word if mode == '600' else ''} | {shown} | {since} |")
    return "\n".join(lines) + "\n"
