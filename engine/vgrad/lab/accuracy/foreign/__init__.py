"""Plain PyTorch loops that know nothing of vgrad, healthy and sick, and what is made of them from outside."""
