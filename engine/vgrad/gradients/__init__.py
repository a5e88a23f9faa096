"""Reading the gradients of a model, and grouping its parameters into layers."""
