"""The parts of `make bench`: each file measures one thing and prints the rows of its table."""
