"""The region policy `adaptive`: change-point detection with active sampling. DESIGN has the statistics."""

from udamon.core.adaptive.parameters import Parameters as Parameters
from udamon.core.adaptive.policy import AdaptivePolicy as AdaptivePolicy
