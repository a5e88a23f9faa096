"""A run from its configuration to its summary: building it, its worker thread, and runs without a screen."""
