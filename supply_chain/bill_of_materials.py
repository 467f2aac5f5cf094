"""A software bill of materials of the lock files: CycloneDX 1.6, JSON, the same bytes each time.

    python -m supply_chain.bill_of_materials FILE LOCK...

It holds what the locks say, the hashes of each file that may be installed among it, and asks no
network. What the lock of the workflow holds is required; what others add is for tests and audits,
which CycloneDX calls excluded.
"""

from __future__ import annotations

import json
import sys
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flopline.atomic import replacing
from flopline.errors import FloplineError
from supply_chain.locked import Locked, locked_packages

ROOT: Final = Path(__file__).parents[1]
SPEC_VERSION: Final = "1.6"


def bill(
    project: Mapping[str, Any], packages: Mapping[str, Sequence[Locked]], main_lock: str
) -> dict[str, Any]:
    """The bill of `packages` by lock file, as the mapping that its JSON holds.

    `project` is the table of that name in pyproject.toml.
    """
    locks_of: dict[tuple[str, str], list[str]] = {}
    by_pin: dict[tuple[str, str], Locked] = {}
    for lock, pinned in packages.items():
        for package in pinned:
            pin = (package.name, package.version)
            by_pin.setdefault(pin, package)
            locks_of.setdefault(pin, []).append(lock)
    name, version = project["name"], project["version"]
    root = f"pkg:pypi/{name}@{version}"
    components = [
        _component(by_pin[pin], locks_of[pin], required=main_lock in locks_of[pin])
        for pin in sorted(by_pin)
    ]
    content = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "version": version,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            },
        },
        "components": components,
        "dependencies": [
            {"ref": root, "dependsOn": [c["bom-ref"] for c in components]},
            *({"ref": c["bom-ref"]} for c in components),
        ],
    }
    # Named by its content: no date and no chance makes two bills of one lock differ.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{serial}", **content}


def _component(package: Locked, locks: Sequence[str], *, required: bool) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    properties = [{"name": "flopline:lock", "value": lock} for lock in locks]
    if package.marker:
        properties.append({"name": "flopline:marker", "value": package.marker})
    # CycloneDX has one hash of one kind a component, but any number of files it is distributed as.
    files = [
        {
            "type": "distribution",
            "url": f"https://pypi.org/project/{package.name}/{package.version}/#files",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for digest in package.hashes
    ]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "scope": "required" if required else "excluded",
        "purl": purl,
        "externalReferences": files,
        "properties": properties,
    }


def main(arguments: list[str]) -> int:
    """Write the bill of some lock files, the first of which is the workflow's; the exit code."""
    file, *locks = arguments
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    try:
        packages = {lock: locked_packages(Path(lock)) for lock in locks}
        content = bill(project, packages, locks[0])
        text = json.dumps(content, indent=1, ensure_ascii=False)
        with replacing(Path(file)) as part:
            part.write_text(f"{text}\n", encoding="utf-8")
    except FloplineError as mistake:
        print(f"make sbom: {mistake}", file=sys.stderr)
        return 2
    print(f"make sbom: {file} holds {len(content['components']):,} packages of {len(locks)} locks.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
