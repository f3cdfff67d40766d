"""Classes that tests name as a user's config.yml would: beside the config."""

import signal
import sys
import threading

from treeline.errors import DataError, TransientError
from treeline.training import Inference, LightGBMTrainer, Trainer, Validator, Verdict


class BadDataTrainer(LightGBMTrainer):
    def load_features(self):
        raise DataError("the table\nlost its labels")


class BusyTrainer(LightGBMTrainer):
    def train(self, x, y):
        raise TransientError("the licence server is busy")


class BrokenTrainer(LightGBMTrainer):
    def train(self, x, y):
        raise ZeroDivisionError("division by zero")


class HangingTrainer(LightGBMTrainer):
    """Never ends, in C code that does not look at Python's signal handlers."""

    def train(self, x, y):
        print("hanging", flush=True)
        lock = threading.Lock()
        lock.acquire()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        lock.acquire()


class HalfTrainer(Trainer):
    def train(self, x, y):
        return None


class NoTrainer:
    pass


class StrictValidator(Validator):
    def validate(self, holdout):
        share = float((holdout.pred >= 0.5).mean())
        trees = holdout.model.num_trees()
        limit = holdout.hyperparameters.get("limit", 0.9)
        return Verdict(
            share < limit,
            f"{share:.3f} of the rows are positive",
            {"share": share, "trees": trees, "worst": float("nan")},
        )


class ForgetfulValidator(Validator):
    def validate(self, holdout):
        return True


class HalvingInference(Inference):
    def process(self, rows):
        print("halving", file=sys.stdout)
        return rows.assign(churn_score=rows["churn_score"] / 2)


class LosingInference(Inference):
    def process(self, rows):
        return rows.iloc[:-1]


class WideningInference(Inference):
    def process(self, rows):
        return rows.assign(more=1)


class TextInference(Inference):
    def process(self, rows):
        return rows.assign(churn_score="high")
