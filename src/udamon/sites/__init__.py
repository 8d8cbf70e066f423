"""Allocations of a command, by the code that makes them: what the preload library says, checked and kept.

`collector` takes rings from processes and makes events of them, `ring` reads one, `stacks` names code by module and
address, `symbols` finds functions and lines, `unseen` says why a process has no ring, `state` follows the events, and
`estimate` turns samples into bytes.
"""
