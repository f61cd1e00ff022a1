"""`make soak`: load with random faults, what must hold meanwhile, and what must be as it was afterwards."""
