"""The HTTP APIs. Here is what they share; each has a folder with the same file names."""
