"""What an action does to memory: one Actor (ops.base) for each operations set, and what they share."""
