"""Imports point down. These tests read the source of udamon (not the installed package) and fail on one that
points up, on I/O in the core, on an optional dependency that a plain `import udamon…` would load, and on a
file that has outgrown one subject.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imports import SOURCE, Import, files_of, imports_of

LAYERS: list[tuple[set[str], str]] = [
    # From the top down. A room may import what stands below its row, and itself; not its neighbours.
    ({"__main__"}, "python -m udamon"),
    ({"cli", "pytest_plugin"}, "commands: parse, call, print; the same from a test"),
    ({"api"}, "the library: what `from udamon import …` gives"),
    ({"live"}, "the live view: it lays memory out as reports do"),
    ({"report", "control", "agent"}, "clients of snapshots and recordings"),
    ({"fleet"}, "tables of many machines, and what writes, moves and merges their objects"),
    ({"record"}, "writer, reader, converters"),
    ({"sites"}, "allocations of a command, by the code that makes them"),
    ({"evaluation"}, "accuracy and cost against the known truth"),
    ({"modules"}, "reclaim, lru_sort, stat: schemes with good defaults"),
    ({"schemes"}, "what to do about it: pure decisions"),
    ({"assembly"}, "from a specification to a monitor that is ready to run"),
    ({"engine"}, "the kdamond loop, and the engine that drives in-kernel DAMON"),
    ({"availability"}, "what this machine offers: primitives and actions, and what is missing"),
    ({"ops"}, "where memory is, and whether it was touched"),
    ({"acting"}, "what an action does to memory"),
    (
        {"targets", "claim", "scheme_metrics"},
        "which processes; in-kernel DAMON for us alone; numbers for schemes",
    ),
    ({"lock"}, "one monitor for each target"),
    ({"handover"}, "asking the agent for its targets"),
    ({"workload"}, "workloads with a known truth: really run, or simulated by ops"),
    ({"files"}, "whatever is written, and kept for a time"),
    ({"core", "linux"}, "pure monitoring logic; typed readers of the kernel's files"),
    ({"configuration"}, "configuration files, by lines; udamon's own two"),
    ({"console"}, "what is printed: standard output and error"),
    ({"ranges"}, "arithmetic on lists of address ranges"),
    ({"model"}, "the values that cross rooms"),
    ({"native"}, "the C hot path, and what it says of this machine"),
    ({"plain_json"}, "JSON that anybody may have written"),
    ({"units"}, "how people write sizes and times"),
    ({"arguments"}, "what callers of the library give: numbers and paths"),
    ({"extras"}, "optional dependencies, and how they are installed"),
    ({"errors"}, "what udamon raises on purpose"),
    ({"text"}, "whatever comes from outside, as text that a terminal shows and does not obey"),
    ({"closing"}, "what a with statement closes"),
    ({"built"}, "which udamon this is: version, commit, package"),
    ({"__init__"}, "the version, and the names of the library, which are imported when they are used"),
]

CORE_MAY_NOT_IMPORT = {
    "fcntl", "io", "mmap", "multiprocessing", "os", "pathlib", "select", "selectors", "shutil", "signal",
    "socket", "subprocess", "sys", "tempfile",
}  # fmt: skip
CORE_MAY_NOT_CALL = {"open", "print", "input", "exec", "eval"}

BASE_DEPENDENCIES = {"arro3"}
"""Third-party packages that any file may import at its top. DuckDB is in the base install, too, and takes 60 MiB."""

NEED_AN_EXTRA: dict[str, set[str]] = {
    "live/app.py": {"textual"},
    "live/asking.py": {"textual"},
    "live/choosing.py": {"textual"},
    "live/keys.py": {"textual"},
    "live/listing.py": {"rich", "textual"},
    "live/screens.py": {"textual"},
    "live/widgets.py": {"textual", "rich"},
    "live/words.py": {"textual", "rich"},
    "pytest_plugin.py": {"pytest"},
    "report/fleet/spark_source.py": {"pyspark"},
}
"""Files that may import an extra at their top, because they derive from its classes. Whoever uses such a
file imports it inside a function (checked here too). Path under src/udamon -> packages."""

MAX_LINES = 400
LONGER = {
    "native/_native.pyi": "an extension module has one stub",
}
"""Files that may have more lines, with the reason. Path under src/udamon -> reason."""


def python_files(below: Path = SOURCE) -> list[Path]:
    return sorted(below.rglob("*.py")) + sorted(below.rglob("*.pyi"))


def rank_of(room: str) -> int:
    """Height of a room: 0 is the bottom."""
    for height, (rooms, _) in enumerate(reversed(LAYERS)):
        if room in rooms:
            return height
    raise AssertionError(f"{room} is in no layer: give it a row in LAYERS")


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0].removesuffix(".py") if len(parts) == 1 else parts[0]


def room_of_module(module: str) -> str | None:
    """The room an absolute module name lies in; None outside udamon."""
    parts = module.split(".")
    if parts[0] != "udamon":
        return None
    there = len(parts) > 1 and ((SOURCE / parts[1]).is_dir() or (SOURCE / f"{parts[1]}.py").exists())
    return parts[1] if there else "__init__"


def points_up(imported: Import) -> bool:
    if imported.path == SOURCE / "__init__.py" and imported.nested:
        return False  # for type checkers, and when a name of the library is used
    here, there = room_of(imported.path), room_of_module(imported.module)
    return there is not None and there != here and rank_of(there) >= rank_of(here)


def outside_base(imported: Import) -> bool:
    top = imported.module.split(".")[0]
    return top not in sys.stdlib_module_names and top not in BASE_DEPENDENCIES | {"udamon", "__future__"}


def lines(found: list[Import]) -> str:
    return "\n".join(map(str, found))


def test_every_room_has_a_layer() -> None:
    for path in python_files():
        rank_of(room_of(path))


def test_imports_point_down() -> None:
    """Also inside functions: an import that waits until it is called still points up."""
    wrong = [found for path in python_files() for found in imports_of(path) if points_up(found)]
    assert not wrong, f"these imports do not point down (see LAYERS):\n{lines(wrong)}"


def test_no_module_leads_back_to_itself() -> None:
    """Also inside functions, and for type checkers: of modules in a circle none can be read or changed alone."""
    circles = list(_circles({path: _imported(path) for path in SOURCE.rglob("*.py")}))
    assert not circles, f"these import one another: {circles}"


def _imported(path: Path) -> set[Path]:
    return {file for found in imports_of(path) for file in files_of(found.module)}


def _circles(imported: dict[Path, set[Path]]) -> Iterator[list[str]]:
    """Each module that is left, with what it imports, when those are taken away again and again that import none of
    the others or are imported by none."""
    left = dict(imported)
    while True:
        used = {file for path, files in left.items() for file in files - {path}}
        kept = {p: files for p, files in left.items() if p in used and (files - {p}) & left.keys()}
        if len(kept) == len(left):
            break
        left = kept
    for path in left:
        yield [
            str(path.relative_to(SOURCE)),
            *sorted(str(f.relative_to(SOURCE)) for f in left[path] & left.keys()),
        ]


def test_the_core_does_no_io() -> None:
    wrong = [
        found
        for path in python_files(SOURCE / "core")
        for found in imports_of(path)
        if found.module.split(".")[0] in CORE_MAY_NOT_IMPORT
    ]
    assert not wrong, f"the core does no I/O:\n{lines(wrong)}"
    for path in python_files(SOURCE / "core"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in CORE_MAY_NOT_CALL, (
                    f"{path.name}:{node.lineno} calls {node.func.id}"
                )


WRITES: dict[str, set[str]] = {
    "control/executing.py": {"write_text"},  # inside a temporary directory of its own
    "control/private_sys.py": {"symlink_to", "touch"},  # likewise
    "sites/collector.py": {"copyfile"},  # inside a temporary directory of its own
    "pytest_plugin.py": {"mktemp"},  # pytest's own
    "control/running.py": {"write_text"},  # /proc/self/comm
    "linux/cgroup/memory.py": {"open"},  # memory.reclaim
    "record/foreign.py": {"open"},  # a descriptor that files/temporary.py has made
    "console.py": {"open"},  # standard error, where it was closed
    "claim/note.py": {"unlink"},  # its own, in /run/udamon
    "fleet/store.py": {"unlink"},  # an object, where objects lie
    "fleet/compaction.py": {"unlink"},  # inside a temporary directory of its own
    "control/event_stream.py": {"mkfifo"},  # where nothing is
}
"""What files outside files/ may do of what makes, changes or removes files. Path under src/udamon -> names."""

MAKE_FILES = {
    "O_CREAT", "O_TRUNC", "O_TMPFILE", "rename", "renames", "link", "symlink", "truncate",
    "unlink", "mkfifo", "mknod", "write_text", "write_bytes", "touch", "symlink_to", "hardlink_to",
    "mkdtemp", "mkstemp", "mktemp", "NamedTemporaryFile", "copyfile", "copy2", "copytree", "rmtree",
}  # fmt: skip


def test_only_files_makes_files() -> None:
    """Everything that is written or removed goes through udamon.files, where all the ways to be misled are known."""
    wrong = []
    for path in python_files():
        name = str(path.relative_to(SOURCE))
        used = set(_makes_files(ast.parse(path.read_text())))
        if room_of(path) != "files" and used != WRITES.get(name, set()):
            wrong.append(f"{name}: {sorted(used)}, and {sorted(WRITES.get(name, set()))} is allowed")
    assert not wrong, "these make or change files by themselves, use udamon.files:\n" + "\n".join(wrong)


def _makes_files(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in MAKE_FILES:
            of_native = isinstance(node.value, ast.Name) and node.value.id == "_native"
            if not of_native:
                yield node.attr
        elif isinstance(node, ast.Attribute) and node.attr == "replace":
            if isinstance(node.value, ast.Name) and node.value.id == "os":
                yield "replace"
        elif isinstance(node, ast.Call):
            function = node.func
            called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            words = [*node.args, *(keyword.value for keyword in node.keywords)]
            modes = [
                word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)
            ]
            if called == "open" and any(
                set(mode) <= set("rwxab+t") and set(mode) & set("wxa+") for mode in modes
            ):
                yield "open"


def test_extras_are_imported_where_they_are_used() -> None:
    """`import udamon.<anything>` works with the base install alone. Stubs are never imported."""
    wrong = [
        found
        for path in SOURCE.rglob("*.py")
        for found in imports_of(path)
        if not found.nested
        and outside_base(found)
        and found.module.split(".")[0] not in NEED_AN_EXTRA.get(str(path.relative_to(SOURCE)), ())
    ]
    assert not wrong, f"import an optional dependency inside the function that needs it:\n{lines(wrong)}"


def test_files_that_need_an_extra_are_imported_late() -> None:
    heavy = {"udamon." + name.removesuffix(".py").replace("/", ".") for name in NEED_AN_EXTRA}
    wrong = [
        found
        for path in python_files()
        if str(path.relative_to(SOURCE)) not in NEED_AN_EXTRA  # these come late together
        for found in imports_of(path)
        if not found.nested and any(f"{found.module}.".startswith(f"{module}.") for module in heavy)
    ]
    assert not wrong, f"import these inside a function:\n{lines(wrong)}"


def test_files_stay_small() -> None:
    sources = [p for p in SOURCE.rglob("*") if p.suffix in (".py", ".pyi", ".c", ".h")]
    long = {
        str(p.relative_to(SOURCE)): n for p in sources if (n := len(p.read_text().splitlines())) > MAX_LINES
    }
    assert long.keys() == LONGER.keys(), (
        f"over {MAX_LINES} lines, which usually hides a second subject: {long}"
    )


@pytest.mark.parametrize(
    ("where", "text", "expected"),
    [
        ("core/x.py", "from udamon.ops import base", True),
        ("core/x.py", "from udamon import model", False),
        ("core/x.py", "from udamon import __version__", False),
        ("core/x.py", "def f():\n    import udamon.cli.main", True),
        ("core/x.py", "from .. import engine", True),
        ("core/x.py", "from . import attrs", False),
        ("core/x.py", "from udamon.linux import maps", True),
        ("ops/x.py", "from udamon.core.policy import Slots", False),
        ("report/x.py", "from udamon.record import reader", False),
        ("report/x.py", "import udamon.cli", True),
        ("__init__.py", "from .errors import UdamonError", True),
    ],
)
def test_the_walk_itself(where: str, text: str, expected: bool) -> None:
    """The rules above catch what they should, on sources made up for it."""
    found = imports_of(SOURCE / where, text)
    assert any(points_up(each) for each in found) is expected


SAME_NAME = {"Recording", "Region", "Scheme"}
"""Class names that two modules have: the library's class, and the internal one that it stands for."""


def test_class_names_are_unique() -> None:
    """A reader who finds a class by its name finds one."""
    found: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert twice.keys() == SAME_NAME, {name: twice[name] for name in twice.keys() - SAME_NAME}
    assert all(any(place.startswith("api/") for place in twice[name]) for name in SAME_NAME)
