"""Hooks of a user, for the real package."""

from treeline.training.inference import Inference
from treeline.training.validation import Validator, Verdict


class Halve(Inference):
    """Halves the score; prints, which must not get into the stream."""

    def process(self, rows):
        print("halving", len(rows))
        rows["score"] = rows["score"] / 2
        return rows


class Drop(Inference):
    """Loses a row."""

    def process(self, rows):
        return rows.iloc[1:]


class FewPositives(Validator):
    """Passes when less than the limit are positive."""

    def validate(self, holdout):
        rate = float(holdout.label.mean())
        return Verdict(rate < holdout.metrics["most"], f"{rate:.2f} of the rows are positive", {"rate": rate})
