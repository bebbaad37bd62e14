"""What Prometheus' own client reads from /metrics: metrics.py openmetrics|classic < text > families in JSON."""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

parse = {"openmetrics": openmetrics_parser, "classic": parser}[sys.argv[1]].text_string_to_metric_families
families = [
    {
        "name": family.name,
        "type": family.type,
        "unit": family.unit,
        "help": family.documentation,
        "samples": [{"name": sample.name, "labels": sample.labels, "value": str(sample.value)} for sample in family.samples],
    }
    for family in parse(sys.stdin.read())
]
json.dump(families, sys.stdout)
