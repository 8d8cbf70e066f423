"""What this machine offers: which access-check primitives and actions work, for this user, and why not."""
