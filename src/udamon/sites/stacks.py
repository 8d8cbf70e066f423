"""Stacks as modules and addresses within their files: what stays true when the process is gone, and in its forks."""

from __future__ import annotations

from bisect import bisect_right

from udamon.sites.ring import PYTHON_CALL, Module, PythonCall, Stack

NOWHERE = -1
"""The module of code that lies in no file: it was made at run time."""

PYTHON = "[python]"
"""The path of the module whose addresses are calls of Python: numbers, from 1."""

MOST_STACKS, MOST_MODULES = 1 << 18, 1 << 14
"""Of one recording; what comes beyond is one stack that says so."""

MOST_PYTHON = 1 << 16
"""Calls of Python; with their names they take 100 MiB at most, whatever a process sends."""

Frames = tuple[tuple[int, int], ...]
"""(module, address in its file), the innermost first."""


class StackNumbers:
    """Numbers for modules and stacks, the same for all processes; what is new waits to be taken."""

    def __init__(self) -> None:
        self._modules: dict[tuple[str, bytes], int] = {}
        self._stacks: dict[Frames, int] = {}
        self.new_modules: list[tuple[int, str, bytes]] = []
        self.new_stacks: list[tuple[int, Frames]] = []
        self._python: dict[tuple[str, str, int], int] = {}
        self.new_python: list[tuple[int, PythonCall]] = []

    def module(self, path: str, build_id: bytes) -> int:
        """The number of a file of code; NOWHERE where there are too many."""
        number = self._modules.get((path, build_id))
        if number is None:
            if len(self._modules) == MOST_MODULES:
                return NOWHERE
            number = self._modules[path, build_id] = len(self._modules)
            self.new_modules.append((number, path, build_id))
        return number

    def python(self, call: PythonCall) -> tuple[int, int]:
        """The module and the number of a call of Python; 0 is one without a name, where there are too many."""
        key = call.function, call.file, call.line
        number = self._python.get(key)
        if number is None:
            if len(self._python) == MOST_PYTHON:
                return self.module(PYTHON, b""), 0
            number = self._python[key] = len(self._python) + 1
            self.new_python.append((number, call))
        return self.module(PYTHON, b""), number

    def stack(self, frames: Frames) -> int:
        """The number of a stack."""
        number = self._stacks.get(frames)
        if number is None:
            if len(self._stacks) >= MOST_STACKS and frames:
                return self.stack(())
            number = self._stacks[frames] = len(self._stacks)
            self.new_stacks.append((number, frames))
        return number


class Code:
    """The code of one process, as far as it was told: turns its stacks into numbers of a StackNumbers."""

    def __init__(self, table: StackNumbers) -> None:
        self._table = table
        self._starts: list[int] = []
        self._modules: list[tuple[Module, int]] = []
        self._stacks: dict[int, int] = {}
        self._python: dict[int, tuple[int, int]] = {}

    def add_module(self, module: Module) -> None:
        """Take in a module; what lay there before is gone."""
        kept = [one for one in self._modules if one[0].end <= module.start or module.end <= one[0].start]
        kept.append((module, self._table.module(module.path, module.build_id)))
        self._modules = sorted(kept, key=lambda one: one[0].start)[:MOST_MODULES]
        self._starts = [one[0].start for one in self._modules]

    def add_python(self, call: PythonCall) -> None:
        """Take in a call of Python."""
        if len(self._python) < MOST_PYTHON:
            self._python[call.hash] = self._table.python(call)

    def add_stack(self, stack: Stack) -> None:
        """Take in a stack."""
        if len(self._stacks) < MOST_STACKS:
            self._stacks[stack.hash] = self._table.stack(tuple(map(self._frame, stack.pcs)))

    def number(self, stack_hash: int) -> int:
        """The number of a stack; that of an empty one where it was not told."""
        found = self._stacks.get(stack_hash)
        return self._table.stack(()) if found is None else found

    def _frame(self, pc: int) -> tuple[int, int]:
        if pc & PYTHON_CALL:
            return self._python.get(pc) or (NOWHERE, 0)
        at = bisect_right(self._starts, pc) - 1
        if at >= 0 and pc < self._modules[at][0].end:
            module, number = self._modules[at]
            return number, (pc - module.bias) & ((1 << 64) - 1)
        return NOWHERE, pc
