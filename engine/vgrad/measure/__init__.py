"""What is measured besides the norms, one statistic per file, and the budget that says when."""
