"""What computes the logits of a step on a CPU."""
