"""A page as one HTML file: style, script and data inside, no network, and nothing of a recording is markup.

Texts are escaped as those for terminals are, so that no name turns a line around or hides a part of it. The content
security policy allows this script and this style by their hashes and nothing else, so that even a mistake in escaping
could neither run a script nor reach a network.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from udamon.text import escape as shown

SCRIPTS = (
    "units.js", "colours.js", "view.js", "heat.js", "curve.js", "answers.js", "tables.js", "sites.js", "page.js",
)  # fmt: skip

COMPARISON = ("units.js", "colours.js", "view.js", "answers.js", "diff.js")

FLEET = ("units.js", "answers.js", "fleet.js")

_MARKUP = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def html(document: Mapping[str, Any]) -> str:
    """The file of a page's document (udamon.report.page.document)."""
    return _file("page.html", SCRIPTS, document)


def comparison(document: Mapping[str, Any]) -> str:
    """The file of a page of two recordings (udamon.report.page.comparison)."""
    return _file("diff.html", COMPARISON, document)


def fleet(document: Mapping[str, Any]) -> str:
    """The file of a page of a report over a fleet (udamon.report.fleet.page)."""
    return _file("fleet.html", FLEET, document)


def _file(template: str, scripts: Sequence[str], document: Mapping[str, Any]) -> str:
    style = _asset("page.css")
    document = _shown(document)
    # One scope for all files of the script: nothing of it becomes a global.
    script = '"use strict";\n{\n' + "\n".join(map(_asset, scripts)) + "\n}\n"
    return Template("".join(map(_asset, ("head.html", template, "tail.html")))).substitute(
        title=escape(document["title"]),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=embedded(document),
    )


def embedded(document: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element: no sign in it can end the element or begin another."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).translate(_MARKUP)


def _shown(value: Any) -> Any:
    """The same document with every text in it, names of keys apart, as printable characters in one line.

    What has to find its way back to a text of the recording goes by numbers, not by names.
    """
    match value:
        case str():
            return str(shown(value, plain=False))
        case dict():
            return {key: _shown(each) for key, each in value.items()}
        case list() | tuple():
            return [_shown(each) for each in value]
    return value


def _asset(name: str) -> str:
    return files("udamon.report.page").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode("ascii")
