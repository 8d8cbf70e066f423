"""`udamon agent --act`: a process of its own that takes cold memory out. The one that watches never does."""
