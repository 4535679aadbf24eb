"""Renders a Helm chart, as Helm does: for the tests of the chart.

Reads {"cases": {name: {"chart": folder, "values": {…}}}, "kubernetes": [version]} and writes, by name, {"rendered":
{template: text}, "lint": [fault], "faults": [fault]}, the last being what Kubernetes' own schemas say, strictly; or
{"error": text} for what cannot be rendered.
"""

import json
import sys

import helm_python as helm
import kubernetes_validate
import yaml

# What the Prometheus operator and not Kubernetes defines.
OTHERS = {"monitoring.coreos.com/v1"}


def object_faults(template, text, versions):
    """What is wrong with the objects of one rendered file."""
    for thing in yaml.safe_load_all(text):
        if thing is None or thing["apiVersion"] in OTHERS:
            continue
        for version in versions:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                place = ".".join(str(part) for part in error.path)
                yield f"{template}: {thing['kind']} in Kubernetes {version}: {place}: {error.message}"


def case(folder, values, versions):
    """What comes of one set of values."""
    try:
        rendered = helm.Chart.load(folder).render(values, name="plant", namespace="iot")
    except helm.HelmError as error:
        return {"error": str(error)}
    report = helm.lint(folder, values, strict=True, namespace="iot")
    lint = [message["error"] for message in report["messages"] if message["severity"] >= 2]
    faults = []
    for template, text in rendered.items():
        if not template.endswith("NOTES.txt"):
            faults += object_faults(template, text, versions)
    return {"lint": lint + report["errors"], "rendered": rendered, "faults": faults}


def main():
    asked = json.load(sys.stdin)
    answers = {name: case(it["chart"], it["values"], asked["kubernetes"]) for name, it in asked["cases"].items()}
    json.dump(answers, sys.stdout)


main()
