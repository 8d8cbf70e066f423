"""Regions, policies, tuning and time: pure decisions, no input or output."""
