"""Two examples of each command, for --help and the manual pages."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "": (
        ("udamon size -p redis-server", "how much memory it needs, on one screen, after 20 s"),
        ("udamon record -p redis-server -o r.udamon", "record it until Ctrl-C, for all reports"),
    ),
    "doctor": (
        ("udamon doctor", "what works here for you"),
        ("sudo udamon doctor --json", "what would work for root, for a program"),
    ),
    "record": (
        ("udamon record -p redis-server --duration 1m -o r.udamon", "a process, by the name of its program"),
        ("udamon record --children -o build.udamon -- make -j4", "a command and all that it starts"),
    ),
    "schemes": (
        ("udamon schemes -p 1234 --action pageout --min-age 1m", "what would be paged out; nothing is"),
        ("udamon schemes --config s.yaml --cgroup /batch --apply", "do what a file says"),
    ),
    "reclaim": (
        ("udamon reclaim -p 1234 --min-age 2m --dry-run", "what would be taken out"),
        ("udamon reclaim --cgroup /batch --min-age 2m", "take it out, within the usual quota"),
    ),
    "lru-sort": (
        ("udamon lru-sort -p 1234 --dry-run", "what would be sorted"),
        ("udamon lru-sort -p 1234 --cold-only", "move what is cold to the tail of the lists"),
    ),
    "stat": (
        ("udamon stat -p 1234 --duration 30s", "for how long its memory lies idle"),
        ("udamon stat --service nginx --json", "of a service, for a program, until Ctrl-C"),
    ),
    "size": (
        ("udamon size -p redis-server", "watch it for 20 s"),
        ("udamon size r.udamon", "of a recording"),
    ),
    "live": (
        ("udamon live -p redis-server", "watch one process; ? shows the keys"),
        ("udamon live", "choose among the largest"),
    ),
    "report": (
        ("udamon report r.udamon", "the overview, on one screen"),
        ("udamon report heatmap r.udamon --html page.html", "a page for a browser"),
    ),
    "report wss": (
        ("udamon report wss r.udamon", "percentiles, and a curve over time"),
        ("udamon report wss r.udamon --time 5s-10s --json", "of five seconds, for a program"),
    ),
    "report heatmap": (
        ("udamon report heatmap r.udamon", "as wide as the terminal"),
        ("udamon report heatmap r.udamon --mapping heap --resol 20x60", "of the heap alone, smaller"),
    ),
    "report access": (
        ("udamon report access r.udamon --sort hot --top 10", "the ten hottest regions at the end"),
        ("udamon report access r.udamon --at 5s --by mapping", "sums of mappings after five seconds"),
    ),
    "report footprint": (
        ("udamon report footprint r.udamon", "resident bytes over time"),
        ("udamon report footprint r.udamon --by process", "of each process"),
    ),
    "report nr-regions": (
        ("udamon report nr-regions r.udamon", "percentiles"),
        ("udamon report nr-regions r.udamon --over-time", "of every moment"),
    ),
    "report mappings": (
        ("udamon report mappings r.udamon", "ten of the hottest and of the coldest"),
        ("udamon report mappings r.udamon --top 50 --target 0", "more, of one process"),
    ),
    "report ages": (
        ("udamon report ages r.udamon", "cold for 1 s, 10 s, 1 m, …"),
        ("udamon report ages r.udamon --by mapping --by-top 3", "of the three hottest mappings"),
    ),
    "report times": (
        ("udamon report times r.udamon", "lengths of windows and gaps"),
        ("udamon report times r.udamon --every", "each moment"),
    ),
    "report phases": (
        ("udamon report phases r.udamon", "when the pattern changed"),
        ("udamon report phases r.udamon --html page.html", "the same on a page"),
    ),
    "report right-size": (
        ("udamon report right-size r.udamon", "a limit and a request, ready to paste"),
        ("udamon report right-size r.udamon --swap --serve 99.9%", "where there is swap, and more is kept"),
    ),
    "report diff": (
        ("udamon report diff before.udamon after.udamon", "what grew, shrank or moved"),
        ("udamon report diff before.udamon after.udamon --html d.html", "on a page"),
    ),
    "report size": (
        ("udamon report size r.udamon", "how much memory it needs"),
        ("udamon report size r.udamon --html page.html", "with everything, for a browser"),
    ),
    "report sites": (
        ("udamon report sites app.udamon", "of a recording that was made with --sites"),
        ("udamon report sites app.udamon --flame app.svg", "as a flame graph"),
    ),
    "report holistic": (
        ("udamon report holistic r.udamon", "everything at a glance"),
        ("udamon report holistic r.udamon --by process", "of each process"),
    ),
    "report info": (
        ("udamon report info r.udamon", "how it was recorded, and of what"),
        ("ssh host cat r.udamon | udamon report info -", "of a recording elsewhere"),
    ),
    "check": (
        ("udamon check test.udamon --max-wss 2GiB", "status 1 where it was more, 3 where that is not known"),
        ("udamon check test.udamon --max-cold-share 30% --cold-age 1m", "not more than this lies idle"),
    ),
    "convert": (
        ("udamon convert r.udamon -o r.parquet", "for other tools; the ending says the format"),
        ("udamon convert damon.data -o r.udamon", "what damo recorded"),
    ),
    "fleet": (
        ("udamon fleet report cold /srv/fleet", "cold memory by service"),
        ("udamon fleet upload s3://bucket/fleet", "what this node's agent has written"),
    ),
    "fleet report": (
        ("udamon fleet report cold /srv/fleet", "cold memory by service"),
        (
            "udamon fleet report can-shrink s3://bucket/fleet --json",
            "whose limits are too large, for programs",
        ),
    ),
    "fleet report cold": (
        ("udamon fleet report cold /srv/fleet --age 10m", "not touched for ten minutes"),
        ("udamon fleet report cold s3://bucket/fleet --price-gib-month 3.5", "and in money"),
    ),
    "fleet report can-shrink": (
        ("udamon fleet report can-shrink /srv/fleet", "services that can lose a tenth of their limit"),
        ("udamon fleet report can-shrink /srv/fleet --least 30%", "or a third"),
    ),
    "fleet report after": (
        ("udamon fleet report after web-42 /srv/fleet", "what a deploy changed"),
        ("udamon fleet report after web-42 /srv/fleet --days 7", "by a week before and after"),
    ),
    "fleet report percentiles": (
        ("udamon fleet report percentiles /srv/fleet", "how hosts differ"),
        ("udamon fleet report percentiles /srv/fleet --from 2026-11-01 --to 2026-11-07", "in one week"),
    ),
    "fleet report outliers": (
        ("udamon fleet report outliers /srv/fleet", "hosts unlike the others"),
        ("udamon fleet report outliers /srv/fleet --engine spark", "by Spark"),
    ),
    "fleet report coverage": (
        ("udamon fleet report coverage /srv/fleet", "what was not seen"),
        ("udamon fleet report coverage /srv/fleet --sql trino", "the query, for Trino"),
    ),
    "fleet upload": (
        ("udamon fleet upload s3://bucket/fleet", "the spool of this node"),
        ("udamon fleet upload /srv/fleet --spool /tmp/spool --for 1h", "from elsewhere; patient"),
    ),
    "fleet deploy": (
        ("udamon fleet deploy web-42 /srv/fleet --service web", "just now, on all hosts"),
        ("udamon fleet deploy web-42 s3://bucket/fleet --service web --host n1", "host by host"),
    ),
    "fleet compact": (
        ("udamon fleet compact s3://bucket/fleet", "closed days into few objects"),
        ("udamon fleet compact /srv/fleet --max-memory 2GiB", "with less memory"),
    ),
    "agent": (
        ("sudo udamon agent", "all services of this node; metrics at http://127.0.0.1:9470/metrics"),
        ("udamon agent --config agent.toml --check", "is the configuration right?"),
    ),
    "agent watch": (
        ("sudo udamon agent watch nginx.service --for 10m -o nginx.udamon", "a recording of one service"),
        ("sudo udamon agent watch web/web-0/app --for 1m -o web.udamon", "of a container of a pod"),
    ),
    "agent status": (
        ("sudo udamon agent status", "services, what is cold of each, and what it costs"),
        ("sudo udamon agent status --json", "all of it, for programs"),
    ),
    "control": (
        ("sudo udamon control exec -- damo start", "damo, which takes udamon for the kernel"),
        ("udamon control mount /tmp/damon", "the files at a directory"),
    ),
    "control mount": (
        ("udamon control mount /tmp/damon", "the files of /sys/kernel/mm/damon"),
        ("udamon control mount /tmp/damon --via sim", "of a simulation, for trying out"),
    ),
    "control exec": (
        ("sudo udamon control exec -- damo start", "damo, which takes udamon for the kernel"),
        ("sudo udamon control exec --debugfs -- ./old-tool", "a tool that knows the older files"),
    ),
    "completion": (
        ("source <(udamon completion bash)", "for this shell, or in ~/.bashrc"),
        ("udamon completion fish > ~/.config/fish/completions/udamon.fish", "for all to come"),
    ),
    "workload": (
        ("udamon workload demo", "the program of `make demo`"),
        ("udamon workload my.masim --truth truth.jsonl", "and what is hot when"),
    ),
    "eval": (
        ("udamon eval demo", "how well the policy finds what is hot"),
        ("udamon eval demo --policy adaptive,damon --seeds 1-5", "two policies side by side"),
    ),
}
"""By the words behind `udamon`: the command line, and what it is for."""


def epilog(words: str) -> str:
    """What --help ends with."""
    parts = [f"  {command}\n      {what}" for command, what in EXAMPLES[words]]
    return "\n".join(["examples:", *parts])
