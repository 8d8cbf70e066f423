"""Which processes are watched: found, followed, and counted where they were missed."""
