"""Recordings: writer and reader."""
