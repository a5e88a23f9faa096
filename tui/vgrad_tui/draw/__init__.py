"""From numbers to cells and text; knows no engine and no widget."""
