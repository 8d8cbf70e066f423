"""A drawing as PNG, by Pillow and the font that it brings along: the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, assert_never

from udamon import extras
from udamon.report.charts.shapes import PAPER, Area, Box, Drawing, Label, Polyline, Raster
from udamon.text import escape

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

SCALE = 2
"""Pixels of the picture to one of the drawing: sharp on screens that are."""
_SMOOTH = 2
"""Drawn this much larger and then made smaller, because Pillow draws lines with steps."""

_SIGNS = str.maketrans({"–": "-", "≥": ">=", "…": ".."})
"""The font that Pillow brings along has Latin letters; what else it lacks becomes a question mark."""

_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def png(drawing: Drawing) -> bytes:
    """The file. Raises MissingExtra without Pillow."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise extras.missing("a PNG picture", "png", "take --svg") from None
    scale = SCALE * _SMOOTH
    image = Image.new("RGB", (drawing.width * scale, drawing.height * scale), PAPER)
    pen = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        if not isinstance(shape, Raster | Label):
            _draw(pen, shape, scale)
    image = image.resize((drawing.width * SCALE, drawing.height * SCALE), Image.Resampling.LANCZOS)
    # Cells and letters have edges of their own, which making them smaller would blur.
    for shape in drawing.shapes:
        if isinstance(shape, Raster):
            _paste(image, shape)
    pen = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        if isinstance(shape, Label):
            _write(pen, shape)
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw(pen: ImageDraw, shape: Box | Polyline | Area, scale: int) -> None:
    match shape:
        case Box(x, y, width, height, fill):
            if width * scale >= 1:
                pen.rectangle(
                    (x * scale, y * scale, (x + width) * scale - 1, (y + height) * scale - 1), fill=fill
                )
        case Polyline(points, stroke, width, dash):
            thick = max(1, round(width * scale))
            for part in _dashed(points, dash) if dash else [points]:
                pen.line([(x * scale, y * scale) for x, y in part], fill=stroke, width=thick, joint="curve")
        case Area(points, fill):
            if len(points) > 2:
                pen.polygon([(x * scale, y * scale) for x, y in points], fill=fill)
        case _:
            assert_never(shape)


def _dashed(
    points: Sequence[tuple[float, float]], dash: tuple[float, float]
) -> list[list[tuple[float, float]]]:
    """The parts of a line that a dash draws."""
    parts: list[list[tuple[float, float]]] = []
    at, drawn = 0.0, dash[0]
    for (x0, y0), (x1, y1) in pairwise(points):
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        done = 0.0
        while length - done > 1e-9:
            phase = at % sum(dash)
            step = min(length - done, (drawn if phase < drawn else sum(dash)) - phase)
            if phase < drawn:
                ends = [done / length, (done + step) / length]
                parts.append([(x0 + (x1 - x0) * end, y0 + (y1 - y0) * end) for end in ends])
            done += step
            at += step
    return parts


def _paste(image: Image, raster: Raster) -> None:
    from PIL import Image as Images

    rows = len(raster.codes) // raster.columns
    cells = Images.frombytes("P", (raster.columns, rows), raster.codes)
    cells.putpalette([part for colour in raster.palette for part in colour])
    size = (round(raster.width * SCALE), round(raster.height * SCALE))
    # Larger cells keep their edges, many columns in a pixel become their mean.
    smaller = raster.columns > size[0] or rows > size[1]
    how = Images.Resampling.BOX if smaller else Images.Resampling.NEAREST
    image.paste(cells.convert("RGB").resize(size, how), (round(raster.x * SCALE), round(raster.y * SCALE)))


def _write(pen: ImageDraw, words: Label) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(words.size * SCALE)
    place = (words.x * SCALE, words.y * SCALE)
    pen.text(
        place,
        escape(words.text, plain=False).translate(_SIGNS).encode("ascii", "replace").decode(),
        fill=words.colour,
        font=font,
        anchor=_ANCHORS[words.anchor],
        stroke_width=0.5 if words.bold else 0,
    )
