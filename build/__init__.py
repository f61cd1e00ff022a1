"""Turns a checkpoint into an engine folder that Triton serves: `python -m build`."""
