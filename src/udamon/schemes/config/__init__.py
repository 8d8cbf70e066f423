"""Schemes in files: YAML and TOML with the names of DAMON's control files."""
