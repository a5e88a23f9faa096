"""What happened in a run, as data: steps, notices, statistics and their history."""
