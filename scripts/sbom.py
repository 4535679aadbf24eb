"""Makes of `cargo metadata` on standard input, Cargo.lock and the console's lock file a CycloneDX document.

Run by scripts/sbom in the root of the repository. The same input gives the same text.
"""

import base64
import json
import sys
import tomllib
import uuid

CONSOLE_LOCK = "api/console/package-lock.json"
# What of npm is in the console's scripts.
BUNDLED = {"svelte"}


def checksums():
    """The SHA-256 of each package in Cargo.lock, by name and version; of ours there is none."""
    with open("Cargo.lock", "rb") as file:
        packages = tomllib.load(file)["package"]
    return {(it["name"], it["version"]): it.get("checksum") for it in packages}


def linked(metadata, root):
    """The ids of what is in the binary: what `root` depends on, but for building and testing."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, todo = set(), [root]
    while todo:
        package = todo.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return found


def licence(expression):
    """CycloneDX's form of an SPDX expression."""
    if not expression:
        return {}
    return {"licenses": [{"expression": expression.replace("/", " OR ")}]}


def crate(package, checksum, is_linked):
    """One package of cargo."""
    name, version = package["name"], package["version"]
    ours = package["source"] is None
    component = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        "scope": "required" if is_linked else "excluded",
        **licence(package["license"]),
    }
    if not ours:
        component["purl"] = f"pkg:cargo/{name}@{version}"
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def console():
    """The packages that the console is built with; what is shipped of them is in its scripts."""
    with open(CONSOLE_LOCK, encoding="utf-8") as file:
        packages = json.load(file)["packages"]
    found = {}
    for path, package in packages.items():
        if not path:
            continue
        name = path.rsplit("node_modules/", 1)[1]
        purl = f"pkg:npm/{name.replace('@', '%40')}@{package['version']}"
        component = {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": package["version"],
            "scope": "required" if name in BUNDLED else "excluded",
            "purl": purl,
            **licence(package.get("license")),
        }
        if package.get("integrity", "").startswith("sha512-"):
            digest = base64.b64decode(package["integrity"].removeprefix("sha512-"))
            component["hashes"] = [{"alg": "SHA-512", "content": digest.hex()}]
        found[purl] = component
    return list(found.values())


def dependencies(metadata, refs):
    """Who needs whom."""
    for node in metadata["resolve"]["nodes"]:
        needs = sorted({refs[it["pkg"]] for it in node["deps"]})
        yield {"ref": refs[node["id"]], "dependsOn": needs}


def main():
    metadata = json.load(sys.stdin)
    sums = checksums()
    packages = sorted(metadata["packages"], key=lambda it: (it["name"], it["version"]))
    root = next(it for it in packages if it["name"] == "bellwire")
    in_binary = linked(metadata, root["id"])
    refs = {it["id"]: f"pkg:cargo/{it['name']}@{it['version']}" for it in packages}
    crates = [
        crate(it, sums.get((it["name"], it["version"])), it["id"] in in_binary)
        for it in packages if it is not root
    ]
    components = crates + console()
    own = {"type": "application", "bom-ref": refs[root["id"]], "name": "bellwire",
           "version": root["version"], **licence(root["license"])}
    names = json.dumps([own, *components], sort_keys=True)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names)}",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": sorted(dependencies(metadata, refs), key=lambda it: it["ref"]),
    }
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


main()
