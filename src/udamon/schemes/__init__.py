"""What to do about it: DAMON's operation schemes (DAMOS) as pure decisions. No system call is made here.

`Schemes` is what the kdamond asks (semantics §4). It is handed an `Actor`, which acts (ops/), and `Metrics`, which
tell numbers of the machine. One noun a file: pattern, score, quota, goals, watermarks, filters, pieces, tried,
installed (one scheme at work), passes (the walk over all regions), schemes (all of them).
"""

from udamon.schemes.metrics import Matching as Matching
from udamon.schemes.metrics import Metrics as Metrics
from udamon.schemes.passes import Observer as Observer
from udamon.schemes.schemes import Schemes as Schemes
