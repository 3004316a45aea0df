"""The part of Kustomize that a project's overlays use, for where kubectl is not: resources, namespace, labels, images,
configMapGenerator from files, and patches that replace one value. tests/template/test_kubernetes.py compares both.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

CLUSTER = {"Namespace"}  # kinds that are in none

KNOWN = {
    "apiVersion", "kind", "resources", "namespace", "labels", "images", "configMapGenerator", "patches",
}  # fmt: skip


def rendered(folder: Path) -> list[Object]:
    """The objects of an overlay, as kubectl gives them where it is there."""
    return by_kubectl(folder) if shutil.which("kubectl") else by_python(folder)


def by_kubectl(folder: Path) -> list[Object]:
    done = subprocess.run(
        ["kubectl", "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # warnings of what is deprecated
    return list(yaml.safe_load_all(done.stdout))


def by_python(folder: Path) -> list[Object]:
    objects = built(folder)
    for each in [each for each in objects if each["kind"] == "ConfigMap"]:
        old = each["metadata"]["name"]
        new = each["metadata"]["name"] = f"{old}-{hash_of(each)}"
        for item in walked(objects):
            if item.get("configMapRef") == {"name": old}:
                item["configMapRef"] = {"name": new}
    return objects


def built(folder: Path) -> list[Object]:
    """The objects of a folder, whose generated ones have no hash in their names yet."""
    file = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = file.keys() - KNOWN
    assert not unknown, f"{folder}: {unknown} is not among what is imitated here"
    objects: list[Object] = []
    for resource in file.get("resources", []):
        path = folder / resource
        objects += built(path) if path.is_dir() else documents(path)
    for generator in file.get("configMapGenerator", []):
        data: dict[str, str] = {}
        for name in generator["envs"]:
            data |= env_file(folder / name)
        if generator.get("behavior") == "merge":
            (merged,) = named(objects, "ConfigMap", generator["name"])
            merged["data"] |= data
        else:
            metadata = {"name": generator["name"]}
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            objects.append(made)
    for patch in file.get("patches", []):
        (target,) = named(objects, patch["target"]["kind"], patch["target"]["name"])
        for change in yaml.safe_load(patch["patch"]):
            replace(target, **change)
    for image in file.get("images", []):
        for item in walked(objects):
            if item.get("image") == image["name"]:
                item["image"] = f"{image['newName']}@{image['digest']}"
    for labels in file.get("labels", []):
        for each in objects:
            for metadata in all_metadata(each):
                metadata.setdefault("labels", {}).update(labels["pairs"])
    if namespace := file.get("namespace"):
        for each in objects:
            key = "name" if each["kind"] in CLUSTER else "namespace"
            each["metadata"][key] = namespace
    return objects


def documents(path: Path) -> list[Object]:
    """Those of a file. What stands for an anchor is a copy: PyYAML has one mapping in several places."""
    found = list(yaml.safe_load_all(path.read_text()))
    return list(json.loads(json.dumps(found)))


def env_file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def named(objects: list[Object], kind: str, name: str) -> list[Object]:
    return [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]


def replace(target: Any, op: str, path: str, value: Any) -> None:
    assert op == "replace"
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")[1:]]
    for step in steps:
        target = target[step]
    target[last]  # a value that is not there can't be replaced
    target[last] = value


def all_metadata(each: Object) -> Iterator[Object]:
    """An object's metadata, and that of the pods that it makes."""
    yield each["metadata"]
    for key in ("jobTemplate", "template"):
        if key in each.get("spec", {}):
            inner = each["spec"][key]
            inner.setdefault("metadata", {})
            yield from all_metadata(inner)


def walked(item: Any) -> Iterator[Object]:
    """Every mapping in a value."""
    if isinstance(item, dict):
        yield item
    for inner in (
        item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    ):
        yield from walked(inner)


def hash_of(config: Object) -> str:
    """As Kustomize has it, which looks for the name in the wrong place and so finds none."""
    content = {"kind": "ConfigMap", "name": "", "data": config["data"]}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return digest.translate(str.maketrans("013ae", "ghkmt"))
