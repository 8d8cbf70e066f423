"""The library: what `from udamon import …` gives. See docs/api.md."""
