"""What to do about it: DAMON's operation schemes (DAMOS) as pure decisions. No system call is made here.

`Schemes` is what the kdamond asks (docs/damon.md#apply-pass). It is handed an `Actor`, which acts (ops/),
and `Metrics`, which tell numbers of the machine. One noun a file: pattern, score, quota, goals, watermarks,
filters, pieces, tried, installed (one scheme at work), passes (the walk over all regions), schemes (all of
them).
"""

from udamon.core.scheme import AccessPattern as AccessPattern
from udamon.core.scheme import Action as Action
from udamon.core.scheme import Bounds as Bounds
from udamon.core.scheme import Destination as Destination
from udamon.core.scheme import Filter as Filter
from udamon.core.scheme import FilterType as FilterType
from udamon.core.scheme import Goal as Goal
from udamon.core.scheme import GoalMetric as GoalMetric
from udamon.core.scheme import GoalTuner as GoalTuner
from udamon.core.scheme import Quota as Quota
from udamon.core.scheme import Scheme as Scheme
from udamon.core.scheme import WatermarkMetric as WatermarkMetric
from udamon.core.scheme import Watermarks as Watermarks
from udamon.core.scheme import Weights as Weights
from udamon.schemes.config.pattern import WantedScheme as WantedScheme
from udamon.schemes.config.reading import load_schemes as load_schemes
from udamon.schemes.metrics import MatchingBytes as MatchingBytes
from udamon.schemes.metrics import Metrics as Metrics
from udamon.schemes.passes import Observer as Observer
from udamon.schemes.schemes import Schemes as Schemes
