"""What is counted, and what is read from Tritons, for /metrics."""
