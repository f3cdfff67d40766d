"""Finds the classes that a config.yml names.

A name is one of

    RandomForestTrainer                     a class that treeline.training has
    treeline.training.RandomForestTrainer   a class of an installed package, by its dotted path
    my_trainer.ChurnTrainer                 a class of my_trainer.py in a folder of module_path (that of config.yml)
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pathlib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import TypeVar

from treeline.errors import ConfigError, one_line

T = TypeVar("T")

READY = "treeline.training"


def resolve(name: str, base: type[T], module_path: Iterable[str] = (), key: str = "class") -> type[T]:
    """The class of that name, a subclass of base.

    module_path: folders whose modules are found first. key: what the name is called in messages ("trainer_class").
    Raises ConfigError when there is no such module or class, when it is no subclass of base, or when importing it
    fails; the message lists what there is.
    """
    if not isinstance(name, str) or not name or any(not p.isidentifier() for p in name.split(".")):
        raise ConfigError(f"{key} {name!r} is not a class name such as {READY}.RandomForestTrainer")
    folders = [str(pathlib.Path(folder).resolve()) for folder in module_path]
    for folder in reversed(folders):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module_name, _, class_name = name.rpartition(".")
    module = _module(module_name or READY, folders, key, name)
    found = _attribute(module, class_name, key, name)
    if found is None:
        have = available(module, base)
        near = difflib.get_close_matches(class_name, have, 1, 0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        listed = ", ".join(have) or "none"
        raise ConfigError(
            f"{key} {name!r}: {module.__name__} has no class {class_name}{hint}"
            f" ({base.__name__} classes there: {listed})"
        )
    if not inspect.isclass(found) or not issubclass(found, base):
        raise ConfigError(
            f"{key} {name!r} does not inherit from {READY}.{base.__name__}:"
            f" write `class {class_name}({base.__name__})`"
        )
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigError(f"{key} {name!r} lacks {', '.join(missing)}, which {base.__name__} requires")
    return found


def available(module: ModuleType, base: type) -> list[str]:
    """Names of the usable subclasses of base in a module, sorted; those whose library is missing are left out."""
    names = []
    for name in sorted(set(getattr(module, "__all__", ())) | set(vars(module))):
        try:
            value = getattr(module, name)
        except (AttributeError, ImportError):
            continue
        usable = inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
        if usable and value is not base:
            names.append(name)
    return names


def _module(module_name: str, folders: list[str], key: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise ConfigError(
                f"{key} {name!r}: {module_name} imports {error.name!r}, which is not installed"
            ) from error
        beside = sorted(p.stem for folder in folders for p in pathlib.Path(folder).glob("*.py"))
        where = ", ".join(folders) or "the working directory"
        listed = f"modules there: {', '.join(beside)}" if beside else "no modules there"
        raise ConfigError(
            f"{key} {name!r}: there is no module {module_name!r}, neither installed nor in {where} ({listed});"
            f" ready classes are in {READY}"
        ) from error
    except Exception as error:  # the user's module runs on import: whatever it raises is a fault of that module
        raise ConfigError(
            f"{key} {name!r}: importing {module_name} fails: {type(error).__name__}: {one_line(error)}"
        ) from error


def _attribute(module: ModuleType, class_name: str, key: str, name: str) -> object | None:
    try:
        return getattr(module, class_name, None)
    except ImportError as error:
        raise ConfigError(f"{key} {name!r} needs a package that is not installed: {one_line(error)}") from error
