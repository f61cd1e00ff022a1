"""In-flight batching: which sequences a step computes, and where their keys and values lie."""
