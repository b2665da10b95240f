"""deploy/kubernetes: the manifests against Kubernetes' own schemas, and what they run against the real commands."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from anyserve import Client
from anyserve.cli import gateway, run

from tests.api_server.process import ApiServer
from tests.server import ROOT, Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFESTS = ROOT / "deploy" / "kubernetes"
BASE = MANIFESTS / "base"
VERSIONS = ["1.29", "1.32", kubernetes_validate.latest_version()]
"""Of Kubernetes: the oldest, one between, and the latest that there is a schema of."""

Manifest = dict[str, Any]

POD = {"$(POD_IP)": "127.0.0.1", "$(POD_NAME)": "anyserve-agent-0"}
"""What Kubernetes puts into the arguments."""


def manifests(*folders: Path) -> Iterator[tuple[str, Manifest]]:
    """Every manifest in the folders, with its name; what is kustomize's own is left out."""
    for path in sorted(path for folder in folders for path in folder.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            if not manifest["apiVersion"].startswith("kustomize"):
                yield f"{path.name}:{manifest['kind']}", manifest


# The Deployment of the variant is a patch: a part of one.
ALL = dict(manifests(BASE)) | {
    name: manifest for name, manifest in manifests(MANIFESTS / "etcd") if manifest["kind"] != "Deployment"
}


def of_kind(*kinds: str) -> dict[str, Manifest]:
    """Those manifests, by the name in their metadata."""
    return {each["metadata"]["name"]: each for each in ALL.values() if each["kind"] in kinds}


def container(name: str) -> Manifest:
    """The one container of a Deployment or StatefulSet."""
    [only] = of_kind("Deployment", "StatefulSet")[name]["spec"]["template"]["spec"]["containers"]
    found: Manifest = only
    return found


def options(name: str) -> dict[str, str]:
    """The options that its command is given."""
    flags = [argument for argument in container(name)["args"] if argument.startswith("--")]
    return dict(flag.removeprefix("--").split("=", 1) for flag in flags)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ALL)
def test_a_manifest_is_as_kubernetes_wants_it(name: str, version: str) -> None:
    kubernetes_validate.validate(ALL[name], version, strict=True)


def test_the_schemas_are_strict() -> None:
    wrong = {**of_kind("Service")["anyserve-agent"], "spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in MANIFESTS.glob("*/kustomization.yaml")))
def test_a_kustomization_names_files_that_are_there(folder: str) -> None:
    kustomization = yaml.safe_load((MANIFESTS / folder / "kustomization.yaml").read_text())
    named = [*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))]
    named += [file for each in kustomization.get("configMapGenerator", []) for file in each["files"]]
    missing = [name for name in named if not (MANIFESTS / folder / name).exists()]
    assert not missing
    here = {path.name for path in (MANIFESTS / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert here <= set(named)


@pytest.mark.parametrize("name", of_kind("Deployment", "StatefulSet"))
def test_the_command_takes_its_arguments(name: str) -> None:
    assert container(name)["command"] == ["anyserve"]
    command = container(name)["args"][0]
    told = subprocess.run(
        [sys.executable, "-m", "anyserve", command, "--help"], capture_output=True, text=True, check=True
    )
    unknown = [option for option in options(name) if f"--{option} " not in told.stdout]
    assert not unknown


@pytest.mark.parametrize(("name", "command"), [("anyserve-agent", run), ("anyserve-gateway", gateway)])
def test_the_values_of_the_options_are_read(name: str, command: Any) -> None:
    parser = ArgumentParser()
    command.add_to(parser.add_subparsers())
    arguments = [substituted(argument) for argument in container(name)["args"]]
    assert parser.parse_args(arguments).replica_id == POD["$(POD_NAME)"]


def test_the_api_server_of_the_etcd_variant_differs_by_its_registry_only() -> None:
    patch = yaml.safe_load((MANIFESTS / "etcd" / "api-server.yaml").read_text())
    [patched] = patch["spec"]["template"]["spec"]["containers"]
    assert patched["args"] == [*container("anyserve-api-server")["args"], "--registry=$(REGISTRY)"]
    assert patched["name"] == container("anyserve-api-server")["name"]


@pytest.mark.parametrize("name", of_kind("Deployment", "StatefulSet"))
def test_ports_are_those_that_are_listened_on(name: str) -> None:
    given = {int(port) for option, port in options(name).items() if option.endswith("port")}
    # Nobody comes to the metrics from outside the pod.
    given -= {int(options(name).get("metrics-port", 0))}
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    assert set(ports.values()) == given
    for port in of_kind("Service")[name]["spec"]["ports"]:
        assert port["port"] == ports[port["targetPort"]]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        for check in container(name).get(probe, {}).values():
            if isinstance(check, dict) and "port" in check:
                assert check["port"] in ports or check["port"] in ports.values()


def test_agents_and_gateways_find_the_api_server() -> None:
    [port] = of_kind("Service")["anyserve-api-server"]["spec"]["ports"]
    for name in ("anyserve-agent", "anyserve-gateway"):
        assert options(name)["api-server"] == f"http://anyserve-api-server:{port['port']}"


@pytest.mark.parametrize("name", of_kind("Deployment", "StatefulSet", "PodDisruptionBudget"))
def test_selectors_find_the_pods(name: str) -> None:
    workload = of_kind("Deployment", "StatefulSet")[name]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("Service")[name]["spec"]["selector"] == labels
    budget = of_kind("PodDisruptionBudget").get(name)
    assert budget is None or budget["spec"]["selector"]["matchLabels"] == labels


@pytest.mark.parametrize("name", ["anyserve-agent", "anyserve-gateway"])
def test_a_pod_is_given_the_time_to_drain(name: str) -> None:
    pod = of_kind("Deployment", "StatefulSet")[name]["spec"]["template"]["spec"]
    stop = container(name).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    # Withdrawing, what a worker may take to stop, and the last bytes.
    beside = int(stop[-1]) + 1 + 5 + 2
    assert pod["terminationGracePeriodSeconds"] > beside + float(options(name)["drain-timeout"])


def test_the_agent_runs_as_the_manifest_says() -> None:
    probe = container("anyserve-agent")["startupProbe"]["exec"]["command"]
    given = [substituted(argument) for argument in container("anyserve-agent")["args"][1:]]
    with ApiServer() as api_server:
        # What would meet others on this machine is changed; the later option counts.
        own = ["--host=127.0.0.1", "--port=0", "--metrics-port=0", "--object-port=0"]
        path = os.pathsep.join([str(BASE / "app"), os.environ.get("PYTHONPATH", "")])
        with Server(*given, *own, f"--api-server={api_server.url}", environment={"PYTHONPATH": path}) as server:
            server.wait_ready()
            asked = [part.replace(":8002/", f":{server.metrics_port}/") for part in probe[1:]]
            eventually(lambda: probe_succeeds(asked), "the startup probe succeeds")
            assert api_server.route(type="echo").json()["replica_id"] == POD["$(POD_NAME)"]
            with Client(server.address) as client:
                assert list(client.infer("echo", {"text": ["hello"]})["output_text"]) == [b"hello"]


def test_the_startup_probe_fails_where_nothing_is_registered() -> None:
    probe = container("anyserve-agent")["startupProbe"]["exec"]["command"]
    with Server("examples.basic.app:app") as alone:
        alone.wait_ready()
        assert not probe_succeeds([part.replace(":8002/", f":{alone.metrics_port}/") for part in probe[1:]])


def probe_succeeds(arguments: list[str]) -> bool:
    """Runs a probe as the kubelet does."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, timeout=30, check=False).returncode == 0


def substituted(argument: str) -> str:
    """With the variables that Kubernetes fills in."""
    for name, value in POD.items():
        argument = argument.replace(name, value)
    return argument
