"""The report of a run: `data.json` with every figure, and one self-contained page that shows it,
offline.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, select_autoescape

from pairmill.fates.ledger import Funnel
from pairmill.fates.trace import trace
from pairmill.names import one_name
from pairmill.packages.manifest import chosen
from pairmill.packages.publish import versions
from pairmill.pipeline.run import RunOutcome
from pairmill.plan.chain import Chain
from pairmill.plan.plan import Plan
from pairmill.plan.planned import every_stage, set_places
from pairmill.redaction import redact_data
from pairmill.report.captions import measures
from pairmill.report.choices import choices
from pairmill.report.comparing import comparison
from pairmill.report.concepts import concepts
from pairmill.report.effects import effects
from pairmill.report.gather import ReportRows, drawn, gather, rows_worth
from pairmill.report.runs import DATA, PAGE, run_folder
from pairmill.report.samples import samples
from pairmill.report.scores import distributions
from pairmill.report.thumbnails import Thumbnails
from pairmill.schemas.arrow import about, of_role
from pairmill.version import __version__
from pairmill.work.ahead import ahead
from pairmill.work.block import block_columns
from pairmill.workspace.storage import Storage

HERE = Path(__file__).parent
SCRIPTS = (
    "drawing",
    "funnel",
    "scores",
    "tables",
    "concepts",
    "choices",
    "gallery",
    "comparing",
    "page",
)
"""The page's script, part by part."""
CAPTION_ROWS, LEAST_CAPTIONS, ROWS_A_CAPTION = 5_000, 1_000, 16
"""Kept rows whose captions are measured; a report of some rows only measures one of so many of
them, or the captions would take most of its time.
"""
AT_ONCE = 2
"""Looks at the rows that are taken at the same time: what they ask of NumPy and Polars waits for
none of the others.
"""


def write_report(plan: Plan, outcome: RunOutcome, chain: Chain) -> str:
    """Writes report/data.json and report/index.html into the run's folder; gives the page's
    path.
    """
    storage = Storage(chain.root)
    folder = f"runs/{outcome.run_id}"
    most_rows = rows_worth(sum(outcome.seconds.values()))
    named = [*dict.fromkeys(plan.config.report.groups)]
    rows = gather(chain, named, plan.config.seed, most_rows=most_rows)
    shards = drawn(chain, plan.config.seed, most_rows=most_rows)
    small = Thumbnails(storage, plan.config.name)
    text = storage.read_bytes(f"{folder}/pipeline.yaml").decode()
    config = plan.config.report
    looks: dict[str, Callable[[], Any]] = {
        "samples": lambda: samples(chain, rows, config.samples, plan.config.seed, plan.blur, small),
        "scores": lambda: distributions(rows),
        "effects": lambda: effects(rows),
        "concepts": lambda: concepts(chain, shards),
        "choices": lambda: choices(chain, rows, shards),
        "captions": lambda: captions(chain, rows),
    }
    found = dict(zip(looks, ahead(lambda name: looks[name](), list(looks), AT_ONCE), strict=True))
    told = {
        "name": plan.config.name,
        "run": outcome.run_id,
        "pairmill": __version__,
        "funnel": outcome.funnel.to_json(),
        "packages": [
            {
                "path": plan.redact(p),
                **{k: m[k] for k in ("format", "samples", "shards", "package")},
                "chosen": chosen(m),
            }
            for p, m in outcome.packages.items()
        ],
        **{key: found[key] for key in ("scores", "effects", "concepts", "choices", "captions")},
        "caption_columns": caption_columns(chain),
        "duplicates": list(rows.duplicates),
        "downloads": downloads(chain, rows, outcome.funnel),
        "seconds": outcome.seconds,
        "stages": stages(chain, outcome),
        "pipeline": text,
        "versions": versions(),
        "identities": {
            s.name: s.identity
            for c in (chain, *(t.chain for t in outcome.tables.values()))
            for s in c.stages
            if s.computes
        },
        "warnings": [*outcome.warnings, *outcome.notes],
        "elements": elements(plan, outcome, most_rows),
        "sampled": rows.sampled,
        "samples": found["samples"],
    }
    data = {**redact_data(told), "name": told["name"], "run": outcome.run_id}
    storage.write_bytes(
        f"{folder}/{DATA}",
        (json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace"),
    )
    storage.write_bytes(f"{folder}/{PAGE}", page([data]))
    return storage.path(f"{folder}/{PAGE}")


def elements(plan: Plan, outcome: RunOutcome, most_rows: int) -> dict[str, dict[str, Any]]:
    """By block, the scores, captions and choices of its elements; a gate tells its place in the
    pipeline file (`at`), as `--set` takes it.
    """
    places = {stage.name: at for at, stage in set_places(plan.stages)}
    found = {}
    for name, table in outcome.tables.items():
        rows = gather(table.chain, (), plan.config.seed, most_rows=most_rows)
        scores = distributions(rows)
        for gate in (gate for score in scores for gate in score["gates"]):
            gate["at"] = places[gate["stage"]]
        made = choices(table.chain, rows, drawn(table.chain, plan.config.seed, most_rows=most_rows))
        for outcome_of in (o for choice in made for o in choice["outcomes"]):
            outcome_of["tag"] = ""  # there are no samples of elements to show
        told = {"scores": scores, "captions": captions(table.chain, rows), "choices": made}
        found[name] = told
    return found


def stages(chain: Chain, outcome: RunOutcome) -> dict[str, dict[str, float]]:
    """What each stage did in this run, and the GPUs that each of its workers held."""
    gpus = {s.name: s.config.resources.gpus for s in every_stage(chain.stages)}
    return {name: {**total, "gpus": gpus[name]} for name, total in outcome.stages.items()}


def rebuild(paths: list[str], workspace: str | None = None) -> str:
    """Writes the page of one finished run (or the run of a package) again, or one that compares
    two; gives its path.

    A page that compares lies in the first run's report folder and is named after the second.
    Raises RunError.
    """
    folders = [run_folder(path, workspace) for path in paths]
    runs = [redact_data(folder.data()) for folder in folders]
    if len(runs) == 1:
        return folders[0].write(PAGE, page(runs))
    name = f"report/against-{one_name(runs[1]['run'], f'{paths[1]}: {DATA}')}.html"
    return folders[0].write(name, page(runs, redact_data(comparison(folders, runs))))


def page(runs: list[dict[str, Any]], compared: dict[str, Any] | None = None) -> bytes:
    """The page of one run, or of two side by side with what `comparison` says of them."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=select_autoescape(default=True),
        keep_trailing_newline=True,
    )
    script = "".join((HERE / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    style = (HERE / "page.css").read_text("utf-8")
    text = environment.get_template("page.html").render(
        title=" against ".join(r["name"] for r in runs),
        script=script,
        style=style,
        script_hash=content_hash(script),
        style_hash=content_hash(style),
        data=json_for_html({"runs": runs, "compared": compared}),
    )
    return text.encode("utf-8", "replace")


def json_for_html(value: Any) -> str:
    """JSON that cannot end the element it stands in, whatever the web wrote into it."""
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
    )
    return (
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def content_hash(text: str) -> str:
    """As a Content-Security-Policy names inline content."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def captions(chain: Chain, rows: ReportRows) -> list[dict[str, Any]]:
    """The measures of every caption column over the same kept rows, the first of them by chance."""
    columns = caption_columns(chain)
    kept = rows.frame.filter("kept").select("shard", "row")
    if not columns or kept.height == 0:
        return []
    # of as few shards as have that many: each is read whole
    shards = kept["shard"].value_counts().sort("shard").sample(fraction=1, shuffle=True, seed=0)
    before = pl.col("count").cum_sum() - pl.col("count")
    most = CAPTION_ROWS
    if rows.sampled:
        most = min(most, max(LEAST_CAPTIONS, rows.frame.height // ROWS_A_CAPTION))
    kept = kept.join(shards.filter(before < most).select("shard"), on="shard")
    kept = kept.sample(min(most, kept.height), seed=0).sort("shard", "row")
    ends = {c: about(chain.schema, c, "finish_reason") for c in columns}
    finish = {column: end for column, end in ends.items() if end}
    parts = []
    for (shard,), group in kept.group_by("shard", maintain_order=True):
        numbers = np.array(group["row"].to_list())
        parts.append(
            block_columns(
                chain,
                int(shard),
                numbers,
                [*columns, *finish.values()],
                trace(chain, int(shard)),
                len(chain.stages),
            )
        )  # type: ignore[call-overload]
    table = pa.concat_tables(parts).to_pylist()
    found = []
    for column in columns:
        have = [r for r in table if r[column]]
        if have:
            alts = [r["text"] or "" for r in have] if column != "text" else None
            reasons = [r[finish[column]] for r in have] if column in finish else None
            texts = [r[column] for r in have]
            found.append({"column": column, **measures(texts, alts, reasons)})
    return found


def caption_columns(chain: Chain) -> list[str]:
    """The alt text, and every column that is a caption."""
    own = ["text"] if "text" in chain.pool_schema.names else []
    return own + of_role(chain.schema, "caption")


def downloads(chain: Chain, rows: ReportRows, funnel: Funnel) -> dict[str, Any] | None:
    """Outcome by class, and the domains with most failures; of the first stage that fetches."""
    stage = next((s for s in chain.stages if of_role(s.writes, "fetched_at")), None)
    if stage is None:
        return None
    (when, *_), (took, *_) = (of_role(stage.writes, role) for role in ("fetched_at", "seconds"))
    step = funnel.steps[stage.index + 1]
    asked = rows.frame.filter(pl.col("at") >= stage.index)
    failed = (pl.col("at") == stage.index) & pl.col("reason").is_not_null()
    of_domain = asked.drop_nulls("domain").group_by("domain")
    hosts = of_domain.agg(
        pl.len().alias("rows"),
        failed.sum().alias("failed"),
        pl.col(took).median().alias("median_s"),
    )
    worst = hosts.sort("failed", "rows", descending=True).head(12)
    slow = asked[took].drop_nulls()
    classes = {
        reason: n for reason, n in Counter(step.reasons).most_common() if reason != step.gate
    }
    return {
        "classes": classes,
        "arrived": step.kept + step.dropped,
        "hosts": worst.to_dicts(),
        "host_count": hosts.height,
        "timeline": timeline(asked[when].drop_nulls(), share=rows.frame.height / chain.rows()),
        "seconds": {str(q): float(slow.quantile(q / 100) or 0) for q in (50, 90, 99)}
        if len(slow)
        else {},
    }


def timeline(arrived: pl.Series, share: float) -> list[dict[str, Any]]:
    """Images that arrived in each of at most 60 equal spans of time, per second; `share`: of all
    rows that are looked at.
    """
    if len(arrived) == 0:
        return []
    seconds = arrived.dt.epoch("s") - arrived.dt.epoch("s").min()
    span = max(1, -(-(int(seconds.max()) + 1) // 60))  # type: ignore[arg-type]
    counts = np.bincount((seconds // span).to_numpy())
    return [
        {"from_s": at * span, "per_s": round(int(n) / span / share, 2)}
        for at, n in enumerate(counts)
    ]
