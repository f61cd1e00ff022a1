"""One request's generations: the engine's ids -> text, tokens, log-probs, finish reason and counts.

Knows Triton, and nothing of the APIs that ask.
"""
