"""The tensor contract of TensorRT-LLM's C++ backend: requests in, responses and gauges out."""
