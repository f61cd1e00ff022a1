"""Works out which GPUs a model needs, before anything is built."""
