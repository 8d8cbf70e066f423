"""What a pod belongs to, by its name: controllers call their pods by their own name, with an end for each pod.

    front-7d9f8b6c5-x2x4z     Deployment front: a hash of its template, and five random characters
    node-exporter-x2x4z       DaemonSet, Job, or ReplicaSet
    backup-29374560-x2x4z     CronJob backup: minutes since 1970, when a Job of it was due
    postgres-0                StatefulSet postgres: a number
    etcd-HOST                 static pod: the name of the node

Random characters and hashes are of an alphabet without vowels, so that names which people chose are seldom cut. A pod
that nobody controls is its own workload.
"""

from __future__ import annotations

import re

_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
_ENDS = re.compile(rf"(?:(?:-{_RANDOM}{{6,10}}|-\d{{8}}|-\d{{10}})?-{_RANDOM}{{5}}|-\d{{1,5}})")


def workload_of(pod: str, host: str) -> str:
    """The name of the workload that a pod on this host is of."""
    if pod.endswith(f"-{host}"):
        return pod.removesuffix(f"-{host}") or pod
    for cut in range(1, len(pod)):
        if pod[cut] == "-" and _ENDS.fullmatch(pod, cut):
            return pod[:cut]
    return pod
