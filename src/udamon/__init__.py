"""udamon: which memory of a live Linux system is hot, warm or cold (DAMON in user space)."""

__version__ = "0.1.0"
