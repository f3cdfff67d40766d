"""Compiles a model for a peer that scores machine code: python compile.py lleaves|tl2cgen DIRECTORY MODEL OUT."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from data import Model  # noqa: E402


def main():
    engine, directory, name, out = sys.argv[1:]
    model = Model(directory, name)
    part = f"{out}.{os.getpid()}{pathlib.Path(out).suffix}"
    if engine == "lleaves":
        import lleaves

        lleaves.Model(model_file=str(model.file)).compile(cache=part)
    else:
        import tl2cgen
        from convert import treelite_of

        tl2cgen.export_lib(
            treelite_of(model), toolchain="gcc", libpath=part, params={"parallel_comp": 32}, nthread=2, verbose=True
        )
    os.replace(part, out)


if __name__ == "__main__":
    main()
