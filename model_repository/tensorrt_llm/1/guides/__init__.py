"""Grammars and schemas that an answer is held to."""
