"""Every control, what it can be set to, and the commands that set it."""
