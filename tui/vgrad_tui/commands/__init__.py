"""The commands of `vgrad-tui`, one per module, each imported when it is called."""
