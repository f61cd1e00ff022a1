"""Scripts that see to it that a process and its children end with whoever started it."""
