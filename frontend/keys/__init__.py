"""API keys: what they are, where they are kept, who a request belongs to, and the command that makes them."""
