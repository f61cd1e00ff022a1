"""OpenAI's completions: texts that go on from a prompt."""
