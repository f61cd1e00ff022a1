"""Makes engine folders that TensorRT-LLM's LLM API serves from the checkpoint itself."""
