"""The twelfth set of kinds, counted once before any rule was changed."""
