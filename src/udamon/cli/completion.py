"""Print the script that completes udamon's words in a shell."""

from __future__ import annotations

import argparse

from udamon import console, extras
from udamon.cli import parsers
from udamon.text import lines

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


def run(args: argparse.Namespace) -> int:
    """Print it; 0. Raises MissingExtra."""
    console.out(lines(script(args.shell).split("\n")))
    return 0


def script(shell: str) -> str:
    """The script for a shell of SHELLS, of all parsers. Raises MissingExtra."""
    try:
        import shtab
    except ImportError:
        raise extras.missing("udamon completion", "completion") from None
    whole = parsers.whole()
    for parser in parsers.with_all_below(whole):
        for action in parser._actions:
            kind = _kind(action)
            if kind is not None:
                action.complete = _COMPLETERS[kind]  # type: ignore[attr-defined]
    return str(shtab.complete(whole, shell, preamble=_PREAMBLE[shell]))


def _kind(action: argparse.Action) -> str | None:
    """What a flag or an argument takes, where that is no choice; None where it is not known."""
    if action.dest in _BY_DEST:
        return _BY_DEST[action.dest]
    if action.choices is not None or not isinstance(action.metavar, str):
        return None
    return _BY_METAVAR.get(action.metavar)


_BY_DEST = {"pid": "processes", "cgroup": "directories", "user": "users", "output": "files"}
_BY_METAVAR = {
    "FILE": "recordings", "BEFORE": "recordings", "AFTER": "recordings", "OUT": "files", "PATH": "files",
    "DIR": "directories", "CONFIG": "files",
}  # fmt: skip

_COMPLETERS = {
    "processes": {"bash": "_udamon_processes", "zsh": "_udamon_processes", "fish": "(__udamon_processes)"},
    "recordings": {
        "bash": "_udamon_recording_files",
        "zsh": '_files -g "*.udamon"',
        "fish": "(__fish_complete_suffix .udamon)",
    },
    "files": {"bash": "_shtab_compgen_files", "zsh": "_files", "fish": "(__fish_complete_path)"},
    "directories": {
        "bash": "_shtab_compgen_dirs",
        "zsh": "_files -/",
        "fish": "(__fish_complete_directories)",
    },
    "users": {"bash": "_udamon_users", "zsh": "_users", "fish": "(__fish_complete_users)"},
}

_PREAMBLE = {
    # A name is whatever a process calls itself: only what no shell takes for more than a word is offered.
    "bash": r"""
_udamon_processes() {
  local before= word=$1 directory name found=()
  [[ $word == *,* ]] && before=${word%,*}, word=${word##*,}
  for directory in /proc/[0-9]*; do
    { IFS= read -r name < "$directory/comm"; } 2> /dev/null || continue
    name=${name//[!A-Za-z0-9_.+-]/?}
    if [[ ${directory#/proc/} == "$word"* ]]; then
      found+=("$before${directory#/proc/} $name")
    elif [[ $name == "$word"* && $name != *'?'* ]]; then
      found+=("$before$name ")
    fi
  done
  # The name stands beside the number where several are listed, and not where one is inserted.
  if [[ ${#found[@]} -eq 1 || $COMP_TYPE == 37 || $COMP_TYPE == 42 ]]; then
    found=("${found[@]%% *}")
  fi
  [[ ${#found[@]} -eq 0 ]] || printf '%s\n' "${found[@]% }" | sort -u
}
_udamon_recording_files() {
  compgen -f -X '!*.udamon' -- "$1"
  compgen -d -- "$1"
}
_udamon_users() {
  compgen -u -- "$1"
}
""",
    "zsh": r"""
_udamon_processes() {
  local directory name
  local -a found
  compset -P '*,'
  for directory in /proc/<->(N); do
    { IFS= read -r name < $directory/comm } 2> /dev/null || continue
    name=${name//[^A-Za-z0-9_.+-]/?}
    found+=("${directory:t}:$name")
    [[ $name == *\?* ]] || found+=("$name:process")
  done
  _describe -V process found
}
""",
    "fish": r"""
function __udamon_processes
    set -l before (string match -r -- '.*,' (commandline -ct))
    for directory in (string match -r -- '^/proc/[0-9]+$' /proc/*)
        read -l name <$directory/comm 2>/dev/null; or continue
        set name (string replace -ra -- '[^A-Za-z0-9_.+-]' '?' $name)
        printf '%s%s\t%s\n' "$before" (string replace -- /proc/ '' $directory) $name
        string match -q -- '*\?*' $name; or printf '%s%s\tprocess\n' "$before" $name
    end
end
""",
}
