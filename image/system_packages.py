"""system_packages.py BILL STATUS RELEASE: adds the distribution and its installed packages to a bill of materials.

BILL is CycloneDX 1.6 JSON, STATUS dpkg's list (deb-control(5)), RELEASE the distribution's name (os-release(5)). A
package is named by a purl of type deb with `arch`, `distro`, and its source package as `upstream`, under which Debian
tells of vulnerabilities. The same lists give the same bytes.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


def packages(status: str) -> Iterator[dict[str, str]]:
    """The fields of each package that is installed, but for those over several lines."""
    for paragraph in status.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line[:1] not in (" ", "\t")]
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if fields.get("Status", "").endswith(" installed"):
            yield fields


def release(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, value in pairs}


def purl(fields: dict[str, str], distribution: str, number: str) -> str:
    name, version = fields["Package"], fields["Version"]
    source, _, rest = fields.get("Source", name).partition(" ")  # NAME (VERSION), where that is another
    origin = source + (f"@{rest.strip('()')}" if rest else "")
    told = {"arch": fields["Architecture"], "distro": f"{distribution}-{number}"}
    told |= {"upstream": origin} if origin != name else {}
    qualifiers = "&".join(f"{key}={quote(value, safe=':~')}" for key, value in sorted(told.items()))
    return f"pkg:deb/{distribution}/{quote(name, safe='')}@{quote(version, safe=':~')}?{qualifiers}"


def component(fields: dict[str, str], distribution: str, number: str) -> dict[str, object]:
    named = purl(fields, distribution, number)
    return {
        "bom-ref": named,
        "description": fields.get("Description", ""),
        "name": fields["Package"],
        "purl": named,
        "supplier": {"name": fields.get("Maintainer", "").partition(" <")[0]},
        "type": "library",
        "version": fields["Version"],
    }


def extended(bill: dict[str, list[object]], status: str, about: dict[str, str]) -> dict[str, list[object]]:
    distribution, number = about["ID"], about["VERSION_ID"]
    system = f"{distribution}-{number}"
    found = sorted(
        (component(each, distribution, number) for each in packages(status)), key=lambda each: str(each["purl"])
    )
    named = {"bom-ref": system, "name": distribution, "type": "operating-system", "version": number}
    return {
        **bill,
        "components": [*bill.get("components", []), named, *found],
        "dependencies": [
            *bill.get("dependencies", []),
            {"ref": system, "dependsOn": [each["bom-ref"] for each in found]},
            *({"ref": each["bom-ref"]} for each in found),
        ],
    }


if __name__ == "__main__":
    bill, status, named = map(Path, sys.argv[1:])
    made = extended(json.loads(bill.read_text()), status.read_text(), release(named.read_text()))
    bill.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")
