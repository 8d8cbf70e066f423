"""Where the extension cannot be built, for it would read words in the wrong order, or addresses in half."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import udamon

HEADER = Path(udamon.__file__).parent / "native/native.h"
BIG, HALF = "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__", "-D__SIZEOF_POINTER__=4"

pytestmark = [
    pytest.mark.needs("compiler"),
    pytest.mark.skipif(not HEADER.exists(), reason="the installed udamon has no sources"),
]


@pytest.mark.parametrize("other", [BIG, HALF])
def test_other_machines_are_refused_in_a_sentence(other: str) -> None:
    undefined = "-U" + other[2:].partition("=")[0]
    words = ["gcc", "-E", "-nostdinc", undefined, other, str(HEADER)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "little-endian machines with 64 bits alone" in done.stderr


def test_this_one_is_not() -> None:
    done = subprocess.run(["gcc", "-E", "-nostdinc", HEADER], capture_output=True, text=True, check=False)
    assert "little-endian" not in done.stderr
