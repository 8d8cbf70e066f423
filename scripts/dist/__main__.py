"""`make dist`: everything that people install, in dist/.

python -m scripts.dist [PART…]      sdist, wheels, deb, rpm, image, sbom; without one, all
python -m scripts.dist --try        build all, twice; check and try each package (the stage `dist` of make test-all)
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from scripts import content
from scripts.dist import deb, image, licences, payload, rpm, source, trying, wheels
from scripts.stages import Counts, Failed, Skipped, current

HOST = "x86_64"


class Dist:
    """The parts, each built into `out` from the source archive there."""

    def __init__(self, out: Path) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)

    def sdist(self) -> list[Path]:
        return [source.archive(self.out)]

    def wheels(self) -> list[Path]:
        return [wheels.build(self._archive(), self.out, machine) for machine in wheels.MACHINES]

    def deb(self) -> list[Path]:
        return [
            deb.build(self.wheel(machine), self.out, machine, release)
            for machine in deb.MACHINES
            for release in deb.RELEASES
        ]

    def rpm(self) -> list[Path]:
        return [rpm.build(self.wheel(machine), self.out, machine) for machine in wheels.MACHINES]

    def image(self) -> list[Path]:
        return [image.build(self.wheel(HOST), self.out, HOST)]

    def sbom(self) -> list[Path]:
        packages = payload.packages_of(payload.build(self.wheel(HOST), HOST, image.PYTHON, "image"))
        licence_list = self.out / "udamon.licences.txt"
        licence_list.write_text(licences.table(packages))
        return [licences.sbom(packages, self.out), licence_list]

    def wheel(self, machine: str) -> Path:
        for _ in range(2):
            if found := list(self.out.glob(f"*{machine}.whl")):
                return found[0]
            self.wheels()
        raise Failed(f"there is no wheel for {machine}")

    def _archive(self) -> Path:
        found = list(self.out.glob("*.tar.gz"))
        return found[0] if found else self.sdist()[0]

    def build(self, parts: Iterable[str]) -> None:
        for name in parts:
            begin = time.monotonic()
            for made in PARTS[name](self):
                print(f"{made.stat().st_size / (1 << 20):8.2f} MiB  {made}", flush=True)
            current.notes.append(f"built {name} in {time.monotonic() - begin:.0f} s")


PARTS: dict[str, Callable[[Dist], list[Path]]] = {
    "sdist": Dist.sdist,
    "wheels": Dist.wheels,
    "deb": Dist.deb,
    "rpm": Dist.rpm,
    "image": Dist.image,
    "sbom": Dist.sbom,
}


def check() -> Counts:
    """Build all twice, compare, check and try. A part that cannot be had here is told, and the others are tried."""
    first, second = (Dist(source.fresh(name)) for name in ("first", "second"))
    passed, missing = 0, []
    for name in PARTS:
        try:
            for dist in (first, second):
                dist.build([name])
        except Skipped as why:
            missing.append(f"{name}: {why}")
    trying.same(first.out, second.out)
    for what, attempt in _attempts(first):
        try:
            attempt()
            passed += 1
            print(f"tried: {what}", flush=True)
        except Skipped as why:
            missing.append(f"{what}: {why}")
    current.notes += missing
    if not passed:
        raise Skipped("; ".join(missing))
    return Counts(passed=passed, skipped=len(missing))


def _attempts(dist: Dist) -> Iterable[tuple[str, Callable[[], object]]]:
    """What is checked and tried, with its name."""

    def made(pattern: str) -> list[Path]:
        return sorted(dist.out.glob(pattern))

    for path in made("*.whl"):
        yield f"tags of {path.name}", partial(wheels.check, path)
    for path in made("*aarch64.whl"):
        yield f"tests of {path.name}", partial(trying.wheel_for_arm, path)
    for path in made("*.deb"):
        yield f"lintian of {path.name}", partial(deb.check, path)
    for release in deb.RELEASES:
        for path in made(f"*~deb{release.number}_amd64.deb"):
            yield path.name, partial(trying.debian_package, path, release)
    for path in made("*.rpm"):
        yield f"rpmlint of {path.name}", partial(rpm.check, path)
    for path in made(f"*{HOST}.rpm"):
        yield path.name, partial(trying.rpm_package, path)
    for path in made("*.oci.tar"):
        yield path.name, partial(trying.oci_image, path)


def main(words: list[str]) -> int:
    unknown = [word for word in words if word not in PARTS and word != "--try"]
    if unknown:
        print(f"no such part: {' '.join(unknown)}\n{__doc__}")
        return 2
    with content.locked("packages"):
        try:
            if "--try" in words:
                print(check())
            else:
                if not words:
                    shutil.rmtree(source.OUT, ignore_errors=True)
                Dist(source.OUT).build(words or PARTS)
        except (Failed, Skipped) as why:
            print(f"dist: {why}")
            return 1
        finally:
            print("\n".join(current.notes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
