"""The fourth set of kinds: held out once, fitted to since."""
