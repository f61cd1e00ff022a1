"""The replay engine: a `tensorrt_llm` model that writes known words at a set pace, and what belongs to it."""
