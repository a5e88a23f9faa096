"""Autograd against central differences, on a float64 copy of the live model."""
