"""The Textual application: what ties source, state and screens together."""
