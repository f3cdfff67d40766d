"""A trainer that always fails: its data are never good enough. It shows that one model's failure stops no other one."""

from treeline.errors import DataError
from treeline.training import LightGBMTrainer


class FailingTrainer(LightGBMTrainer):
    """Loads and splits the features as LightGBMTrainer does, then refuses them."""

    def train(self, x, y):
        """Raises DataError, which ends the training with exit code 10 and is not tried again."""
        raise DataError(
            f"column 'returned' has no label newer than 90 days in any of {len(y)} rows;"
            " wait for the labels, or train on older days"
        )
