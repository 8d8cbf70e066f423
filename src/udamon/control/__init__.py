"""The control tree: DAMON's own files, served to DAMON's own tools, with user-space kdamonds behind them."""
