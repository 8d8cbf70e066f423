"""One file per command: argument parsing, and errors turned into one sentence."""
