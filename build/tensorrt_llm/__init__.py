"""Turns a Hugging Face checkpoint of Llama 3.1 into TensorRT-LLM engines."""
