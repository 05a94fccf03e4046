"""Golden files: what diffusers, transformers and torch compute, written down for the Rust tests."""
