"""The numbers of the machine and of targets by which goals, watermarks and the governor decide."""
