"""Training on several ranks: what the processes of a group tell each other of it, without a collective."""
