"""What the parser of masim configurations accepts, where directives hold, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from udamon.errors import CannotError, ConfigError
from udamon.workload.config import load, parse
from udamon.workload.spec import DEFAULT_RATE, Pattern, Workload, WorkloadPhase, WorkRegion, format_workload

CLASSIC = """#regions
# name, length, initial data file
a, 104857600, none
b, 8192

# phase 1
# name of phase
first phase
# time in ms
5000
# access patterns
a, 1, 64, 80, wo

second
2500.5
b, 0, 4096, 50.5, rw   # in order
a, 1, 64,1
"""


def test_a_plain_masim_configuration() -> None:
    assert parse(CLASSIC) == Workload(
        (WorkRegion("a", 104857600, "none"), WorkRegion("b", 8192)),
        (
            WorkloadPhase("first phase", 5_000_000_000, (Pattern("a", True, 64, 80.0, "wo"),)),
            WorkloadPhase(
                "second",
                2_500_500_000,
                (Pattern("b", False, 4096, 50.5, "rw"), Pattern("a", True, 64, 1.0, "wo")),
            ),
        ),
        DEFAULT_RATE,
    )


def test_carriage_returns_and_sizes_as_people_write_them() -> None:
    workload = parse("a, 100M\r\nb, 1 GiB, /some/file\r\n\r\np\r\n100\r\n")
    assert [(r.size, r.init) for r in workload.regions] == [(100 << 20, None), (1 << 30, "/some/file")]
    assert workload.phases == (WorkloadPhase("p", 100_000_000),)


def test_sizes_are_rounded_up_to_a_page() -> None:
    assert [r.size for r in parse("a, 1\nb, 4096\nc, 4097\n\np\n1").regions] == [4096, 4096, 8192]


def test_the_resident_part_is_rounded_up_to_a_page() -> None:
    region = parse("a, 1M # udamon: resident=1%\n\np\n1").regions[0]
    assert (region.resident, region.resident_bytes) == (0.01, 3 * 4096)  # 10486 bytes


def test_a_directive_at_the_end_holds_for_its_line_and_one_on_its_own_for_the_rest() -> None:
    workload = parse(
        "a, 1M\nb, 1M # udamon: resident=50%\n# udamon: resident=0.25\nc, 1M\nd, 1M # udamon: resident=1\n\n"
        "p\n100\na, 1, 64, 1 # udamon: chance=0.5\nb, 1, 64, 1\n# udamon: chance=97%\nc, 1, 64, 1\nd, 1, 64, 1\n\n"
        "q\n100\na, 1, 64, 1"
    )
    assert [region.resident for region in workload.regions] == [1.0, 0.5, 0.25, 1.0]
    assert [pattern.chance for pattern in workload.phases[0].patterns] == [0.5, None, 0.97, 0.97]
    assert workload.phases[1].patterns[0].chance is None


def test_a_paragraph_of_comments_belongs_to_the_next() -> None:
    workload = parse("# hello\n\n# udamon: resident=10%\n\na, 1M\n\n# udamon: chance=1\n\np\n1\na, 1, 64, 1")
    assert workload.regions[0].resident == 0.1
    assert workload.phases[0].patterns[0].chance == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "# udamon: rate=5M\n\na, 1M\n\np\n1\n\nq\n1",
        "a, 1M # udamon: rate=5e6\n\np\n1\n\nq\n1",
        "a, 1M\n\n# udamon: rate=5000000\n\np\n1\n\nq\n1",
        "a, 1M\n\n# udamon: rate=5000k\np\n1\n\nq\n1",
    ],
)
def test_a_rate_before_the_first_phase_is_the_workloads(text: str) -> None:
    workload = parse(text)
    assert workload.rate == 5e6
    assert [phase.rate for phase in workload.phases] == [None, None]
    assert workload.rate_of(workload.phases[0]) == 5e6


def test_a_rate_inside_a_phase_is_the_phases() -> None:
    workload = parse(
        "a, 1M\n\np # udamon: rate=1\n1\n\n# udamon: rate=2\nq\n1\n\nr\n# udamon: rate=3\n1\n\ns\n1"
    )
    assert workload.rate == DEFAULT_RATE
    assert [phase.rate for phase in workload.phases] == [1.0, 2.0, 3.0, None]


def test_a_window() -> None:
    pattern = (
        parse("a, 1G\n\np\n1\na, 0, 4096, 1 # udamon: chance=1 window=5% period=30s").phases[0].patterns[0]
    )
    assert (pattern.chance, pattern.window, pattern.period_ns) == (1.0, 0.05, 30_000_000_000)


def test_format_writes_what_parse_reads() -> None:
    text = (
        "# udamon: rate=2.5e6\na, 1M, none # udamon: resident=0.125\nb, 1M\n\np # udamon: rate=7\n0.25\n"
        "a, 1, 64, 1e-7, ro # udamon: chance=1e-5\n\nq\n30\n"
        "b, 0, 4096, 2 # udamon: window=0.05 period=1500us"
    )
    workload = parse(text)
    assert parse(format_workload(workload)) == workload


TWO = "a, 1M\n\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no regions"),
        ("# only a comment\n\n", 1, "no regions"),
        ("a, 1M\nb, 2M\n", 2, "no phase"),
        ("a\n\np\n1", 1, "not a region"),
        ("a, 1M, x, y\n\np\n1", 1, "not a region"),
        (", 1M\n\np\n1", 1, "not a region"),
        ("a, -5\n\np\n1", 1, "size"),
        ("a, 0\n\np\n1", 1, "above 0"),
        ("a, many\n\np\n1", 1, "size"),
        ("a, 65T\n\np\n1", 1, "64 TiB"),
        ("a, " + "9" * 5000 + "\n\np\n1", 1, "too long"),
        ("a, 40T\nb, 40T\n\np\n1", 2, "together"),
        ("a, 1M\na, 2M\n\np\n1", 2, "two regions"),
        (TWO + "p\n", 3, "no length"),
        (TWO + "p\na, 1, 64, 1", 3, "no length"),
        (TWO + "p\nlong", 4, "length"),
        (TWO + "p\n-5", 4, "length"),
        (TWO + "p\n0", 4, "above 0"),
        (TWO + "p\n1e300", 4, "length"),
        (TWO + "p\n1\na, 1, 64", 5, "not `region"),
        (TWO + "p\n1\nb, 1, 64, 1", 5, "no region named 'b'"),
        (TWO + "p\n1\na, 2, 64, 1", 5, "1 for random"),
        (TWO + "p\n1\na, 1, 0, 1", 5, "stride"),
        (TWO + "p\n1\na, 1, -64, 1", 5, "stride"),
        (TWO + "p\n1\na, 1, 64, -1", 5, "weight"),
        (TWO + "p\n1\na, 1, 64, nan", 5, "weight"),
        (TWO + "p\n1\na, 1, 64, 1e999", 5, "weight"),
        (TWO + "p\n1\na, 1, 64, 1, wr", 5, "mode"),
        ("a, 1M # udamon: resident=150%\n\np\n1", 1, "share"),
        ("a, 1M # udamon: chance=1\n\np\n1", 1, "does not belong"),
        ("a, 1M # udamon: hot\n\np\n1", 1, "unknown directive"),
        ("a, 1M # udamon: color=red\n\np\n1", 1, "unknown directive"),
        ("a, 1M # udamon: rate=0\n\np\n1", 1, "rate"),
        ("a, 1M # udamon: rate=1e300\n\np\n1", 1, "at most 1e18"),
        ("a, 1M # udamon: rate=\n\np\n1", 1, "rate= has no value"),
        ("a, 1M # udamon: resident\n\np\n1", 1, "resident= has no value"),
        ("a, 1M # udamon: rate=fast\n\np\n1", 1, "rate"),
        (TWO + "p # udamon: chance=1\n1", 3, "only rate="),
        (TWO + "p\n1 # udamon: chance=1", 4, "only rate="),
        (TWO + "p\n1\na, 1, 64, 1 # udamon: chance=2", 5, "share"),
        (TWO + "p\n1\na, 1, 64, 1 # udamon: resident=1", 5, "does not belong"),
        (TWO + "p\n1\na, 1, 64, 1 # udamon: window=5% period=3s", 5, "sequential"),
        (TWO + "p\n1\na, 0, 64, 1 # udamon: window=5%", 5, "go together"),
        (TWO + "p\n1\na, 0, 64, 1 # udamon: period=5s", 5, "go together"),
        (TWO + "p\n1\na, 0, 64, 1 # udamon: window=5% period=0s", 5, "period"),
        (TWO + "p\n1\na, 0, 64, 1 # udamon: window=5% period=9", 5, "no unit"),
    ],
)
def test_refused(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.masim")
    message = str(caught.value)
    assert message.startswith(f"x.masim:{line}: ")
    assert words in message
    assert "\n" not in message
    assert message.endswith(".")


@pytest.mark.parametrize(("data", "line"), [(b"\x7fELF\0\0", 1), (b"a, 1M\n\n\xff\xfe\n1\n", 3)])
def test_binary_garbage(tmp_path: Path, data: bytes, line: int) -> None:
    path = tmp_path / "x.masim"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"^{path}:{line}: "):
        load(path)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    """As editors on other systems put it there; other encodings are told as such."""
    text = "a, 1M\r\n\r\np\r\n1\r\na, 1, 64, 1\r\n"
    path = tmp_path / "x.masim"
    path.write_bytes(text.encode("utf-8-sig"))
    assert load(path) == parse(text.replace("\r", ""))
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(ConfigError, match=f"^{path}:1: this is not text in UTF-8"):
        load(path)


@pytest.mark.parametrize("text", ["#\n" * 300_000, "#" * (17 << 20)], ids=["lines", "bytes"])
def test_a_file_that_is_too_long_says_how_long_it_may_be(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.masim"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"16\.0 MiB and 250,000 lines; use fewer"):
        load(path)


def test_a_file_without_end() -> None:
    with pytest.raises(ConfigError, match="/dev/zero:1: "):
        load(Path("/dev/zero"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="cannot read the workload"):
        load(tmp_path)
