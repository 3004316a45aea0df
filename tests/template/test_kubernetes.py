"""The manifests of kubernetes=true: right for Kubernetes, whatever else was answered, and as strict as promised."""

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import kubernetes_validate.utils
import pytest
import yaml

import template_rules
from tests.conftest import BUILD, ROOT, WIDEST, Bake, Run, bake_into
from tests.support.answers import choices
from tests.support.command import UV, generate
from tests.support.kustomize import Object, by_kubectl, by_python, rendered, walked
from tests.support.sites import program

# The answers that change a manifest.
ASKED = ("cache", "tasks", "telemetry", "lifespan_mode")
ON = {"database": "postgres", "kubernetes": True}
VERSIONS = [each.rpartition(".")[0] for each in kubernetes_validate.utils.all_versions()]
NEWEST = list(dict.fromkeys(VERSIONS))[-3:]  # each is there twice, once strict

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
LABEL_VALUE = r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl")


def overlays(project: Path) -> list[Path]:
    return sorted((project / "deploy" / "kubernetes" / "overlays").iterdir())


def production(project: Path) -> list[Object]:
    return rendered(project / "deploy" / "kubernetes" / "overlays" / "production")


def the(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The object of this kind, and name; there is one."""
    found = [
        each
        for each in objects
        if each["kind"] == kind and (name or each["metadata"]["name"]) == each["metadata"]["name"]
    ]
    (only,) = found
    return only


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Each pod's specification, with the name of what makes it."""
    for each in objects:
        for item in walked(each):
            if "containers" in item:
                yield each["metadata"]["name"], item


def configuration(objects: list[Object]) -> dict[str, str]:
    return dict(the(objects, "ConfigMap")["data"])


@pytest.fixture
def every_project(tmp_path: Path, fast_hooks: None) -> list[Path]:
    """A project of every combination of the answers that change a manifest."""
    offered = choices()
    found = []
    for values in itertools.product(*(offered[key] for key in ASKED)):
        answers = ON | dict(zip(ASKED, values, strict=True))
        if not list(template_rules.problems(answers)):
            folder = tmp_path / "-".join(map(str, values))
            folder.mkdir()
            found.append(bake_into(folder, **answers))
    assert len(found) == 28
    return found


def test_every_overlay_of_every_combination_is_right_for_the_newest_kubernetes(
    every_project: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It reads each schema anew for each object.
    utils = kubernetes_validate.utils
    monkeypatch.setattr(utils, "schema_contents", cache(utils.schema_contents))
    seen = 0
    known: set[str] = set()
    for project in every_project:
        for overlay in overlays(project):
            for each in by_python(overlay):
                seen += 1
                text = yaml.safe_dump(each)
                if text not in known:
                    known.add(text)
                    for version in NEWEST:
                        kubernetes_validate.validate(each, version, strict=True)
    assert seen > 28 * 2 * 14


@needs_kubectl
def test_what_imitates_kustomize_does_as_kubectl(kubernetes_project: Path) -> None:
    def by_name(each: Object) -> tuple[str, str]:
        return each["kind"], each["metadata"]["name"]

    for overlay in overlays(kubernetes_project):
        own = sorted(by_python(overlay), key=by_name)
        assert own == sorted(by_kubectl(overlay), key=by_name)


def test_what_validates_does_find_mistakes(kubernetes_project: Path) -> None:
    web = the(production(kubernetes_project), "Deployment", "web")
    web["spec"]["replica"] = 3
    for version in NEWEST:
        with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
            kubernetes_validate.validate(web, version, strict=True)


def test_the_files_are_as_yamllint_wants_them(kubernetes_project: Path) -> None:
    rules = (
        "{extends: default, rules: {document-start: disable, line-length: {max: 120},"
        " braces: {min-spaces-inside: 0, max-spaces-inside: 1}, octal-values: disable}}"
    )
    done = subprocess.run(
        ["yamllint", "--strict", "-d", rules, kubernetes_project / "deploy" / "kubernetes"],
        env=os.environ | {"PATH": f"{UV.parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@needs_kubectl
def test_checkov_finds_nothing(kubernetes_project: Path, tmp_path: Path) -> None:
    """In an environment of its own, since it pins what it needs: 200 MB."""
    venv = BUILD / "checkov"
    if not (venv / "bin" / "checkov").exists():
        BUILD.mkdir(exist_ok=True)
        subprocess.run([UV, "venv", "--quiet", "--clear", venv], check=True)
        subprocess.run(
            [UV, "pip", "install", "--quiet", "--python", venv, "checkov>=3.3"], check=True
        )
    for overlay in overlays(kubernetes_project):
        file = tmp_path / f"{overlay.name}.yaml"
        file.write_text(yaml.safe_dump_all(rendered(overlay)))
        done = subprocess.run(
            [venv / "bin" / "checkov", "--framework=kubernetes", "--skip-download", "--compact",
             "--quiet", f"--file={file}"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert re.search(r"Passed checks: [1-9]\d\d, Failed checks: 0", done.stdout), done.stdout


# Names


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize(
    "slug",
    ["a" * 40, f"a{'-b' * 19}c", "x", "default", "kube-system", "web", "null", "yes", "y", "e1"],
)
def test_names_and_labels_are_right_for_any_slug(tmp_path: Path, slug: str) -> None:
    project = bake_into(tmp_path, project_slug=slug, tasks="database", **ON)
    namespaces = set()
    for overlay in overlays(project):
        for each in rendered(overlay):
            longest = 52 if each["kind"] == "CronJob" else 63  # a Job's name is made of it
            metadata = each["metadata"]
            assert re.fullmatch(LABEL, metadata["name"]), metadata
            assert len(metadata["name"]) <= longest
            if each["kind"] == "Namespace":
                namespaces.add(metadata["name"])
            for item in walked(each):
                labels = item.get("labels", {})
                assert all(re.fullmatch(LABEL_VALUE, value) for value in labels.values()), labels
            assert metadata["labels"]["app.kubernetes.io/name"] == slug
            kubernetes_validate.validate(each, NEWEST[-1], strict=True)
        for _, pod in pods(rendered(overlay)):
            (container,) = pod["containers"]
            image, _, digest = container["image"].partition("@")
            assert image == f"registry.example/{slug}"
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest), "a tag may mean another tomorrow"
    assert namespaces == {f"{slug}-production", f"{slug}-staging"}


def test_no_service_makes_a_variable_of_the_servers(bake: Bake) -> None:
    """Of a Service called granian-metrics the kubelet would make GRANIAN_METRICS_PORT=tcp://..."""
    for name, pod in pods(production(bake(project_slug="granian-metrics", **ON))):
        assert pod["enableServiceLinks"] is False, name


# What pods may do


def test_every_pod_is_restricted(kubernetes_project: Path) -> None:
    """As the namespace's level `restricted` asks, and further; all alike."""
    objects = production(kubernetes_project)
    assert {name for name, _ in pods(objects)} == {"web", "worker", "migrate", "clearsessions"}
    alike = []
    for name, pod in pods(objects):
        context = pod["securityContext"]
        assert context["runAsNonRoot"], name
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["serviceAccountName"] == "app"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for amounts in container["resources"].values():
            assert set(amounts) == {"cpu", "memory", "ephemeral-storage"}
        assert all("sizeLimit" in each.get("emptyDir", {"sizeLimit": 1}) for each in pod["volumes"])
        assert "secretKeyRef" not in str(container)
        limits = container["resources"]["limits"]
        alike.append((container["volumeMounts"], pod["volumes"], limits, container["envFrom"]))
    assert all(each == alike[0] for each in alike)
    labels = the(objects, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not [each for each in objects if each["kind"] == "Secret"], "by reference alone"


def test_the_network_is_closed_but_for_what_was_answered(
    kubernetes_project: Path, bake: Bake
) -> None:
    def ports(objects: list[Object]) -> set[int]:
        policy = the(objects, "NetworkPolicy", "services")
        return {each["port"] for rule in policy["spec"]["egress"] for each in rule["ports"]}

    objects = production(kubernetes_project)
    closed = the(objects, "NetworkPolicy", "nothing")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    requests = the(objects, "NetworkPolicy", "requests")["spec"]
    assert requests["podSelector"] == {"matchLabels": the(objects, "Service")["spec"]["selector"]}
    assert ports(objects) == {5432, 6432, 6379, 25, 465, 587, 443, 4318}
    assert ports(production(bake(**ON))) == {5432, 6432, 25, 465, 587, 443}


# Figures that must fit


def seconds(objects: list[Object], name: str) -> float:
    return float(configuration(objects)[name])


def test_one_shutdown_budget_holds_from_the_apps_to_the_kubelet(kubernetes_project: Path) -> None:
    for overlay in overlays(kubernetes_project):
        objects = rendered(overlay)
        found = dict(pods(objects))
        (web,) = found["web"]["containers"]
        before = web["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain, kill = (
            seconds(objects, "DRAIN_TIMEOUT"),
            seconds(objects, "GRANIAN_WORKERS_KILL_TIMEOUT"),
        )
        shutdown = seconds(objects, "LIFESPAN_SHUTDOWN_TIMEOUT")
        assert drain + shutdown + 1 < kill
        assert found["web"]["terminationGracePeriodSeconds"] >= before + kill + shutdown + 5
        assert found["worker"]["terminationGracePeriodSeconds"] >= drain + shutdown + 5
        for name in ("web", "worker"):
            (container,) = found[name]["containers"]
            startup = container["startupProbe"]
            allowed = startup["periodSeconds"] * startup["failureThreshold"]
            assert allowed > seconds(objects, "LIFESPAN_STARTUP_TIMEOUT") + 5
            deadline = the(objects, "Deployment", name)["spec"]["progressDeadlineSeconds"]
            assert deadline > allowed, "or a slow start would be taken for a failed rollout"
            assert deadline >= 600, "a node may have to be added first"
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                # The databases have two seconds to answer.
                assert container[kind]["timeoutSeconds"] > 2


def test_probes_ask_what_they_are_for(kubernetes_project: Path) -> None:
    (web,) = dict(pods(production(kubernetes_project)))["web"]["containers"]
    paths = {
        kind: web[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "readiness", "liveness")
    }
    # A database that is gone restarts no pod, whether it serves or starts.
    assert paths == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}
    assert {"name": "http", "containerPort": 8000} in web["ports"]


def test_numbers_that_settings_reckon_with_are_those_of_the_manifests(
    kubernetes_project: Path,
) -> None:
    for overlay in overlays(kubernetes_project):
        objects = rendered(overlay)
        scaler = the(objects, "HorizontalPodAutoscaler")["spec"]
        # Settings reckon with one more, which starts in a deployment; and there one ends, too.
        assert int(configuration(objects)["WEB_REPLICAS"]) == scaler["maxReplicas"] + 1
        assert scaler["minReplicas"] <= scaler["maxReplicas"]
        worker = the(objects, "Deployment", "worker")["spec"]
        assert int(configuration(objects)["WORKER_REPLICAS"]) == worker["replicas"]
        web = the(objects, "Deployment", "web")["spec"]
        assert "replicas" not in web, "or each deployment would undo what the autoscaler did"
        assert web["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        (container,) = web["template"]["spec"]["containers"]
        ends = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert web["minReadySeconds"] >= ends + 5, "or more than one would end at a time"
        assert the(objects, "PodDisruptionBudget")["spec"]["selector"] == web["selector"]


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("answers", [{}, {**WIDEST}, {"lifespan_mode": "disabled"}])
def test_the_settings_take_the_configuration(
    bake: Bake, run: Run, tmp_path: Path, answers: dict[str, str]
) -> None:
    """Every variable is one that something reads, and has a value that it takes."""
    project = bake(**ON | answers)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    contents = {
        "SECRET_KEY": "0123456789abcdef" * 4,
        "DATABASE_URL": "postgres://ada@db.example/shop",
        "CACHE_URL": "redis://cache.example/0",
    }
    for name, content in contents.items():
        (secrets / name).write_text(content)
    code = "".join(
        path.read_text()
        for path in [project / "config" / "settings.py", project / "config" / "granian.env"]
    )
    for overlay in overlays(project):
        found = configuration(rendered(overlay))
        for name in found:
            assert re.search(rf"\b{name.removesuffix('_FILE')}\b", code), f"nothing reads {name}"
        named = {k: v.replace("/run/secrets/app", str(secrets)) for k, v in found.items()}
        flags = run(project, "python", "-c", program("read_flags"), **named).stdout
        assert '"workers": 1' in flags
        check = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")
        run(project, "python", *check, EMAIL_URL="smtp://mail.example", **named)


@needs_kubectl
def test_a_change_of_a_variable_replaces_the_pods(bake: Bake) -> None:
    """A ConfigMap that keeps its name would reach the pods when they are next restarted, or never."""
    project = bake(**ON)

    def names() -> set[str]:
        objects = production(project)
        (web,) = dict(pods(objects))["web"]["containers"]
        return {
            web["envFrom"][0]["configMapRef"]["name"],
            the(objects, "ConfigMap")["metadata"]["name"],
        }

    before = names()
    server = project / "deploy" / "kubernetes" / "overlays" / "production" / "server.env"
    server.write_text(f"{server.read_text()}LIFESPAN=optional\n")
    assert len(before) == len(names()) == 1
    assert before != names()


# The answer


def test_sqlite_is_refused_behind_the_question(tmp_path: Path) -> None:
    done = generate(tmp_path, "kubernetes=true")
    assert done.returncode == 1
    assert (done.stdout + done.stderr).strip() == (
        "database=sqlite with kubernetes=true: the pods share no disk, and the database would be a file;"
        " answer database=postgres, or kubernetes=false"
    )
    assert not (tmp_path / "my-project").exists()
    keys = list(json.loads((ROOT / "cookiecutter.json").read_bytes()))
    assert keys[keys.index("kubernetes") + 1] == "__check_kubernetes"
    assert keys.index("database") < keys.index("kubernetes")


def test_nothing_of_it_is_in_other_projects(default_project: Path, widest_project: Path) -> None:
    for project in (default_project, widest_project):
        assert not (project / "deploy" / "kubernetes").exists()
        for name in ("Makefile", "README.md", "pyproject.toml"):
            text = (project / name).read_text()
            assert not re.search(r"k8s|kubernetes|make plan", text, re.IGNORECASE), name
