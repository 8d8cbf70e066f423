"""Workloads with a known truth: masim configurations, touched for real or simulated."""
