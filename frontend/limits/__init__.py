"""Who may use the engine now: keys' limits, slots, the line in front of them, and the end of service."""
