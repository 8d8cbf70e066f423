"""Typed readers of the kernel's files; each takes a root path."""
