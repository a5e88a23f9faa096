"""The thirteenth set of kinds, counted once before any rule was changed."""
