"""docs/api.md from the docstrings of the library: `python -m scripts.api_docs` writes it, `--check` tells whether it is
what it would write."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ForwardRef

import udamon
from udamon import errors
from udamon.api.recording import Region

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"

HEAD = """# The library

<!-- Made by `python -m scripts.api_docs` from the docstrings; change those. -->

    from udamon import Monitor, MonitorSpec, Recording, Scheme, Snapshot, UdamonError, doctor, evaluate

What is not on this page is private and may change. Times are in seconds, sizes in bytes and shares fractions, where
nothing else is said. `examples/` has scripts of up to 20 lines. `import udamon` takes about a
millisecond: the rest is imported when it is used.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in udamon.__all__:
        parts += _entry(name, getattr(udamon, name))
        if name == "Recording":
            parts += _entry("Region", Region)
    parts += ["## Errors\n", _code(inspect.getdoc(errors) or "", "text")]
    return "\n".join(parts).rstrip() + "\n"


def _entry(name: str, thing: object) -> Iterator[str]:
    yield f"## {name}\n"
    if inspect.isfunction(thing):
        yield _code(f"{name}{_signature(thing)}")
    elif inspect.isclass(thing) and not issubclass(thing, Exception):
        yield _code(_class(name, thing))
    yield _text(inspect.getdoc(thing) or "")
    if inspect.isclass(thing):
        yield from _members(thing)


def _class(name: str, thing: type) -> str:
    if not dataclasses.is_dataclass(thing):
        return f"{name}{_signature(thing)}"
    fields = [f"    {field.name}: {field.type}{_default(field)}," for field in dataclasses.fields(thing)]
    return "\n".join([f"{name}(", *fields, ")"])


def _default(field: dataclasses.Field[object]) -> str:
    return "" if field.default is dataclasses.MISSING else f" = {field.default!r}"


def _members(thing: type) -> Iterator[str]:
    for name, member in vars(thing).items():
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        if isinstance(member, property):
            yield f"### {thing.__name__}.{name}\n"
            returned = inspect.signature(member.fget).return_annotation if member.fget else ""
            yield _code(f"{name}: {returned}")
        else:
            yield f"### {thing.__name__}.{name}()\n"
            yield _code(f"{name}{_signature(member)}")
        yield _text(inspect.getdoc(member) or "")


class _Plain:
    """An annotation as it stands in the source, without the quotes that inspect would put around it."""

    def __init__(self, text: object) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text.__forward_arg__ if isinstance(self._text, ForwardRef) else str(self._text)


def _signature(thing: object) -> str:
    assert callable(thing)
    signature = inspect.signature(thing)
    kept = [
        one if one.annotation is one.empty else one.replace(annotation=_Plain(one.annotation))
        for name, one in signature.parameters.items()
        if name != "self"
    ]
    returned = signature.return_annotation
    if returned in (signature.empty, "None", None):
        return str(signature.replace(parameters=kept, return_annotation=signature.empty))
    return str(signature.replace(parameters=kept, return_annotation=_Plain(returned)))


def _code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```\n"


def _text(doc: str) -> str:
    """A docstring as Markdown: what describes a field (`name: …`) becomes an item of a list."""
    lines: list[str] = []
    inside = False  # of an item
    for line in doc.splitlines():
        word = line.split(":")[0]
        begins = inside or not lines or not lines[-1]  # what stands within a sentence is none
        named = ":" in line and not line.startswith(" ")
        item = begins and named and all(one.isidentifier() for one in word.split(", "))
        inside = item or (inside and line.startswith("    "))
        if item:
            lines.append(f"- `{word}`{line[len(word) :]}")
        else:
            lines.append(line[2:] if inside else line)
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> int:
    """Returns the exit status."""
    if "--check" in words:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
