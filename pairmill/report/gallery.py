"""Rows with their pictures as a few lines of HTML, for a notebook."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, select_autoescape

from pairmill.fates.run_table import Run
from pairmill.redaction import redact_data
from pairmill.report.samples import described

CARD = """
<div style="display:flex;flex-wrap:wrap;gap:12px">
{%- for row in rows %}
<div style="width:200px;font:12px sans-serif;overflow-wrap:anywhere">
{%- if row.image %}<img src="{{ row.image }}" alt="" style="max-width:192px">{% endif %}
<div><b>{{ row.fate }}</b>{% if row.stage %} at {{ row.stage }}{% endif %}</div>
{%- for name, text in row.texts.items() %}
<div><span style="color:#777">{{ name }}</span> {{ text[:200] }}</div>
{%- endfor %}
{%- for name, value in row.scores.items() %}
<div><span style="color:#777">{{ name }}</span> {{ value }}</div>
{%- endfor %}
</div>
{%- endfor %}
</div>
<div style="font:12px sans-serif;color:#777">{{ rows | length }} rows{{ note }}</div>
"""


@dataclass(frozen=True)
class Gallery:
    """Some rows: texts, scores, fate, and a thumbnail as a data URL."""

    rows: tuple[dict[str, Any], ...]
    note: str = ""

    def _repr_html_(self) -> str:
        environment = Environment(autoescape=select_autoescape(default_for_string=True))
        return environment.from_string(CARD).render(rows=self.rows, note=self.note)

    def __repr__(self) -> str:
        return "\n".join(
            f"{row['fate']:8} {row['uid']} {' | '.join(row['texts'].values())}"[:200]
            for row in self.rows
        )


def gallery(run: Run, where: str | None, fate: str | None, count: int) -> Gallery:
    """The first `count` rows for which `where` is true, in the input's order; raises RunError."""
    chosen = run.rows([], where, fate, count)
    shown = [
        row
        for (shard,), part in chosen.group_by("shard", maintain_order=True)
        for row in described(run.chain, int(str(shard)), part["row"].to_list(), None)
    ]
    asked = " and ".join(filter(None, (f"fate {fate}" if fate else "", where or "")))
    return Gallery(tuple(redact_data(shown)), f", the first with {asked}" if asked else "")
