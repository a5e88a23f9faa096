"""The sixth set of kinds, counted once before any rule was changed."""
