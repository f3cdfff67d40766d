"""The part of a model's config.yml that Python needs; `ctl config check` checks the whole file."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import yaml

from treeline.errors import ConfigError

#: Where `treeline.train` looks for the config of a model, below the working directory, in this order.
PATTERNS = ("*.yml", "*/*.yml", "examples/*/*.yml")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One config.yml. raw is the file as it was decoded."""

    path: pathlib.Path
    raw: dict[str, Any]

    @property
    def model_key(self) -> str:
        """Names the model."""
        return str(self.raw.get("model_key") or "")

    @property
    def registered_model_name(self) -> str:
        """model_key when absent."""
        return str(self.raw.get("registered_model_name") or self.model_key)

    def section(self, name: str) -> dict[str, Any]:
        """A mapping of the file, empty when absent. Raises ConfigError when it is none."""
        value = self.raw.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ConfigError(f"{self.path}: {name} is {type(value).__name__}, want a mapping")
        return value

    def text(self, section: str, key: str, default: str | None = None) -> str:
        """A text of a section. Raises ConfigError when it is absent and has no default, or is no text."""
        value = self.section(section).get(key, default)
        if value is None or value == "" and default is None:
            raise ConfigError(f"{self.path}: {section}.{key} is missing")
        if not isinstance(value, str):
            raise ConfigError(f"{self.path}: {section}.{key} is {value!r}, want text")
        return value

    def names(self, section: str, key: str) -> list[str]:
        """A list of texts of a section, empty when absent."""
        value = self.section(section).get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{self.path}: {section}.{key} is {value!r}, want a list of names")
        return value


def read(path: str | os.PathLike[str]) -> ModelConfig:
    """Reads a config.yml. Raises ConfigError that names the file."""
    raw = read_yaml(pathlib.Path(path))
    if not raw.get("model_key"):
        raise ConfigError(f"{path}: model_key is missing")
    return ModelConfig(pathlib.Path(path), raw)


def read_yaml(path: pathlib.Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises ConfigError that names the file and, for a syntax error, the line."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: want a mapping of keys and values")
    return value


def find(model_key: str, root: pathlib.Path) -> ModelConfig:
    """The config of a model below root that names a trainer.

    Raises ConfigError when there is none or more than one; the message lists what was found.
    """
    seen: dict[pathlib.Path, ModelConfig] = {}
    for pattern in PATTERNS:
        for path in sorted(root.glob(pattern)):
            try:
                raw = read_yaml(path)
            except ConfigError:
                continue  # some other YAML file
            if raw.get("model_key"):
                seen[path] = ModelConfig(path, raw)
    named = [c for c in seen.values() if c.model_key == model_key]
    trained = [c for c in named if c.raw.get("trainer_class")]
    if len(trained) == 1:
        return trained[0]
    if trained:
        files = ", ".join(str(c.path.relative_to(root)) for c in trained)
        raise ConfigError(f"{len(trained)} files describe {model_key}: {files}; choose one with --config")
    if named:
        files = ", ".join(str(c.path.relative_to(root)) for c in named)
        raise ConfigError(f"{files} has no trainer_class; add one, such as RandomForestTrainer")
    keys = ", ".join(sorted({c.model_key for c in seen.values()})) or "none"
    raise ConfigError(
        f"no config.yml below {root} has model_key {model_key} (found: {keys}); name the file with --config"
    )
