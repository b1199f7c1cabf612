"""A Grafana dashboard of a run's metrics, as JSON that Grafana imports: `make docs` writes it to
docs/grafana.json.
"""

import json
from typing import Any

from pairmill.cluster.metrics import metric

PANELS = (
    ("Rows per second", "rows", "ops"),
    ("Rows computed per second", "computed", "ops"),
    ("Failures per second", "failed", "ops"),
    ("Dropped by gates per second", "dropped", "ops"),
    ("Bytes committed per second", "bytes", "Bps"),
    ("Tokens generated per second", "tokens", "ops"),
    ("Shards per second", "shards", "ops"),
)
RUN = '{run=~"$run"}'


def rate(key: str) -> str:
    """A count per second, by stage."""
    return f"sum by (stage) (rate(ray_{metric(key)}_total{RUN}[$__rate_interval]))"


def total(key: str) -> str:
    """A count, by stage."""
    return f"sum by (stage) (ray_{metric(key)}_total{RUN})"


def panel(
    number: int, title: str, expression: str, unit: str, kind: str = "timeseries"
) -> dict[str, Any]:
    """One chart."""
    return {
        "id": number + 1,
        "type": kind,
        "title": title,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "expr": expression,
                "legendFormat": "{{stage}}",
                "instant": kind == "bargauge",
            }
        ],
    }


def dashboard() -> dict[str, Any]:
    """All charts, as Grafana takes them."""
    panels = [(title, rate(key), unit, "timeseries") for title, key, unit in PANELS]
    panels.append(
        (
            "Share of workers' time inside the stage",
            f"{rate('busy_s')} / {rate('seconds')}",
            "percentunit",
            "timeseries",
        )
    )
    panels.append(
        ("Kept so far, of the rows that reached the stage", kept(), "percentunit", "bargauge")
    )
    panels.append(("Failed so far", total("failed"), "short", "bargauge"))
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {
            "name": "run",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "multi": True,
            "includeAll": True,
            "query": {"query": f"label_values(ray_{metric('rows')}_total, run)", "refId": "run"},
            "refresh": 2,
            "sort": 2,
        },
    ]
    return {
        "title": "pairmill",
        "uid": "pairmill",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": [panel(i, *p) for i, p in enumerate(panels)],
    }


def kept() -> str:
    """The share of rows that passed, by stage."""
    lost = " + ".join(
        f"({total(key)} or 0 * {total('rows')})" for key in ("dropped", "missing", "failed")
    )
    return f"1 - ({lost}) / {total('rows')}"


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
