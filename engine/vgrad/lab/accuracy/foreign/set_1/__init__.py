"""The kinds that rules were fitted to from the beginning."""
