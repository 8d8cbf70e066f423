"""Text on the screen: what comes from outside is escaped, and is never taken for markup."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from rich.text import Text, TextType
from textual.app import App

from udamon.text import Shown, ascii_only, escape


class EscapedText(Text):
    """A text of lines; whatever is added to it is escaped as one line."""

    def __init__(self, text: str = "", style: str | Style = "", *, right: bool = False) -> None:
        super().__init__(escape(text), style, justify="right" if right else None)

    def append(self, text: TextType, style: str | Style | None = None) -> EscapedText:
        super().append(text if isinstance(text, Text) else escape(text), style)
        return self

    @classmethod
    def lines(cls, found: Iterable[Text]) -> EscapedText:
        """Texts one below the other."""
        whole = cls()
        for number, each in enumerate(found):
            if number:
                whole.append(Text("\n"))
            whole.append(each)
        return whole


def segment(text: str, style: Style | None = None) -> Segment:
    """A piece of a line, escaped."""
    return Segment(escape(text), style)


def picture(signs: str, style: Style | None = None) -> Segment:
    """A piece of a picture of block signs; see `blocks`."""
    return Segment(blocks(signs), style)


_ASCII = str.maketrans(
    {"█": "#", "▀": "#", "▄": "#", **dict.fromkeys("▁▂▃", "."), **dict.fromkeys("▄▅▆▇", "#")}
)


def blocks(signs: str) -> Shown:
    """Block signs, or what stands for them where there is only ASCII."""
    return escape(signs.translate(_ASCII) if ascii_only() else signs, plain=False)


_FRAMES = """
Question > Vertical, KeysScreen > Vertical { border: ascii $primary !important; }
Input, Input:focus { border: ascii $primary !important; }
Toast { border-left: none !important; }
"""
"""Frames without block signs and lines."""


class TellingApp(App[None]):
    """An app whose notices are escaped, and have no markup; in ASCII alone where there is nothing else."""

    def __init__(self) -> None:
        super().__init__()
        if ascii_only():
            self.stylesheet.add_source(_FRAMES)

    def notify(self, message: str, *, markup: bool = False, **options: object) -> None:
        super().notify(escape(message), markup=False, **options)  # type: ignore[arg-type]
