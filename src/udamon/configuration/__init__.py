"""Configuration files: values that know the line they stand at, and udamon's own two files."""
