"""Runs the steps of the Dockerfile in a root of this machine, for the gateway's containers of `make chart-run`.

    python -m tests.charts.run.image_root FOLDER

Writes FOLDER/image.json, which PENSTOCK_IMAGE names. Needs root and debootstrap, and about two minutes.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from tests.image.building import Build, bootstrap


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    bootstrap(folder / "base")
    image = Build(folder / "base", folder).run()
    told = {
        "root": str(image.root),
        "entrypoint": image.entrypoint,
        "environment": image.environment,
        "workdir": image.workdir,
    }
    (folder / "image.json").write_text(json.dumps(told, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
