"""Requests that nobody would write: generated JSON, and raw bytes; for the tests and for `make soak`."""
