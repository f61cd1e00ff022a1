"""One container of a GPU engine: its tritonserver, its ranks and its probes."""
