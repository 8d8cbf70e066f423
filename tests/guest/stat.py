"""Where DAMON_STAT is turned on and off: apart from the rest about in-kernel DAMON, which takes each boot seconds to
import."""

from pathlib import Path

STAT = Path("/sys/module/damon_stat/parameters/enabled")
