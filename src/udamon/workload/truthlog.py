"""The log of what a real run does: one JSON line before each phase, for whoever judges a monitor by it.

`{"t", "kind", "phase", "regions": [{"name", "start", "end", "hot"}]}`: t in seconds on CLOCK_MONOTONIC,
addresses in bytes. `kind` is "phase", or "init" for the time in which regions are filled and "end" for
the last line, in both of which nothing is hot. A region is hot in a phase when a page of it is accessed
with a chance of at least one half per 5 ms, on average over its resident pages and over time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Literal

from udamon.files.names import Identity
from udamon.files.output import OutputFile
from udamon.workload.layout import Layout
from udamon.workload.spec import Workload
from udamon.workload.truth import Truth

SAMPLE_NS = 5_000_000
"""The sampling interval in which a page must be accessed with a chance of one half to be hot."""


class TruthLog:
    """Writes the log of `workload` at `layout` to the file at `path`, or nowhere. Raises what OutputFile raises."""

    def __init__(
        self,
        path: str | None,
        workload: Workload,
        layout: Layout,
        *,
        force: bool = False,
        inputs: Iterable[Identity] = (),
    ) -> None:
        self._layout = layout
        self._truth = Truth(workload, layout)
        self._file: OutputFile | None = None
        if path is not None:
            self._file = OutputFile(
                path, b"", force=force, inputs=inputs, what="the log", again="run it again"
            )

    def __enter__(self) -> TruthLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def phase(self, index: int) -> None:
        """Phase number `index` begins now."""
        chances = self._truth.region_chances(index, SAMPLE_NS)
        self._write("phase", self._truth.workload.phases[index].name, [chance >= 0.5 for chance in chances])

    def mark(self, kind: Literal["init", "end"]) -> None:
        """The run begins or ends now."""
        self._write(kind, kind, [False] * len(self._layout.regions))

    def _write(self, kind: str, phase: str, hot: list[bool]) -> None:
        if self._file is None:
            return
        regions = [
            {"name": region.name, "start": region.start, "end": region.end, "hot": is_hot}
            for region, is_hot in zip(self._layout.regions, hot, strict=True)
        ]
        line = {"t": time.monotonic(), "kind": kind, "phase": phase, "regions": regions}
        self._file.append(json.dumps(line).encode() + b"\n")
