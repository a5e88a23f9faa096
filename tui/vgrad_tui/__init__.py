"""The terminal screen of vgrad: watch and steer the gradients of a training run."""
