"""From schemes and a target to a monitor that acts, and the totals of what it did."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from udamon import console
from udamon.acting.reasons import EXPLAINED
from udamon.assembly.build import Built
from udamon.assembly.child import Child
from udamon.assembly.follow import follow
from udamon.cli import monitor
from udamon.cli.acting import flags, report
from udamon.cli.acting.report import ActingReport
from udamon.cli.half_used import HalfUsed
from udamon.cli.progress import Progress
from udamon.cli.progress_line import ProgressLine
from udamon.cli.rereading import Rereading, may_wait
from udamon.cli.running import parse_duration, require_windows, run_to_end, run_watching, signals
from udamon.cli.targets import check
from udamon.core.attrs import Attrs
from udamon.core.scheme import Action, SchemeStatus
from udamon.errors import CannotError, UdamonError, UsageError
from udamon.linux import features
from udamon.linux.cgroup.groups import find_cgroup
from udamon.model import grain
from udamon.modules.action_backends import ActionBackend, backend_for
from udamon.modules.start import start_work
from udamon.modules.work import AnyWork, patterns_for, schemes_for_kernel
from udamon.schemes.config.pattern import WantedScheme
from udamon.schemes.filters import action_requests
from udamon.targets.coverage import line as line_of
from udamon.text import lines


@dataclass(frozen=True, slots=True)
class Job:
    """What a command wants done.

    `read` returns the current schemes; it is called again when `file` changes, and raises UdamonError.
    `dry`: only tell what would be done. `by_cgroup`: to the cgroup as a whole. `more` are the command's own keys of
    the document.
    """

    read: Callable[[], Sequence[WantedScheme]]
    file: Path | None = None
    dry: bool = False
    by_cgroup: bool = False
    more: Callable[[Sequence[SchemeStatus]], Mapping[str, object]] = lambda statuses: {}


def run(args: argparse.Namespace, job: Job) -> int:
    """Built and act until the target, the duration or the user ends it; passes a COMMAND's status on."""
    check(args)
    monitor.validate(args)
    flags.exclusions(args)
    flags.limits(args)
    wanted = job.read()  # nothing is started for schemes that are wrong
    duration = parse_duration(args.duration)
    hang_up = threading.Event()
    if job.file is not None and may_wait(job.file):
        job = replace(job, file=None)  # it was read, and cannot be read again
    with signals(hang_up if job.file is not None else None) as stopped:

        def watch(child: Child | None) -> str:
            session = _ActingSession(args, job, wanted, child, hang_up)
            return session.run(duration, stopped)

        return run_watching(args, watch)


class _ActingSession:
    """One run: a monitor with schemes, progress beside it, and the account at its end."""

    def __init__(
        self,
        args: argparse.Namespace,
        job: Job,
        wanted: Sequence[WantedScheme],
        child: Child | None,
        hang_up: threading.Event,
    ) -> None:
        built = monitor.build(
            args,
            None if child is None else child.pid,
            schemes_for_kernel(wanted, Attrs(), dry=job.dry),
            patterns_for(wanted),
        )
        built.settle()
        self._built = built
        self._job = job
        self._args = args
        self._child = child
        self._wanted = list(wanted)
        try:
            self._work = _work(args, job, built, wanted)
        except BaseException:
            built.engine.close()
            raise
        self._reread = Rereading(job.file, hang_up)
        self._progress = Progress(kdamond_cpu_ns=lambda: built.engine.kdamond_cpu_ns or 0)
        self._line = ProgressLine(sys.stderr, quiet=args.quiet, shared=child is not None)
        self._half_used = HalfUsed() if built.via == "refs" else None

    def run(self, duration: float | None, stopped: threading.Event) -> str:
        """Returns what ended it."""
        engine = self._built.engine
        engine.bus.subscribe(self._progress)
        engine.bus.subscribe(self._line)
        if self._half_used is not None:
            engine.bus.subscribe(self._half_used)
        try:
            with closing(engine):
                engine.open()
                for text in (*self._built.notes, *self._impossible(), *self._limitations()):
                    self._line.say(text)
                ended_by, refused = run_to_end(
                    lambda: follow(engine, self._child, duration, stopped, self._keep_up)
                )
        finally:
            self._work.end()
            self._line.clear()
        self._tell(ended_by)
        if (
            refused is None
            and not self._progress.snapshots
            and not any(s.active for s in self._work.statuses())
        ):
            return ended_by  # while watermarks keep all schemes inactive, there are no snapshots: no failure
        require_windows(self._progress, engine, self._child, ended_by, refused, quiet=self._args.quiet)
        return ended_by

    def _impossible(self) -> list[str]:
        """Of a dry run: what could not be done here if it were none."""
        if not self._job.dry or self._built.via == "kernel":
            return []
        try:
            actor = _backend(self._args, replace(self._job, dry=False), self._built).actor
        except CannotError as error:
            return [f"this could not be applied here: {error}"]
        try:
            schemes = enumerate(scheme.scheme for scheme in self._wanted)
            found = [(index, actor.missing(action_requests(scheme)[0])) for index, scheme in schemes]
        finally:
            actor.close()
        return [f"scheme {index} could not be applied here: {why}" for index, why in found if why is not None]

    def _limitations(self) -> list[str]:
        """Known reasons why schemes will move less memory than they match."""
        pages_out = any(scheme.scheme.action is Action.PAGEOUT for scheme in self._wanted)
        if not pages_out or self._args.sim is not None or features.has_swap():
            return []
        return [
            "there is no swap, so only memory of files can be moved out; add swap (zram will do) for the rest."
        ]

    def _keep_up(self) -> None:
        self._work.keep_up()
        if self._reread.due():
            self._read_again()
        self._line.show(lambda: report.line(self._account()))

    def _read_again(self) -> None:
        """Take what the file says now; a mistake in it changes nothing."""
        try:
            wanted = list(self._job.read())
            if wanted != self._wanted:
                self._work.commit(wanted)
                self._wanted = wanted
                self._line.say(f"{self._job.file} was read again, and holds from now on.")
        except UdamonError as error:
            self._line.say(f"{error} All stays as it was.")

    def _account(self, *, ended: bool = False) -> ActingReport:
        work, progress, statuses = self._work, self._progress, self._work.statuses()
        half_used = self._half_used
        return ActingReport(
            statuses=statuses,
            seconds=progress.seconds,
            cpu_share=progress.cpu_share,
            start_cpu_seconds=progress.start_cpu_seconds,
            dry=self._job.dry,
            passes=work.passes,
            refaulted=work.backend.refaulted,
            left=dict(work.backend.left) if ended else {},  # until then its owner is at it
            resident=work.backend.resident,
            held=work.held,
            removed=tuple(work.removed),
            half_used={}
            if half_used is None
            else {status.index: half_used.untouched(status.scheme) for status in statuses},
        )

    def _tell(self, ended_by: str) -> None:
        account = self._account(ended=True)
        for why, sentence in EXPLAINED.items():
            if account.left.get(why):
                self._line.say(sentence)
        if self._args.json:
            more: dict[str, object] = {
                "via": self._built.via,
                "ops": self._built.ops,
                "grain": grain(self._built.via),
            }
            more |= self._job.more(account.statuses)
            more["coverage"] = self._progress.coverage_document()
            more["damaged"] = []  # as in documents of recordings
            console.document(report.document(account, ended_by, more))
        elif not self._args.quiet:
            text = [report.summary(account, ended_by), line_of(self._progress.coverage_document())]
            console.err(lines(filter(None, text)))


def _work(args: argparse.Namespace, job: Job, built: Built, wanted: Sequence[WantedScheme]) -> AnyWork:
    include: str = getattr(args, "include", "")
    if include and built.via == "kernel":
        raise UsageError("with --via kernel the kernel chooses the pages; leave --include out.")
    return start_work(
        built,
        wanted,
        lambda: _backend(args, job, built),
        dry=job.dry,
        limits=flags.limits(args),
        cgroups={} if args.cgroup is None else {f"cgroup {args.cgroup}": find_cgroup(args.cgroup)},
    )


def _backend(args: argparse.Namespace, job: Job, built: Built) -> ActionBackend:
    if job.by_cgroup and not job.dry:
        from udamon.modules.cgroup_reclaim import CgroupBackend

        return CgroupBackend(args.cgroup)
    return backend_for(built.ops, flags.exclusions(args), dry=job.dry, sim_memory=built.sim_memory)
