"""Where the built-in recipes get their data from."""
