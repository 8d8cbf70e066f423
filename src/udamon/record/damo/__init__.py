"""Recordings in damo's formats: read and written."""
