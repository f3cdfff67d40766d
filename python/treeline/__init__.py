"""Training, validation, inference hooks and drift detection for models that Treeline scores.

    python -m treeline.train churn --git_sha X     train one model by hand
    python -m treeline.trainer spec.json           what the daemon starts
    python -m treeline.check config.yml            do the named classes exist?

Heavy libraries are imported where they are used: importing this package costs nothing.
"""

__version__ = "0.1.0"
