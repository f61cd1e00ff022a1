"""Logits of a step -> the tokens that are chosen."""
