"""Remarks are told once while they hold."""

from __future__ import annotations

from udamon.agent.remarks import Remarks


def test_a_remark_is_told_once_while_it_holds() -> None:
    said: list[str] = []
    remarks = Remarks(said.append)
    remarks.tell(["3 groups are read again."])
    remarks.tell(["4 groups are read again.", "Names may not be read."])
    remarks.tell(["Names may not be read."])
    remarks.tell([])
    remarks.tell(["5 groups are read again."])
    assert said == ["3 groups are read again.", "Names may not be read.", "5 groups are read again."]
