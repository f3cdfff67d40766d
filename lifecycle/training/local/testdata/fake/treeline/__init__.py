"""Stands in for the real package: its trainer misbehaves as the spec's trainer_class asks."""
