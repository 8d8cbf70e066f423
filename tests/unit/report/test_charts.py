"""Pictures as files: SVG and PNG of every chart, with titles that say what they show."""

from __future__ import annotations

import argparse
import stat
import struct
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.unit.report.test_heatmap import two_bands
from tests.unit.report.test_page import EVIL, evil
from tests.unit.report.test_wss import START, record, snap
from udamon.cli import report
from udamon.errors import MissingExtra, OutputError, UsageError
from udamon.model import Event, Snapshot
from udamon.report.charts import shapes as charts
from udamon.report.charts.shapes import Box, Drawing, Label, Plot, Polyline, Raster, Shape
from udamon.report.svg import indexed_png, svg
from udamon.report.terminal import RGB

SVG = "{http://www.w3.org/2000/svg}"


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    report.configure(parser)
    return report.run(parser.parse_args([str(word) for word in argv]))


def decoded(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of an indexed PNG, and each chunk's checksum checked."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(png):
        size, name = struct.unpack(">I4s", png[at : at + 8])
        body, (crc,) = png[at + 8 : at + 8 + size], struct.unpack(">I", png[at + 8 + size : at + 12 + size])
        assert crc == zlib.crc32(name + body)
        chunks[name] = body
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    data = zlib.decompress(chunks[b"IDAT"])
    return width, height, [data[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]


def test_indexed_png() -> None:
    assert decoded(indexed_png(3, bytes([0, 1, 2, 2, 1, 0]), [(0, 0, 0), (255, 0, 0), (0, 255, 0)])) == (
        3, 2, [b"\0\1\2", b"\2\1\0"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("heatmap", "Access rate of pid 7 redis: 4.0 MiB over 200 ms"),
        ("wss", "Working set of pid 7 redis: bytes touched in a window"),
        ("access", "Memory of pid 7 redis by access rate and by age, mean of all windows"),
    ],
)
def test_svg_says_what_it_is(
    kind: str, title: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Well-formed, with a title that names the process; nothing on stdout."""
    two_bands(tmp_path / "a")
    assert run(kind, tmp_path / "a", "--svg", tmp_path / "a.svg") == 0
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.findtext(f"{SVG}title") == title
    assert not [each for each in root.iter() if each.tag in (f"{SVG}script", f"{SVG}style", f"{SVG}a")]
    out, err = capsys.readouterr()
    assert not out
    assert "a.svg" in err


@pytest.mark.parametrize("kind", ["wss", "access"])
def test_titles_name_what_is_drawn(tmp_path: Path, kind: str) -> None:
    """Of two processes the one that --target chooses; without it, that there are two."""
    steps: list[Snapshot | Event] = [
        Event(START, "target_start", {"target": target, "pid": 7 + target, "comm": "redis"})
        for target in (0, 1)
    ]
    steps += [snap(0, [(0, 4096, 1, 0, 4096)], target=target) for target in (0, 1)]
    record(tmp_path / "a", steps)
    for flags, whose in (((), "2 targets"), (("--target", "1"), "pid 8 redis")):
        out = tmp_path / f"{len(flags)}.svg"
        assert run(kind, tmp_path / "a", *flags, "--svg", out) == 0
        title = ElementTree.parse(out).getroot().find(f"{SVG}title")
        assert title is not None
        assert f" of {whose}" in (title.text or "")


def test_svg_of_a_recording_that_tries_to_be_markup(tmp_path: Path) -> None:
    evil(tmp_path / "a")
    run("heatmap", tmp_path / "a", "--svg", tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert not [each for each in root.iter() if "script" in each.tag]
    assert "<script>" not in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("kind", ["heatmap", "wss", "access"])
def test_png(kind: str, tmp_path: Path) -> None:
    """Twice as many pixels as the drawing has, and not all of one colour."""
    image = pytest.importorskip("PIL.Image", reason="the extra `png` is not installed")
    evil(tmp_path / "a")
    assert run(kind, tmp_path / "a", "--png", tmp_path / "a.png") == 0
    with image.open(tmp_path / "a.png") as picture:
        assert picture.width == 2000
        assert len(picture.getcolors(1 << 24)) > 10


def test_a_name_of_several_lines_is_one_line_of_a_png() -> None:
    pytest.importorskip("PIL", reason="the extra `png` is not installed")
    from udamon.report.png import png

    raw, shown = (png(Drawing("t", 300, 60, [Label(5, 40, text)])) for text in ("a\nb", r"a\x0ab"))
    assert raw == shown


def test_cells_of_a_png_keep_their_colours(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="the extra `png` is not installed")
    from io import BytesIO

    from udamon.report.png import png

    colours = charts.palette()
    cells = Raster(0, 0, 40, 20, 2, bytes([0, 254]), colours)
    others: list[Shape] = [
        Polyline([(0, 0), (9, 9)], "#000000", 1, (3, 3)),
        Box(0, 0, 3, 3, "#ff0000"),
        Label(1, 1, "≥ 1–2 …"),
    ]
    drawing = Drawing("t", 40, 20, [cells, *others])
    with image.open(BytesIO(png(drawing))) as picture:
        assert [picture.getpixel((x, 38)) for x in (30, 70)] == [colours[0], colours[254]]


def test_raster_in_svg_is_enlarged_by_whole_cells() -> None:
    """Programs that smooth pictures have nothing to smooth."""
    import base64
    import re

    text = svg(Drawing("t", 10, 10, [Raster(0, 0, 5, 4, 2, bytes([1, 2, 3, 4]), charts.palette())]))
    found = re.search(r"base64,([^\"]+)", text)
    assert found
    assert decoded(base64.b64decode(found[1])) == (
        10, 8, [b"\1" * 5 + b"\2" * 5] * 4 + [b"\3" * 5 + b"\4" * 5] * 4
    )  # fmt: skip


def test_lightness_of_the_scale_falls_all_the_way() -> None:
    """So that it reads in order without colour: relative luminance (WCAG) never rises."""

    def luminance(colour: RGB) -> float:
        parts = [part / 255 for part in colour]
        linear: list[float] = [
            part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    scale = [luminance(colour) for colour in charts.palette()[:255]]
    assert scale == sorted(scale, reverse=True)
    assert scale[0] > 0.9
    assert scale[-1] < 0.02


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (0, 60, ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "1 m 0 s"]),
        (1, 1.2, ["1 s", "1.05 s", "1.1 s", "1.15 s", "1.2 s"]),
    ],
)
def test_time_axis(begin: float, end: float, expected: list[str]) -> None:
    """Steps of a clock, within the plot."""
    shapes = list(charts.time_axis(Plot(100, 0, 700, 10), begin, end))
    words = [shape.text for shape in shapes if isinstance(shape, Label)]
    assert [word for word in expected if word in words] == words
    assert all(99.9 < shape.x < 800.1 for shape in shapes if isinstance(shape, Label))


def test_files_are_private_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Like recordings, pictures hold paths: mode 0600. An older file is replaced with --force, the recording never."""
    two_bands(tmp_path / "a")
    (tmp_path / "p.html").write_text("old")
    with pytest.raises(OutputError, match="--force to replace it"):
        run("info", tmp_path / "a", "--html", tmp_path / "p.html")
    assert (tmp_path / "p.html").read_text() == "old"
    assert run("info", tmp_path / "a", "--html", tmp_path / "p.html", "--force") == 0
    assert (tmp_path / "p.html").read_text().startswith("<!DOCTYPE html>")
    assert stat.S_IMODE((tmp_path / "p.html").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "p.html"]
    with pytest.raises(UsageError, match="the file that is read"):
        run("heatmap", tmp_path / "a", "--svg", tmp_path / "a", "--force")
    with pytest.raises(UsageError, match="two outputs go to one file"):
        run("heatmap", tmp_path / "a", "--svg", tmp_path / "b", "--html", tmp_path / "." / "b")
    with pytest.raises(UsageError, match="--force is for files"):
        run("heatmap", tmp_path / "a", "--force")
    with pytest.raises(OutputError, match="cannot create"):
        run("heatmap", tmp_path / "a", "--svg", tmp_path / "none" / "a.svg")


@pytest.mark.parametrize(
    "words",
    [
        ("wss", "--json"),
        ("wss", "--over-time"),
        ("access", "--at", "5s"),
        ("heatmap", "--color", "always"),
        ("mappings", "--top", "3"),
    ],
)
def test_flags_of_text_are_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    two_bands(tmp_path / "a")
    with pytest.raises(UsageError, match="is for text"):
        run(words[0], tmp_path / "a", *words[1:], "--html", tmp_path / "p")


def test_png_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that says what to install, or to take SVG; no file is left."""
    two_bands(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"udamon\[png\].*--svg"):
        run("heatmap", tmp_path / "a", "--png", tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_evil_is_evil() -> None:
    """The names above would be markup if they were not escaped."""
    assert "</script><script>" in EVIL


def test_notes_are_below_the_drawing() -> None:
    """In lines that fit, and the picture is as much higher."""
    found = charts.with_notes(Drawing("t", 1000, 50, []), ["Grain: mappings.", "word " * 60])
    labels = [shape for shape in found.shapes if isinstance(shape, Label)]
    assert [label.text.split()[0] for label in labels] == ["Grain:", "word", "word"]
    assert 50 < labels[0].y < labels[1].y < labels[2].y < found.height
    assert charts.with_notes(found, []) == found


def test_charts_say_what_figures_do_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from udamon.report import common

    two_bands(tmp_path / "a")
    monkeypatch.setattr(common, "common_lines", lambda source: ["Grain: mappings <so it is>."])
    for kind in ("heatmap", "wss", "access"):
        run(kind, tmp_path / "a", "--svg", tmp_path / f"{kind}.svg")
        root = ElementTree.parse(tmp_path / f"{kind}.svg").getroot()
        assert "Grain: mappings <so it is>." in [text.text for text in root.iter(f"{SVG}text")]
