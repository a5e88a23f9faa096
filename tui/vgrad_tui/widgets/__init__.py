"""Widgets: one per file. Each draws runs of (text, role) and redraws only rows that changed."""
