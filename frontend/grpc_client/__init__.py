"""gRPC over HTTP/2 in the event loop itself. Knows nothing of Triton."""
