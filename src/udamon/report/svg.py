"""A drawing as SVG: no script, no link and no font of its own, so that it shows on any page."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from math import ceil
from typing import assert_never

from udamon.report.charts.shapes import (
    FONT_SIZE,
    INK,
    PAPER,
    Area,
    Box,
    Drawing,
    Label,
    Polyline,
    Raster,
    Shape,
)
from udamon.report.terminal import RGB
from udamon.text import escape as shown

FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"


def svg(drawing: Drawing) -> str:
    """The file's text. Everything that comes from a recording is escaped."""
    width, height = drawing.width, drawing.height
    box = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-labelledby="title">',
            f'<title id="title">{_text(drawing.title)}</title>',
            f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
            f'<g font-family="{FONT}" font-size="{FONT_SIZE}" fill="{INK}">',
            *map(_shape, drawing.shapes),
            "</g>",
            "</svg>\n",
        ]
    )


def _shape(shape: Shape) -> str:
    match shape:
        case Box(x, y, width, height, fill, title):
            end = f"><title>{_text(title)}</title></rect>" if title else "/>"
            return (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{end}'
            )
        case Polyline(points, stroke, width, dash):
            dashes = f' stroke-dasharray="{dash[0]:g} {dash[1]:g}"' if dash else ""
            return (
                f'<polyline points="{_points(points)}" fill="none" stroke="{stroke}" '
                f'stroke-width="{width:g}" stroke-linejoin="round"{dashes}/>'
            )
        case Area(points, fill):
            return f'<polygon points="{_points(points)}" fill="{fill}"/>'
        case Label():
            return _words(shape)
        case Raster():
            return _raster(shape)
        case _:
            assert_never(shape)


def _words(words: Label) -> str:
    more = "" if words.anchor == "start" else f' text-anchor="{words.anchor}"'
    more += "" if words.colour == INK else f' fill="{words.colour}"'
    more += ' font-weight="bold"' if words.bold else ""
    more += "" if words.size == FONT_SIZE else f' font-size="{words.size}"'
    return f'<text x="{words.x:.1f}" y="{words.y:.1f}"{more}>{_text(words.text)}</text>'


def _raster(raster: Raster) -> str:
    wide, codes = _enlarged(raster)
    data = b64encode(indexed_png(wide, codes, raster.palette)).decode("ascii")
    place = f'x="{raster.x:.1f}" y="{raster.y:.1f}" width="{raster.width:.1f}" height="{raster.height:.1f}"'
    style = 'style="image-rendering:pixelated"'
    return f'<image {place} preserveAspectRatio="none" {style} href="data:image/png;base64,{data}"/>'


def _enlarged(raster: Raster) -> tuple[int, bytes]:
    """Columns and codes of the same picture in whole multiples of its cells, two pixels or more to one shown.

    A cell has one value, and not every program can be told not to smooth: what is large need not be.
    """
    rows = len(raster.codes) // raster.columns
    across, down = ceil(2 * raster.width / raster.columns), ceil(2 * raster.height / rows)
    lines = (raster.codes[row * raster.columns : (row + 1) * raster.columns] for row in range(rows))
    wide = (bytes(code for code in line for _ in range(across)) for line in lines)
    return raster.columns * across, b"".join(line * down for line in wide)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _text(text: str) -> str:
    """No markup, and printable characters alone: no name turns a line around, and XML 1.0 holds no others."""
    return escape(shown(text, plain=False))


def indexed_png(columns: int, codes: bytes, palette: Sequence[RGB]) -> bytes:
    """The file: `codes` are rows of `columns` places in `palette` (at most 256 colours)."""
    rows = [codes[at : at + columns] for at in range(0, len(codes), columns)]
    head = struct.pack(">IIBBBBB", columns, len(rows), 8, 3, 0, 0, 0)  # 8 bits a pixel, indexed
    colours = bytes(part for colour in palette for part in colour)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)  # each row as it is: filter 0
    chunks = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
