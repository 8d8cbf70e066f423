"""The C hot path; see `_native.pyi` for what it offers."""
