"""Watching and steering the gradients of an optimizer, in anybody's training loop."""
