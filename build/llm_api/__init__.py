"""Engines of TensorRT-LLM's LLM API: the engine folder, its repository, and the model in it."""
