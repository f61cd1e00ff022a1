"""The client of Triton: servers, their health and choice, the model they serve, and calls of it."""
