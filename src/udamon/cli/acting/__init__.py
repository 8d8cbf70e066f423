"""What the commands that act share: flags, the session, and what is said of it."""
