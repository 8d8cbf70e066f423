"""What `make bench` runs: each module with a `measure` is one figure, see __main__."""
