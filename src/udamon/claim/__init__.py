"""The claim on in-kernel DAMON, one resource of the whole machine."""
