"""Runs whose ending is known, and how often the verdicts on them are right.

    cases      what a run is; fitting and held_out have them by families, and families has all of them
    labels     what a run really had, found from its losses and those of its counterfactuals
    runs       trains the cases and their counterfactuals
    store      keeps what a verdict sees of each run, so that new rules are tried in seconds
    matrix     replays the judge over the store and counts

No label is made with a rule under test: a run is sick if it did not learn, and has what the cure
that makes it learn is a cure of. The rules' thresholds were chosen on the part ``fit`` alone.
"""
