"""The built-in models with their data. Nothing above this room imports it."""
