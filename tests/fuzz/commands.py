"""Commands that read a recording, {0}, and may write a file, {1}."""

from __future__ import annotations

REPORTS = (
    "report wss {0} --json", "report wss {0} --by mapping", "report heatmap {0}",
    "report heatmap {0} --json --address 0-1T",
    "report access {0} --json", "report access {0} --by process", "report access {0} --style hot", "report info {0}",
    "report ages {0}", "report ages {0} --json", "report ages {0} --by mapping",
    "report access {0} --whole --style temperature-percentiles", "report access {0} --whole --style recency-sz-hist",
    "report info {0} --json", "report mappings {0}", "report times {0} --every", "report phases {0} --json",
    "report right-size {0}", "report holistic {0}", "report nr-regions {0} --json --over-time", "report footprint {0}",
    "report heatmap {0} --by mapping", "report diff {0} {0}", "report heatmap {0} --html {1}",
    "report wss {0} --svg {1}", "report access {0} --png {1}", "report diff {0} {0} --html {1}",
    "size {0}", "report size {0} --json", "report sites {0}", "report sites {0} --json", "report sites {0} --flame {1}",
    "report sites {0} --pprof {1}", "report diff {0} {0} --by site",
    "report wss {0} --mapping heap --json", "check {0} --max-wss 1GiB --min-snapshots 1 --json",
    "check {0} --max-cold-share 50% --cold-age 1s --max-rate heap=50% --level p50 --max-footprint 1M",
)  # fmt: skip
CONVERSIONS = tuple(
    f"convert {{0}} -o {{1}} --to {to}" for to in ("damo-json", "perf-script", "parquet", "csv", "arrow")
)
