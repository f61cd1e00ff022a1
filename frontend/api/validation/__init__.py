"""What is wrong with a body, in words, and what it holds that no model here has."""
