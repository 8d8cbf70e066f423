"""What `Monitor.update` changes: values in the units of the library, as attributes of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from udamon.assembly.spec import MonitorSpec, interval_us, regions
from udamon.errors import UsageError

_ATTRS = {"sample": "sample_us", "aggr": "aggr_us", "update": "update_us"}
_REGIONS = {"min_regions": "min_nr_regions", "max_regions": "max_nr_regions"}


def changes_of(spec: MonitorSpec, wanted: Mapping[str, float]) -> tuple[MonitorSpec, dict[str, int]]:
    """The specification with these changes, and the fields of Attrs that they change. Raises UsageError."""
    if unknown := sorted(wanted.keys() - _ATTRS.keys() - _REGIONS.keys()):
        raise UsageError(f"{unknown[0]} cannot be changed; give {', '.join((*_ATTRS, *_REGIONS))}.")
    spec = replace(spec, **wanted)  # type: ignore[arg-type]
    changed = {_ATTRS[name]: interval_us(name, getattr(spec, name)) for name in _ATTRS if name in wanted}
    changed |= {_REGIONS[name]: regions(name, getattr(spec, name)) for name in _REGIONS if name in wanted}
    return spec, changed
