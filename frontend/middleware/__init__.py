"""What every request goes through before and after its API: id, key, drain, size, counts."""
