"""A node that knows its cold memory: all services, always on, under one budget."""
