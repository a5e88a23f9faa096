"""The terminal itself: its first frame, its driver, and drawing only the cells that differ."""
