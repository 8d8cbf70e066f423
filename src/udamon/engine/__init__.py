"""What yields snapshots: the user-space kdamond."""
