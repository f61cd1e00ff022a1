"""Reads models of Llama architecture: files, weights, tokenizer and chat template, in any format."""
