"""Measurements of the stack, each a part of `make bench`."""
