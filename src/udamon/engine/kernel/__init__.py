"""The engine that drives in-kernel DAMON: a second source of snapshots beside the kdamond of udamon."""
