"""Accuracy and cost of region policies against a known truth, in simulated time."""
