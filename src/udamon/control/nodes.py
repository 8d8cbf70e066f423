"""The tree as data: every file of /sys/kernel/mm/damon/admin, from which all else about the tree follows.

Facts from docs/damon.md#sysfs and #when-features-arrived (when a file arrived). A path has a capital
letter where directories 0, 1, … stand, as many as the file `nr_…` beside them says. The served files, their
tests and the table of docs/control.md are made from this list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from udamon.control import kinds
from udamon.control.kinds import Kind, Value
from udamon.core.scheme import FilterType
from udamon.core.scheme_fields import (
    FILTER_DIRECTORIES,
    FIRST,
    LISTS,
    SchemeField,
    StoredAs,
    Version,
    of_list,
    single,
)
from udamon.errors import UsageError

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
_K, _C = "kdamonds/K", "kdamonds/K/contexts/C"
_A, _T, _S = f"{_C}/monitoring_attrs", f"{_C}/targets", f"{_C}/schemes/S"
ULONG, UINT, INT, BOOL, TEXT = kinds.ULONG, kinds.UINT, kinds.INT, kinds.BOOL, kinds.TEXT


def _range(path: str, low: int = 0, high: int = 0, since: Version = FIRST) -> list[Node]:
    return [Node(f"{path}/min", ULONG, low, since), Node(f"{path}/max", ULONG, high, since)]


_KINDS: dict[StoredAs, Kind] = {
    StoredAs.ULONG: kinds.ULONG, StoredAs.ULONG_EINVAL: kinds.ULONG_EINVAL, StoredAs.UINT: kinds.UINT,
    StoredAs.UINT_EINVAL: kinds.UINT_EINVAL, StoredAs.INT: kinds.INT, StoredAs.BOOL: kinds.BOOL,
    StoredAs.TEXT: kinds.TEXT,
}  # fmt: skip


def _field(field: SchemeField, directory: str = "", words: Mapping[str, Version] | None = None) -> Node:
    """The file of a scheme's field; of a filter in its `directory`, which has types of its own (`words`)."""
    path, since = field.path, field.since
    if directory:
        path = path.replace("filters", directory, 1)
        since = max(since, FILTER_DIRECTORIES[directory][1])
    words = (words if field.kind is FilterType else None) or field.words
    kind = KeywordVersions({str(word): at for word, at in words.items()}) if words else _KINDS[field.stored]
    return Node(f"{_S}/{path}", kind, field.default, since)


def _list(path: str, since: Version = FIRST, directory: str = "") -> list[Node]:
    (one,) = (known for known in LISTS if known.path == path)
    words = FILTER_DIRECTORIES[directory][0] if directory else None
    return [
        Node(f"{_S}/{directory or path}/{one.count}", kinds.count(), 0, max(since, one.since)),
        *(_field(field, directory, words) for field in of_list(path)),
    ]


def _single(*under: str) -> list[Node]:
    """The fields of a scheme in these directories ("" are its own)."""
    return [_field(field) for field in single() if any(_is_in(field.path, at) for at in under)]


def _is_in(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/") if directory else "/" not in path


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
    *_single("", "access_pattern", "quotas"),
    Node(f"{_S}/quotas/effective_bytes", ULONG, 0, (6, 9), writable=False),
    *_list("quotas/goals"),
    *_single("watermarks"),
    *(node for name, (_, since) in FILTER_DIRECTORIES.items() for node in _list("filters", since, name)),
    *_list("dests"),
    *_results(
        f"{_S}/stats", ("nr_tried", FIRST), ("sz_tried", FIRST), ("nr_applied", FIRST), ("sz_applied", FIRST),
        ("sz_ops_filter_passed", (6, 14)), ("qt_exceeds", FIRST), ("nr_snapshots", (7, 0)),
    ),
    *_single("stats"),
    *_results(f"{_S}/tried_regions", ("total_bytes", (6, 6))),
    *_results(
        f"{_S}/tried_regions/R", ("start", (6, 2)), ("end", (6, 2)), ("nr_accesses", (6, 2)), ("age", (6, 2)),
        ("sz_filter_passed", (6, 14)),
    ),
    *_results(f"{_S}/tried_regions/R/probes/P", ("hits", (7, 2))),
)  # fmt: skip


@dataclass(slots=True)
class NodeShape:
    """What a directory has: files, fixed directories, and what each numbered directory is like (`each`)."""

    files: dict[str, Node] = field(default_factory=dict)
    directories: dict[str, NodeShape] = field(default_factory=dict)
    each: NodeShape | None = None


def shape_at(version: Version = BASELINE) -> NodeShape:
    """The shape of `admin` in the kernel `version`. Raises UsageError for one that had no tree."""
    if version < FIRST:
        raise UsageError(f"Linux {version[0]}.{version[1]} had no such tree; give 5.18 or later.")
    root = NodeShape()
    for node in NODES:
        if node.since > version:
            continue
        *directories, name = node.path.split("/")
        place = root
        for part in directories:
            if len(part) == 1 and part.isupper():
                place.each = place.each or NodeShape()
                place = place.each
            else:
                place = place.directories.setdefault(part, NodeShape())
        place.files[name] = replace(node, kind=node.kind_at(version))
    return root


def state_words(version: Version) -> tuple[str, ...]:
    """What the file state takes in a kernel of this version."""
    return tuple(word for word, since in STATE_WORDS.items() if since <= version)


def parse_version(text: str) -> Version:
    """A kernel version as people write it: 6.12. Raises UsageError, also for one later than BASELINE."""
    found = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})(\.[0-9]{1,3})?", text)
    if found is None:
        raise UsageError(f"{text[:60]!r} is not a kernel version; give it like 6.12.")
    version = int(found[1]), int(found[2])
    if version > BASELINE:
        raise UsageError(
            f"the files of Linux {text} are not known here; give at most {BASELINE[0]}.{BASELINE[1]}."
        )
    return version


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
    """All files as a table in Markdown: docs/control.md has it (scripts/tables.py)."""
    lines = ["| file below admin/ | mode | takes | at first | since |", "|---|---|---|---|---|"]
    for path, mode, word, default, since in rows():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{path}` | {mode} | {word if mode == '600' else ''} | {shown} | {since} |")
    return "\n".join(lines) + "\n"
