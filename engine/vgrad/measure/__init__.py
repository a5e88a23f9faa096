"""What is measured besides the norms: one idea per file; the budget decides when."""
