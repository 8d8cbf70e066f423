"""What an action does to memory: one Actor (base) for each operations set, and what they share."""
