"""`make bench`: measures what the stack costs and what it gives."""
